//! The running parts of a process, and the order of their end: first no more requests, then the
//! work on what was received, then the HTTP listeners.

use std::future::pending;

use futures_util::future::select_all;
use tokio::task::JoinHandle;

use super::ingress::IngressRole;
use super::lifecycle::stopping;
use super::part::Part;
use super::{ServiceError, Stop};

/// A process with all its parts.
pub(super) struct Process {
    pub ingress: Option<IngressRole>,
    /// Parts that work on what was received.
    pub parts: Vec<Part>,
    /// The HTTP listeners of gateway and operations.
    pub http: Vec<JoinHandle<()>>,
    pub stop: Stop,
}

impl Process {
    /// Runs until the stop, or until a part ends without one.
    pub(super) async fn run(self) -> Result<(), ServiceError> {
        let Process {
            mut ingress,
            mut parts,
            http,
            stop,
        } = self;
        let deadline = tokio::spawn(stop.clone().drain_deadline());

        let requests = ingress.as_mut().map_or(&mut [][..], IngressRole::parts);
        let ended_early = stop
            .run_until_stopped(first_ended(requests, &mut parts))
            .await;
        stopping();
        stop.soft.cancel();

        // The journal ends with the ingress, and the parts that read it when they have read all.
        if let Some(ingress) = ingress {
            ingress.end(&stop).await;
        }
        let finished = if let Some(error) = ended_early {
            Err(error)
        } else {
            tokio::select! {
                finished = finish(parts) => finished,
                // Work that is cut off here is done after the next start.
                () = stop.hard_stop_grace() => Ok(()),
            }
        };

        deadline.abort();
        stop.hard.cancel();
        for listener in http {
            // A panic there was logged, and costs nothing at the end.
            let _ = listener.await;
        }

        finished
    }
}

/// Waits for the first part that ends. Without any it waits for ever.
async fn first_ended(requests: &mut [Part], parts: &mut [Part]) -> ServiceError {
    let all = requests.iter_mut().chain(parts.iter_mut());
    let joins: Vec<_> = all
        .map(|part| {
            Box::pin(async {
                let ended = part.join().await;
                ended.err().unwrap_or(ServiceError::Ended(part.name))
            })
        })
        .collect();

    if joins.is_empty() {
        return pending().await;
    }
    let (error, _, _) = select_all(joins).await;
    error
}

/// Waits for all parts. Returns the first error.
async fn finish(parts: Vec<Part>) -> Result<(), ServiceError> {
    let mut finished = Ok(());

    for mut part in parts {
        let ended = part.join().await;
        finished = finished.and(ended);
    }

    finished
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_part_that_ends_early_ends_the_process_with_its_name() {
        let stop = Stop::default();
        let until_stopped = stop.soft.clone();
        let parts = vec![
            Part::spawn("a part that goes on", async move {
                until_stopped.cancelled().await;
            }),
            Part::spawn("the part that ends", async {}),
        ];
        let process = Process {
            ingress: None,
            parts,
            http: Vec::new(),
            stop,
        };

        let ended = process.run().await;
        assert!(matches!(
            ended,
            Err(ServiceError::Ended("the part that ends"))
        ));
    }

    #[tokio::test]
    async fn parts_that_end_with_the_stop_end_the_process_well() {
        let stop = Stop::default();
        let asks_for_the_stop = stop.clone();
        let parts = vec![Part::spawn("the part", async move {
            asks_for_the_stop.request();
        })];
        let process = Process {
            ingress: None,
            parts,
            http: Vec::new(),
            stop,
        };

        assert!(process.run().await.is_ok());
    }
}
