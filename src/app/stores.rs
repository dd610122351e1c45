//! The database and the live view of a process, whichever they are, and the gateway over them.

use std::sync::Arc;

use super::ServiceError;
use super::callers::caller_book;
use super::webhooks::dispatcher;
use crate::adapter::memory::MemoryOutbox;
use crate::adapter::redis::{RedisDirectory, RedisEventLog, RedisPresence};
use crate::config::Settings;
use crate::gateway::{
    Access, AwaitedTransfers, CallStates, DeskBell, EventKeeper, Gateway, Outdated, Sites,
};
use crate::port::accounts::Accounts;
use crate::port::claims::Claims;
use crate::port::clock::Clock;
use crate::port::contacts::Contacts;
use crate::port::desk::Desk;
use crate::port::directory::Directory;
use crate::port::event_log::EventLog;
use crate::port::ledger::{FactHistory, Ledger};
use crate::port::links::Links;
use crate::port::live::{LiveDirectory, Presence};
use crate::port::outbox::NotificationLog;
use crate::port::query::Query;
use crate::port::repeats::Repeats;
use crate::port::site_rules::SiteRules;
use crate::port::states::StateLedger;
use crate::port::transfers::Transfers;
use crate::port::webhooks::Webhooks;
use crate::port::windows::Windows;
use crate::setup::LiveLinks;

/// One database, by what the roles need of it.
#[derive(Clone)]
pub(super) struct Stores {
    pub ledger: Arc<dyn Ledger>,
    pub query: Arc<dyn Query>,
    pub log: Arc<dyn NotificationLog>,
    states: Arc<dyn StateLedger>,
    accounts: Arc<dyn Accounts>,
    desk: Arc<dyn Desk>,
    people: Arc<dyn Directory>,
    contacts: Arc<dyn Contacts>,
    claims: Arc<dyn Claims>,
    windows: Arc<dyn Windows>,
    links: Arc<dyn Links>,
    webhooks: Arc<dyn Webhooks>,
    transfers: Arc<dyn Transfers>,
    repeats: Arc<dyn Repeats>,
    site_rules: Arc<dyn SiteRules>,
    history: Arc<dyn FactHistory>,
}

impl Stores {
    pub(super) fn of<L>(ledger: &Arc<L>) -> Stores
    where
        L: Ledger
            + Query
            + NotificationLog
            + StateLedger
            + Accounts
            + Desk
            + Directory
            + Contacts
            + Claims
            + Windows
            + Links
            + Webhooks
            + Transfers
            + Repeats
            + SiteRules
            + 'static,
    {
        Stores {
            ledger: Arc::clone(ledger) as _,
            query: Arc::clone(ledger) as _,
            log: Arc::clone(ledger) as _,
            states: Arc::clone(ledger) as _,
            accounts: Arc::clone(ledger) as _,
            desk: Arc::clone(ledger) as _,
            people: Arc::clone(ledger) as _,
            contacts: Arc::clone(ledger) as _,
            claims: Arc::clone(ledger) as _,
            windows: Arc::clone(ledger) as _,
            links: Arc::clone(ledger) as _,
            webhooks: Arc::clone(ledger) as _,
            transfers: Arc::clone(ledger) as _,
            repeats: Arc::clone(ledger) as _,
            site_rules: Arc::clone(ledger) as _,
            history: Arc::clone(ledger) as _,
        }
    }

    /// The gateway over this database. `process` is the name of this process among its gateways.
    pub(super) fn gateway(
        &self,
        process: &str,
        settings: &Settings,
        watchers: &Arc<MemoryOutbox>,
        live: LivePorts,
        clock: &Arc<dyn Clock>,
    ) -> Result<Gateway, ServiceError> {
        let policies = settings.policies()?;
        let callers = caller_book(
            settings,
            Arc::clone(&self.contacts),
            live.directory.clone(),
            clock,
        )?;
        let settings = &settings.gateway;
        let transfer_directory = live.directory.clone();

        Ok(Gateway {
            query: Arc::clone(&self.query),
            states: CallStates {
                ledger: Arc::clone(&self.states),
                directory: live.directory.clone(),
                clock: Arc::clone(clock),
                outdated: Outdated::default(),
            },
            watch: Arc::clone(watchers) as _,
            directory: live.directory,
            presence: live.presence,
            clock: Arc::clone(clock),
            watchers: settings.watcher_limit(),
            access: Arc::new(Access::new(
                Arc::clone(&self.accounts),
                Arc::clone(clock),
                settings.is_open_allowed(),
            )),
            desk: Arc::clone(&self.desk),
            desk_bell: DeskBell::default(),
            sites: Sites::new(Arc::clone(&self.site_rules), settings.default_goals()),
            people: Arc::clone(&self.people),
            callers,
            claims: Arc::clone(&self.claims),
            windows: Arc::clone(&self.windows),
            links: Arc::clone(&self.links),
            process: process.into(),
            popups: Arc::default(),
            events: live.events.map(|log| EventKeeper {
                log,
                states: Arc::clone(&self.states),
                clock: Arc::clone(clock),
            }),
            transfers: AwaitedTransfers::new(
                Arc::clone(&self.transfers),
                Arc::clone(&self.query),
                transfer_directory,
                Arc::clone(watchers) as _,
                Arc::clone(clock),
            ),
            webhooks: dispatcher(
                process,
                settings,
                Arc::clone(&self.webhooks),
                Arc::clone(watchers) as _,
                clock,
            )?,
            repeats: Arc::clone(&self.repeats),
            history: Arc::clone(&self.history),
            policies,
        })
    }
}

/// The live view as a gateway uses it; nothing without Redis.
#[derive(Default)]
pub(super) struct LivePorts {
    directory: Option<Arc<dyn LiveDirectory>>,
    presence: Option<Arc<dyn Presence>>,
    events: Option<Arc<dyn EventLog>>,
}

impl LivePorts {
    pub(super) fn of(
        links: Option<&LiveLinks>,
        prefix: &str,
        partitions: Vec<String>,
    ) -> LivePorts {
        let Some(links) = links else {
            return LivePorts::default();
        };
        let gateway_id = uuid::Uuid::now_v7().to_string();

        LivePorts {
            directory: Some(Arc::new(RedisDirectory::new(
                Arc::clone(&links.calls),
                Arc::clone(&links.cache),
                prefix,
                partitions,
            ))),
            presence: Some(Arc::new(RedisPresence::new(
                Arc::clone(&links.calls),
                prefix,
                &gateway_id,
            ))),
            events: Some(Arc::new(RedisEventLog::new(
                Arc::clone(&links.calls),
                prefix,
                &gateway_id,
            ))),
        }
    }
}
