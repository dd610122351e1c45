//! Checks of the running service, through its operations listener, and of the time that it has
//! stored.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use reqwest::Client;
use serde_json::{Map, Value};

use super::finding::Finding;
use crate::chain::Chain;
use crate::config::Settings;
use crate::domain::time::At;
use crate::domain::window::OutsideWindow;
use crate::port::ledger::{LedgerError, RecordAudit};

const ANSWER_MAX: Duration = Duration::from_secs(3);
const IGNORED_TICKS: &str = "cordboard_worker_ticks_ignored_total";
const STATE_FAILURES: &str = "cordboard_worker_state_failures_total";

/// What the running service says of itself. Nothing, where none answers.
pub(super) async fn check_service(settings: &Settings) -> Vec<Finding> {
    let address = reachable(settings.operations.listen);
    let Ok(client) = Client::builder().timeout(ANSWER_MAX).no_proxy().build() else {
        return Vec::new();
    };
    let Some(readiness) = get(&client, address, "readyz").await else {
        return Vec::new();
    };

    let mut findings = vec![check_readiness(&readiness)];
    if let Some(metrics) = get(&client, address, "metrics").await {
        findings.extend(check_counters(&metrics));
    }

    findings
}

async fn get(client: &Client, address: SocketAddr, path: &str) -> Option<String> {
    let answer = client.get(format!("http://{address}/{path}")).send().await;

    answer.ok()?.text().await.ok()
}

/// The address of a listener on all addresses is that of this machine.
fn reachable(listener: SocketAddr) -> SocketAddr {
    let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let address = Some(listener.ip()).filter(|address| !address.is_unspecified());

    SocketAddr::new(address.unwrap_or(loopback), listener.port())
}

fn check_readiness(body: &str) -> Finding {
    let dependencies: Map<String, Value> = serde_json::from_str(body).unwrap_or_default();
    let status = dependencies.get("status").and_then(Value::as_str);
    let status = status.unwrap_or("of another program").to_owned();
    let problems: Vec<String> = dependencies
        .iter()
        .filter(|(name, state)| *name != "status" && state.as_str().is_some_and(|it| it != "ok"))
        .map(|(name, state)| format!("{name}: {}", state.as_str().unwrap_or_default()))
        .collect();

    if problems.is_empty() {
        return Finding::good("service", format!("running, {status}"));
    }
    let text = format!("running, {status}; {}", problems.join("; "));
    let is_stuck = problems.iter().any(|one| one.contains("stored state"));
    if is_stuck {
        return Finding::bad(
            "service",
            format!("{text}. `CordboardStoredStateFails` in the runbook has the way back"),
        );
    }
    Finding::bad("service", text)
}

/// Situations that the counters of the process tell, and its readiness does not.
fn check_counters(metrics: &str) -> Vec<Finding> {
    let mut findings = Vec::new();

    let disbelieved = sum(metrics, IGNORED_TICKS, "outside_window");
    if disbelieved > 0.0 {
        findings.push(Finding::bad(
            "ticks",
            format!(
                "{disbelieved} ticks were not believed since the start: the clock of an ingress \
                 or of this machine is wrong, or they are forged. See \
                 `CordboardTicksDisbelieved` in the runbook"
            ),
        ));
    }
    let failures = sum(metrics, STATE_FAILURES, "");
    if failures > 0.0 {
        findings.push(Finding::note(
            "state",
            format!(
                "stored state failed {failures} times since the start, so that no message was \
                 charged; see `CordboardStoredStateFails` in the runbook"
            ),
        ));
    }

    findings
}

/// The sum of the samples of a counter whose labels contain a text.
fn sum(metrics: &str, name: &str, label: &str) -> f64 {
    metrics
        .lines()
        .filter_map(|line| line.strip_prefix(name))
        .filter(|rest| rest.starts_with(['{', ' ']) && rest.contains(label))
        .filter_map(|rest| rest.rsplit(' ').next()?.parse::<f64>().ok())
        .sum()
}

/// Whether stored time is ahead of the clock.
pub(super) async fn check_time(
    ledger: &dyn RecordAudit,
    settings: &Settings,
    now: At,
) -> Option<Finding> {
    match ledger.sites().await {
        Ok(sites) => check_watermark(sites.into_iter().map(|(_, at)| at).max()?, settings, now),
        // A database before its first start has no tables yet.
        Err(LedgerError::Rejected(_)) => None,
        Err(error) => Some(Finding::bad("time", Chain(&error).to_string())),
    }
}

fn check_watermark(watermark: At, settings: &Settings, now: At) -> Option<Finding> {
    let window = settings.worker.believed().window;
    let Err(OutsideWindow::Ahead(ahead)) = window.check(watermark, now) else {
        return None;
    };

    Some(Finding::bad(
        "time",
        format!(
            "has passed in the database up to {} s ahead of this machine's clock: a clock was \
             ahead, or this one is behind. Once the clocks are right, the next start of the worker \
             corrects it; see `CordboardTicksDisbelieved` in the runbook",
            ahead.0 / 1_000_000
        ),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::Span;
    use crate::ops::finding::Grade;

    #[test]
    fn stored_state_that_fails_is_named() {
        let ready = check_readiness(r#"{"status":"ready","database":"ok"}"#);
        assert_eq!(ready.grade, Grade::Good);

        let text = r#"{"status":"unready","database":"stored state of partition 0 fails: x"}"#;
        let stuck = check_readiness(text);
        assert_eq!(stuck.grade, Grade::Bad);
        assert!(
            stuck.text.contains("CordboardStoredStateFails"),
            "{}",
            stuck.text
        );
    }

    #[test]
    fn ticks_that_are_not_believed_are_named() {
        let metrics = |outside: u32| {
            format!(
                "# HELP {IGNORED_TICKS} x\n{IGNORED_TICKS}{{reason=\"unregistered\"}} 7\n\
                 {IGNORED_TICKS}{{reason=\"outside_window\"}} {outside}\n{STATE_FAILURES} 0\n"
            )
        };

        assert!(check_counters(&metrics(0)).is_empty());
        let findings = check_counters(&metrics(3));
        assert_eq!((findings.len(), findings[0].subject), (1, "ticks"));
    }

    #[test]
    fn stored_time_ahead_of_the_clock_is_named() {
        let settings = Settings::load(None, []).unwrap();
        let now = At(1_800_000_000_000_000);

        assert!(check_watermark(now, &settings, now).is_none());
        let ahead = check_watermark(now + Span::seconds(86_400), &settings, now);
        assert_eq!(ahead.map(|finding| finding.subject), Some("time"));
    }
}
