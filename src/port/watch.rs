//! Following what happens.

use std::sync::Arc;

use futures_util::stream::BoxStream;

/// One event for watchers.
#[derive(Clone)]
pub struct WatchEvent {
    /// `None` says that events were missed: look at everything again.
    pub number: Option<u64>,
    pub name: &'static str,
    pub data: Arc<str>,
}

/// Where events come from.
pub trait Watch: Send + Sync {
    /// Events from now on, or from after the one with this number.
    fn watch(&self, known: Option<u64>) -> BoxStream<'static, WatchEvent>;
}

impl WatchEvent {
    /// What a watcher gets when it missed more than is kept.
    #[must_use]
    pub fn resync() -> WatchEvent {
        WatchEvent {
            number: None,
            name: "resync",
            data: "{}".into(),
        }
    }
}
