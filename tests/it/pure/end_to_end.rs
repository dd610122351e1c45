//! All call flows at once through the whole service: real requests, the journal, the worker, the
//! database, the API. Only the clock is set by the test, so that it need not wait for the flows.

use metrics_exporter_prometheus::PrometheusBuilder;

use crate::support::embedded::play_through;
use crate::support::flow;
use crate::support::verdict::{Leniency, differences_as_shown};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_flow_gives_its_records_through_the_whole_service() {
    let flows = flow::all();
    let metrics = PrometheusBuilder::new().install_recorder().unwrap();
    let mut wrong = Vec::new();

    for form in 0..4 {
        let data = tempfile::tempdir().unwrap();
        let all = play_through(&flows, data.path(), form, metrics.clone()).await;

        for (flow, calls) in flows.iter().zip(&all) {
            let name = &flow.name;
            let differences = differences_as_shown(flow, calls, Leniency::default());
            wrong.extend(
                differences
                    .iter()
                    .map(|difference| format!("{name} (form {form}): {difference}")),
            );
        }
    }

    assert!(
        wrong.is_empty(),
        "{} differences:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}
