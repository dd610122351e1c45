//! From notifications to the agents whose phones have a part in the call.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;

use super::popup::helpline_of;
use crate::domain::time::At;
use crate::port::claims::Claims;
use crate::port::directory::Helpline;
use crate::port::error::LedgerError;
use crate::port::watch::Watch;
use crate::port::windows::Line;

/// Calls that wait for a slow stream.
const WAITING_MAX: usize = 64;
/// Calls of helplines that are not over.
const CALLS_MAX: usize = 10_000;

/// A call that changed.
#[derive(Clone)]
pub(super) enum Change {
    Call(Arc<Value>),
    /// It was no call after all.
    Withdrawn(Arc<str>),
    /// The agent is paused, or available again.
    Paused(bool),
    /// The agent's phones take no calls, or take them again.
    Silent(bool),
    /// The helplines of the site as they are now.
    Helplines(Arc<[Helpline]>),
    /// Notifications were missed: the agent begins again.
    Resync,
}

/// Claims are read again after this time.
const CLAIMS_KEPT: Duration = Duration::from_millis(500);

type ClaimsByCall = Arc<HashMap<String, String>>;
type ClaimsRead = tokio::sync::Mutex<Option<(Instant, ClaimsByCall)>>;

/// Passes calls to the streams of their extensions, and of the members of their helplines.
#[derive(Default)]
pub struct Switch {
    streams: Mutex<HashMap<Line, Vec<mpsc::Sender<Change>>>>,
    /// The helplines of each site with a stream.
    helplines: Mutex<HashMap<String, Arc<[Helpline]>>>,
    /// The members of helplines that heard of each call which is not over, by its id. They hear of its
    /// end, whichever phones ring by then.
    members: Mutex<HashMap<String, BTreeSet<String>>>,
    /// A person has changed the directory at this gateway.
    directory_changed: Notify,
    window_opened: Notify,
    claims: ClaimsRead,
}

impl Switch {
    /// Reads notifications until there are no more.
    pub async fn run(self: Arc<Switch>, watch: Arc<dyn Watch>) {
        let mut events = watch.watch(None);

        while let Some(event) = events.next().await {
            if event.number.is_none() {
                self.to_all(&Change::Resync);
                continue;
            }
            // Notifications are written by this program; others are no calls.
            let Ok(mut data) = serde_json::from_str::<Value>(&event.data) else {
                continue;
            };
            match data["call"].take() {
                Value::Null => {
                    let id = data["call_id"].as_str().unwrap_or_default();
                    let change = Change::Withdrawn(id.into());
                    match data["site"].as_str() {
                        Some(site) => self.to_site(site, &change),
                        None => self.to_all(&change),
                    }
                }
                call => self.to_lines(call),
            }
        }
    }

    /// The changes of the calls of one extension from now on.
    pub(super) fn subscribe(&self, site: &str, extension: &str) -> mpsc::Receiver<Change> {
        let (sender, receiver) = mpsc::channel(WAITING_MAX);
        let line = Line::new(site, extension);
        let mut streams = self.streams.lock();
        let of_line = streams.entry(line).or_default();
        of_line.retain(|sender| !sender.is_closed());
        of_line.push(sender);
        self.window_opened.notify_one();

        receiver
    }

    pub(super) async fn until_window_opens(&self) {
        self.window_opened.notified().await;
    }

    /// The directory has changed.
    pub(in crate::gateway) fn directory_changed(&self) {
        self.directory_changed.notify_one();
    }

    pub(super) async fn until_directory_changed(&self) {
        self.directory_changed.notified().await;
    }

    /// The names of people with claims by their calls, as they were a moment ago: all windows read them
    /// together.
    pub(super) async fn claims(
        &self,
        store: &dyn Claims,
        now: At,
    ) -> Result<ClaimsByCall, LedgerError> {
        let mut last = self.claims.lock().await;
        if let Some((read_at, claims)) = &*last
            && read_at.elapsed() < CLAIMS_KEPT
        {
            return Ok(Arc::clone(claims));
        }

        let claims = store.claims(now).await?.into_iter();
        let claims: HashMap<String, String> =
            claims.map(|claim| (claim.call_id, claim.user)).collect();
        let claims = Arc::new(claims);
        *last = Some((Instant::now(), Arc::clone(&claims)));
        Ok(claims)
    }

    /// The sites of the windows that are open.
    pub(super) fn sites(&self) -> BTreeSet<String> {
        let streams = self.streams.lock();

        streams.keys().map(|line| line.site.clone()).collect()
    }

    /// Tells every window of a site its helplines, and whether its agent is paused or his phones are
    /// silent.
    pub(super) fn update_site(
        &self,
        site: &str,
        helplines: &Arc<[Helpline]>,
        paused: &HashSet<String>,
        silent: &HashSet<String>,
    ) {
        self.set_helplines(site, Arc::clone(helplines));
        let mut streams = self.streams.lock();
        let of_site = streams.iter_mut().filter(|(line, _)| line.site == site);
        for (line, of_line) in of_site {
            send(of_line, &Change::Helplines(Arc::clone(helplines)));
            send(of_line, &Change::Paused(paused.contains(&line.extension)));
            send(of_line, &Change::Silent(silent.contains(&line.extension)));
        }
        streams.retain(|_, of_line| !of_line.is_empty());
    }

    /// Takes the helplines of a site as they are now.
    pub(super) fn set_helplines(&self, site: &str, helplines: Arc<[Helpline]>) {
        self.helplines.lock().insert(site.to_owned(), helplines);
    }

    /// The lines of the windows that are open at this gateway, in order.
    pub(super) fn open_lines(&self) -> Vec<Line> {
        let streams = self.streams.lock();
        let is_open =
            |of_line: &[mpsc::Sender<Change>]| of_line.iter().any(|sender| !sender.is_closed());
        let open = streams.iter().filter(|(_, of_line)| is_open(of_line));

        let mut lines: Vec<Line> = open.map(|(line, _)| line.clone()).collect();
        lines.sort();
        lines
    }

    /// Tells the windows of an agent that he is paused, or available again.
    pub(super) fn set_paused(&self, site: &str, extension: &str, is_paused: bool) {
        let line = Line::new(site, extension);

        if let Some(of_line) = self.streams.lock().get_mut(&line) {
            send(of_line, &Change::Paused(is_paused));
        }
    }

    fn to_lines(&self, call: Value) {
        let site = call["site"].as_str().unwrap_or_default().to_owned();
        let participants = call["participants"].as_array();
        let mut extensions: Vec<String> = participants
            .into_iter()
            .flatten()
            .filter_map(|participant| participant["extension"].as_str().map(ToOwned::to_owned))
            .collect();
        let helplines = self.helplines.lock().get(&site).cloned();
        let helpline = helpline_of(&call, helplines.as_deref().unwrap_or_default());
        extensions.extend(self.members_of(&call, helpline));
        extensions.sort_unstable();
        extensions.dedup();

        let change = Change::Call(Arc::new(call));
        let mut streams = self.streams.lock();
        for extension in extensions {
            let line = Line::new(&site, &extension);
            if let Some(of_line) = streams.get_mut(&line) {
                send(of_line, &change);
                if of_line.is_empty() {
                    streams.remove(&line);
                }
            }
        }
    }

    /// The members of the helpline of a call, and of those that it had before.
    fn members_of(&self, call: &Value, helpline: Option<&Helpline>) -> Vec<String> {
        let id = call["id"].as_str().unwrap_or_default();
        let mut calls = self.members.lock();
        if calls.len() >= CALLS_MAX {
            calls.clear();
        }

        if let Some(helpline) = helpline {
            let members = calls.entry(id.to_owned()).or_default();
            members.extend(helpline.members.iter().cloned());
        }
        if call["ended_at"].is_string() {
            return calls.remove(id).into_iter().flatten().collect();
        }

        calls.get(id).into_iter().flatten().cloned().collect()
    }

    fn to_all(&self, change: &Change) {
        self.to_each(change, |_| true);
    }

    fn to_site(&self, site: &str, change: &Change) {
        self.to_each(change, |line| line.site == site);
    }

    fn to_each(&self, change: &Change, concerns: impl Fn(&Line) -> bool) {
        let mut streams = self.streams.lock();
        let concerned = streams.iter_mut().filter(|(line, _)| concerns(line));
        for (_, of_line) in concerned {
            send(of_line, change);
        }
        streams.retain(|_, of_line| !of_line.is_empty());
    }
}

/// A stream that is closed, or too far behind, is dropped: its end is seen by the agent, who begins
/// again.
fn send(of_line: &mut Vec<mpsc::Sender<Change>>, change: &Change) {
    of_line.retain(|sender| sender.try_send(change.clone()).is_ok());
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn calls_reach_the_extensions_in_them_and_no_others() {
        let switch = Switch::default();
        let mut own = switch.subscribe("berlin", "201");
        let mut other = switch.subscribe("berlin", "202");
        let mut elsewhere = switch.subscribe("lahore", "201");

        switch.to_lines(json!({
            "site": "berlin",
            "participants": [{ "extension": "201" }, { "extension": "201" }],
        }));

        assert!(matches!(own.try_recv(), Ok(Change::Call(_))));
        assert!(own.try_recv().is_err());
        assert!(other.try_recv().is_err());
        assert!(elsewhere.try_recv().is_err());
    }

    #[test]
    fn a_stream_that_does_not_read_is_ended() {
        let switch = Switch::default();
        let mut slow = switch.subscribe("berlin", "201");

        for _ in 0..=WAITING_MAX {
            switch.to_all(&Change::Resync);
        }

        let mut received = 0;
        while slow.try_recv().is_ok() {
            received += 1;
        }
        assert_eq!(received, WAITING_MAX);
        assert!(switch.streams.lock().is_empty());
    }
}
