//! A task of a role.

use tokio::task::{JoinError, JoinHandle};

use super::ServiceError;

/// A task that ends only after the stop.
pub(super) struct Part {
    pub name: &'static str,
    task: JoinHandle<Result<(), ServiceError>>,
}

impl Part {
    pub(super) fn spawn(
        name: &'static str,
        work: impl Future<Output = ()> + Send + 'static,
    ) -> Part {
        Part::spawn_fallible(name, async {
            work.await;
            Ok::<(), ServiceError>(())
        })
    }

    pub(super) fn spawn_fallible<E: Into<ServiceError>>(
        name: &'static str,
        work: impl Future<Output = Result<(), E>> + Send + 'static,
    ) -> Part {
        let task = tokio::spawn(async { work.await.map_err(Into::into) });

        Part { name, task }
    }

    /// Waits for the end.
    pub(super) async fn join(&mut self) -> Result<(), ServiceError> {
        let ended: Result<_, JoinError> = (&mut self.task).await;

        ended.unwrap_or(Err(ServiceError::Ended(self.name)))
    }
}
