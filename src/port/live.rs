//! The live view: what is going on right now, where other programs read it quickly. It is written after the ledger and may be lost at any
//! time; nothing is wrong then, only colder.

use futures_util::future::BoxFuture;

use super::ledger::{Changes, Standing};

/// Never fails and never takes long: what cannot be shown is not shown.
pub trait LiveView: Send + Sync {
    /// What was committed.
    fn show<'a>(&'a self, changes: &'a Changes) -> BoxFuture<'a, ()>;

    /// What a partition stands at when it is taken over: whatever is shown of it is shown again.
    fn restore<'a>(&'a self, standing: &'a Standing) -> BoxFuture<'a, ()>;
}

/// Nobody looks.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoView;

impl LiveView for NoView {
    fn show<'a>(&'a self, _: &'a Changes) -> BoxFuture<'a, ()> {
        Box::pin(std::future::ready(()))
    }

    fn restore<'a>(&'a self, _: &'a Standing) -> BoxFuture<'a, ()> {
        Box::pin(std::future::ready(()))
    }
}
