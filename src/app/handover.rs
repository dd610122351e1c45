//! The running service takes over events that a command hands to it, because it holds the journal
//! open itself.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::try_join_all;
use tokio_util::sync::CancellationToken;

use crate::adapter::journal::{Handover, handed_over};
use crate::chain::Chain;
use crate::port::intake::{Intake, NotDurable};
use crate::wire::message::Message;

/// How often the folder is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Events that share one sync of the journal.
const EVENTS_AT_ONCE: usize = 256;

#[derive(Debug, thiserror::Error)]
enum HandoverError {
    #[error("handed over events cannot be read")]
    Unreadable(#[from] io::Error),
    #[error("handed over events cannot be stored")]
    NotDurable(#[from] NotDurable),
}

/// Appends handed over events to the journal until the stop. After a failure a file is taken from
/// its beginning again: events that are stored already change nothing.
pub(super) async fn take_handed_over(
    handover: Handover,
    intake: Arc<dyn Intake>,
    stop: CancellationToken,
) {
    loop {
        tokio::select! {
            taken = take_files(&handover, &*intake) => {
                if let Err(error) = taken {
                    tracing::error!(error = %Chain(&error), "will be tried again");
                }
            }
            () = stop.cancelled() => return,
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => {}
            () = stop.cancelled() => return,
        }
    }
}

async fn take_files(handover: &Handover, intake: &dyn Intake) -> Result<(), HandoverError> {
    for file in handover.files()? {
        let events = take_file(&file, intake).await?;
        std::fs::remove_file(&file)?;
        tracing::info!(events, "events were sent again by `resend`");
    }

    Ok(())
}

async fn take_file(file: &Path, intake: &dyn Intake) -> Result<u64, HandoverError> {
    let mut lines = handed_over(file)?;
    let mut count = 0;

    loop {
        let group: Vec<Vec<u8>> = lines
            .by_ref()
            .take(EVENTS_AT_ONCE)
            .collect::<io::Result<_>>()?;
        if group.is_empty() {
            return Ok(count);
        }

        let events = group
            .into_iter()
            .filter(|line| matches!(Message::decode(line), Ok(Message::Event(_))));
        let accepted = try_join_all(events.map(|event| intake.accept(event))).await?;
        count += accepted.len() as u64;
    }
}
