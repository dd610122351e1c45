//! The event stream for watchers.

use std::sync::Arc;

use futures_util::stream::BoxStream;

use super::outbox::Notification;

/// The name of the event that tells a watcher to read everything again.
pub const RESYNC: &str = "resync";

/// One event of the stream.
#[derive(Clone)]
pub struct WatchEvent {
    /// `None` when it is no notification: events were missed, or the desk has changed.
    pub number: Option<u64>,
    pub name: &'static str,
    pub data: Arc<str>,
}

/// The watchers of a process.
pub trait Watchers: Send + Sync {
    fn pass_on(&self, notification: Notification);

    /// Takes a notification of the past, for watchers that come back.
    fn remember(&self, notification: Notification);

    /// Notifications are missing before the next one: those who come back from before it begin again.
    fn forget(&self);

    /// Every watcher reads everything again.
    fn resync(&self);
}

/// The source of the stream.
pub trait Watch: Send + Sync {
    /// Events from now on, or after the event with this number.
    fn watch(&self, known: Option<u64>) -> BoxStream<'static, WatchEvent>;
}

impl WatchEvent {
    /// The event for a watcher that missed more than is stored.
    #[must_use]
    pub fn resync() -> WatchEvent {
        WatchEvent {
            number: None,
            name: RESYNC,
            data: "{}".into(),
        }
    }
}
