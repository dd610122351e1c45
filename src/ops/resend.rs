//! Sending events of a journal again after they were lost behind it: with a deleted queue, or a
//! database that was restored to an earlier state. Every event keeps its id and its receipt, so
//! events that are stored already change nothing.

use std::io;
use std::path::Path;
use std::time::Duration;

use tokio::time::Instant;

use crate::adapter::journal::{self, Handover, OpenError};
use crate::adapter::rabbit::Administration;
use crate::config::Settings;
use crate::domain::time::At;
use crate::setup::{Roles, SetupError, machine_clock, open_journal, servers};
use crate::wire::envelope::Envelope;
use crate::wire::message::Message;

/// The running service takes handed over events within this time, unless its journal is full.
const TAKEN_MAX: Duration = Duration::from_mins(5);
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Events received at or after `since`, and before `until`.
#[derive(Clone, Copy, Debug)]
pub struct Period {
    pub since: At,
    pub until: Option<At>,
}

impl Period {
    fn contains(&self, at: At) -> bool {
        at >= self.since && self.until.is_none_or(|until| at < until)
    }
}

/// Sends the events of a period again, or only counts them. Reports their number so far to
/// `progress`.
///
/// # Errors
/// When the journal cannot be read, or an event cannot be sent. Earlier ones are sent.
pub async fn resend(
    settings: &Settings,
    period: Period,
    dry_run: bool,
    progress: impl FnMut(u64),
) -> Result<u64, SetupError> {
    let folder = settings.data_dir.join("journal");
    let segments = journal::history(&folder)
        .map_err(|error| explain(&folder, &error))?
        .map(|segment| match segment {
            Ok(records) => Ok(events_of(records, period)),
            Err(error) => Err(SetupError::JournalRead(error)),
        });

    if dry_run {
        return count(segments, progress);
    }
    match servers(settings, Roles::INGRESS)? {
        Some(servers) => {
            let name = "cordboard resend";
            let broker = Administration::open(&servers.broker, servers.layout, name).await?;
            let sent = publish(&broker, segments, progress).await;
            broker.close().await;
            sent
        }
        None => append(settings, segments, progress).await,
    }
}

/// The events of a segment.
type Segment = Result<Vec<Vec<u8>>, SetupError>;

fn count(
    segments: impl Iterator<Item = Segment>,
    mut progress: impl FnMut(u64),
) -> Result<u64, SetupError> {
    let mut counted = 0;

    for segment in segments {
        counted += segment?.len() as u64;
        progress(counted);
    }

    Ok(counted)
}

async fn publish(
    broker: &Administration,
    segments: impl Iterator<Item = Segment>,
    mut progress: impl FnMut(u64),
) -> Result<u64, SetupError> {
    let mut sent = 0;

    for segment in segments {
        let events = segment?;
        broker.resend(&events).await?;
        sent += events.len() as u64;
        progress(sent);
    }

    Ok(sent)
}

/// The embedded profile has no queue but the journal: the events are appended to it again, by the
/// running service where there is one.
async fn append(
    settings: &Settings,
    segments: impl Iterator<Item = Segment>,
    mut progress: impl FnMut(u64),
) -> Result<u64, SetupError> {
    let opened = match open_journal(settings, machine_clock().now()) {
        Err(SetupError::Journal(OpenError::InUse { .. })) => {
            return hand_over(settings, segments, progress).await;
        }
        opened => opened?,
    };
    let mut sent = 0;

    for segment in segments {
        for event in segment? {
            opened.journal.append(event).await?;
            sent += 1;
        }
        progress(sent);
    }

    Ok(sent)
}

/// Hands the events over to the running service, and waits until it has taken them.
async fn hand_over(
    settings: &Settings,
    segments: impl Iterator<Item = Segment>,
    mut progress: impl FnMut(u64),
) -> Result<u64, SetupError> {
    let handover = Handover::of(&settings.data_dir);
    let mut file = handover.begin().map_err(SetupError::Handover)?;
    let mut sent = 0;

    for segment in segments {
        for event in segment? {
            file.push(&event).map_err(SetupError::Handover)?;
            sent += 1;
        }
        progress(sent);
    }
    let path = file.finish().map_err(SetupError::Handover)?;

    // The last sign of life of the service was its lock on the journal; it may stop meanwhile.
    let deadline = Instant::now() + TAKEN_MAX;
    while path.exists() {
        if Instant::now() > deadline {
            return Err(SetupError::NotTakenYet { path });
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }

    Ok(sent)
}

fn explain(folder: &Path, error: &io::Error) -> SetupError {
    let text = format!(
        "{}: {error}; run it on the machine and with the settings of an ingress",
        folder.display()
    );

    SetupError::JournalRead(io::Error::new(error.kind(), text))
}

/// The events of a period. Ticks of the past say nothing any more.
fn events_of(records: Vec<Vec<u8>>, period: Period) -> Vec<Vec<u8>> {
    let is_meant = |record: &Vec<u8>| match Message::decode(record) {
        Ok(Message::Event(Envelope { at, .. })) => period.contains(At(at)),
        _ => false,
    };

    records.into_iter().filter(is_meant).collect()
}
