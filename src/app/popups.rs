//! The part of a process that passes calls to the windows of agents.

use std::sync::Arc;

use super::Stop;
use super::part::Part;
use crate::gateway::Gateway;

/// Reads notifications until the stop.
pub(super) fn switch_popups(gateway: &Gateway, stop: &Stop) -> Part {
    let reads = Arc::clone(&gateway.popups).run(Arc::clone(&gateway.watch));
    let stopped = stop.soft.clone();

    Part::spawn("the switch of popups", async move {
        tokio::select! {
            () = reads => {}
            () = stopped.cancelled() => {}
        }
        // Without notifications there is nothing to pass on, and the process goes on.
        stopped.cancelled().await;
    })
}
