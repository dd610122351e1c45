//! A task of a role.

use tokio::task::{JoinError, JoinHandle};

use super::ServiceError;

/// A task that ends only after the stop.
pub(super) struct Part {
    pub name: &'static str,
    /// `None` after it was joined.
    task: Option<JoinHandle<Result<(), ServiceError>>>,
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

        Part {
            name,
            task: Some(task),
        }
    }

    /// Waits for the end. The result is returned once; a later join succeeds at once.
    pub(super) async fn join(&mut self) -> Result<(), ServiceError> {
        let Some(task) = &mut self.task else {
            return Ok(());
        };
        let ended: Result<_, JoinError> = task.await;
        self.task = None;

        ended.unwrap_or(Err(ServiceError::Ended(self.name)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_part_can_be_joined_again() {
        let mut part = Part::spawn("the part", async { panic!("a defect") });

        assert!(matches!(
            part.join().await,
            Err(ServiceError::Ended("the part"))
        ));
        assert!(part.join().await.is_ok());
    }
}
