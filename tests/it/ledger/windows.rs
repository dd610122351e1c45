//! Laws of the windows of agents.

use cordboard::domain::time::At;
use cordboard::port::windows::{LastWindow, Line, Windows};

use super::Store;

/// The windows of a site, or of all sites, at an instant: a gateway gives a sign within ten seconds.
async fn windows(ledger: &impl Windows, site: Option<&str>, second: i64) -> Vec<LastWindow> {
    let mut windows = ledger.last_windows(site, At(second - 10)).await.unwrap();
    windows.sort_by(|a, b| a.line.cmp(&b.line));

    windows
}

fn last(site: &str, extension: &str, is_open: bool, second: i64) -> LastWindow {
    LastWindow {
        line: Line::new(site, extension),
        is_open,
        seen_at: At(second),
    }
}

pub async fn a_window_is_open_at_any_gateway_until_it_closes_or_its_gateway_dies(
    store: &impl Store,
) {
    let ledger = store.open().await;
    let keep = async |gateway: &str, lines: &[Line], second: i64| {
        let kept = ledger.keep_windows(gateway, lines, At(second)).await;
        kept.unwrap();
    };
    keep("a", &[], 0).await;
    assert!(windows(&ledger, None, 0).await.is_empty());

    keep(
        "a",
        &[Line::new("berlin", "201"), Line::new("lahore", "201")],
        1,
    )
    .await;
    keep(
        "b",
        &[Line::new("berlin", "201"), Line::new("berlin", "202")],
        2,
    )
    .await;
    let berlin = [
        last("berlin", "201", true, 2),
        last("berlin", "202", true, 2),
    ];
    assert_eq!(windows(&ledger, Some("berlin"), 3).await, berlin);
    assert_eq!(windows(&ledger, None, 3).await.len(), 3);

    // One of two windows of a line closes, and a gateway goes on with the other line.
    keep("b", &[Line::new("berlin", "202")], 4).await;
    let berlin = [
        last("berlin", "201", true, 4),
        last("berlin", "202", true, 4),
    ];
    assert_eq!(windows(&ledger, Some("berlin"), 5).await, berlin);
    keep("a", &[], 6).await;
    let berlin = [
        last("berlin", "201", false, 6),
        last("berlin", "202", true, 4),
    ];
    assert_eq!(windows(&ledger, Some("berlin"), 7).await, berlin);

    let berlin = [
        last("berlin", "201", false, 6),
        last("berlin", "202", false, 4),
    ];
    assert_eq!(windows(&ledger, Some("berlin"), 20).await, berlin);
}
