//! The parts of a process that keep what other programs have registered, and look up.

use super::Stop;
use super::part::Part;
use crate::gateway::Gateway;

/// Closes calls of other programs that were never ended, until the stop.
pub(super) fn reap_calls(gateway: &Gateway, stop: &Stop) -> Part {
    let states = gateway.states.clone();

    Part::spawn(
        "the calls of other programs",
        states.reap(stop.soft.clone()),
    )
}

/// Decides transfers of other programs until the stop.
pub(super) fn decide_transfers(gateway: &Gateway, stop: &Stop) -> Part {
    let transfers = gateway.transfers.clone();

    Part::spawn(
        "the transfers of other programs",
        transfers.run(stop.soft.clone()),
    )
}

/// Keeps the directory in the live view until the stop.
pub(super) fn keep_lookups(gateway: &Gateway, stop: &Stop) -> Part {
    let gateway = gateway.clone();

    Part::spawn(
        "the names in the live view",
        gateway.keep_lookups(stop.soft.clone()),
    )
}

/// Moves events of other programs to the sites of their calls until the stop.
pub(super) fn settle_events(gateway: &Gateway, stop: &Stop) -> Part {
    let events = gateway.events.clone();
    let stopped = stop.soft.clone();

    Part::spawn("the events of other programs", async move {
        match events {
            Some(events) => events.run(stopped).await,
            None => stopped.cancelled().await,
        }
    })
}
