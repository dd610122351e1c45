//! The work of a gateway beside its interfaces.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::Stop;
use super::clock::once_read;
use super::part::Part;
use crate::gateway::Gateway;

/// All of it, until the stop. What decides by time begins when the clock was read.
pub(super) fn gateway_parts(
    gateway: &Gateway,
    stop: &Stop,
    clock_is_read: &CancellationToken,
) -> Vec<Part> {
    let webhooks = gateway.webhooks.clone().run(stop.soft.clone());
    let calls = gateway.states.clone().reap(stop.soft.clone());
    let transfers = gateway.transfers.clone().run(stop.soft.clone());
    let lookups = gateway.clone().keep_lookups(stop.soft.clone());
    let popups = gateway.clone().keep_popups(stop.soft.clone());
    let windows = gateway.clone().keep_windows(stop.soft.clone());
    let desk = gateway.clone().keep_desk(stop.soft.clone());
    let desk_changes = gateway.clone().watch_desk(stop.soft.clone());
    let escalations = gateway.clone().escalate_callers(stop.soft.clone());
    let (is_read, stopped) = (clock_is_read, &stop.soft);

    vec![
        switch_popups(gateway, stop),
        Part::spawn("the webhooks", once_read(is_read, stopped, webhooks)),
        Part::spawn(
            "the calls of other programs",
            once_read(is_read, stopped, calls),
        ),
        Part::spawn(
            "the transfers of other programs",
            once_read(is_read, stopped, transfers),
        ),
        Part::spawn("the names in the live view", lookups),
        Part::spawn("the windows of agents", popups),
        Part::spawn(
            "the presence of agents",
            once_read(is_read, stopped, windows),
        ),
        Part::spawn("changes of the desk", desk_changes),
        Part::spawn("the missed-call desk", once_read(is_read, stopped, desk)),
        Part::spawn(
            "escalations of the desk",
            once_read(is_read, stopped, escalations),
        ),
        assign_events(gateway, stop),
    ]
}

/// Passes calls to the windows of agents.
fn switch_popups(gateway: &Gateway, stop: &Stop) -> Part {
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

/// Moves events of other programs to the sites of their calls.
fn assign_events(gateway: &Gateway, stop: &Stop) -> Part {
    let events = gateway.events.clone();
    let stopped = stop.soft.clone();

    Part::spawn("the events of other programs", async move {
        match events {
            Some(events) => events.run(stopped).await,
            None => stopped.cancelled().await,
        }
    })
}
