//! A day of the world that knows the truth, played against the running service in real time, as an
//! operator plays it against his own.

use crate::support::service::{Service, command, output};

/// A short day: its calls are over within a minute.
const DAY: [&str; 7] = [
    "simulate-days",
    "--verify",
    "--calls",
    "2",
    "--load",
    "overload",
    "--seed=8",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_day_that_was_played_to_the_service_is_judged_by_its_api() {
    let data = tempfile::tempdir().unwrap();
    let settings = [("POLICY__REGION", "DE")];
    let service = Service::begin(command(data.path(), &["serve"], &settings)).await;
    service.wait_until_ready().await;
    let to = service.ingress.to_string();
    let api = format!("http://{}", service.gateway);

    let arguments = [&DAY[..], &["--to", &to, "--api", &api]].concat();
    let output = output(command(data.path(), &arguments, &[])).await;
    service.stop().await;

    let table = String::from_utf8(output.stdout).unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let line = |name: &str| table.lines().find(|line| line.starts_with(name));
    assert!(
        line("calls ").is_some_and(|line| line.contains(" 2")),
        "{table}"
    );
    assert!(
        line("exact ").is_some_and(|line| line.contains(" 2 ")),
        "{table}"
    );
}
