//! Sending again what a journal still holds, although it was taken to where it belongs: for when it
//! was lost there, with a queue that somebody deleted or a database that was restored. Every event
//! has the id and the instant it has; what is known already changes nothing.

use super::open::open_journal;
use super::{Roles, ServiceError, machine_clock, place};
use crate::adapter::journal;
use crate::adapter::rabbit::send_again;
use crate::config::Settings;
use crate::domain::time::At;
use crate::wire::envelope::Envelope;
use crate::wire::message::Message;

/// Which events are meant: received at or after the one, and before the other.
#[derive(Clone, Copy, Debug)]
pub struct Period {
    pub since: At,
    pub until: Option<At>,
}

impl Period {
    fn has(&self, at: At) -> bool {
        at >= self.since && self.until.is_none_or(|until| at < until)
    }
}

/// Sends again what this ingress received in a period, or only counts it. `each` hears how much
/// that is by now.
///
/// # Errors
/// When the journal cannot be read, or what it holds cannot be sent. What was sent before stays
/// sent.
pub async fn resend(
    settings: &Settings,
    period: Period,
    dry_run: bool,
    mut each: impl FnMut(u64),
) -> Result<u64, ServiceError> {
    let folder = settings.data_dir.join("journal");
    let history = journal::history(&folder).map_err(|error| {
        let what = "run it on the machine and with the settings of an ingress";
        ServiceError::Inbox(std::io::Error::new(
            error.kind(),
            format!("{}: {error}; {what}", folder.display()),
        ))
    })?;
    let held = history.map(|segment| segment.map(|records| events(records, period)));
    let mut sent = 0;
    if dry_run {
        for segment in held {
            sent += segment.map_err(ServiceError::Inbox)?.len() as u64;
            each(sent);
        }
        return Ok(sent);
    }
    let only_ingress = Roles {
        ingress: true,
        worker: false,
        gateway: false,
    };
    if let Some(servers) = place::servers(settings, only_ingress)? {
        let connection = servers.broker.connect("cordboard resend").await?;
        for segment in held {
            let events = segment.map_err(ServiceError::Inbox)?;
            sent += events.len() as u64;
            send_again(&connection, servers.layout, &events).await?;
            each(sent);
        }
        let _closed = connection.close(200, "done".into()).await;
        return Ok(sent);
    }
    // The journal is the queue: they are received once more.
    let (journal, ..) = open_journal(settings, machine_clock().now())?;
    for segment in held {
        for event in segment.map_err(ServiceError::Inbox)? {
            journal
                .append(event)
                .await
                .map_err(|refused| ServiceError::Inbox(std::io::Error::other(refused)))?;
            sent += 1;
        }
        each(sent);
    }
    Ok(sent)
}

fn events(records: Vec<Vec<u8>>, period: Period) -> Vec<Vec<u8>> {
    // Promises of the past say nothing any more.
    let meant = |record: &Vec<u8>| matches!(Message::decode(record), Ok(Message::Report(Envelope { at, .. })) if period.has(At(at)));
    records.into_iter().filter(meant).collect()
}
