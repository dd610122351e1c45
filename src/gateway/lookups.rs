//! The directory in the cache of the live view, where other programs look names up.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::Gateway;
use crate::chain::Chain;
use crate::port::error::LedgerError;
use crate::port::live::{CacheKey, LiveDirectory};

/// Before the lists expire, which is after an hour.
const FILL_EVERY: Duration = Duration::from_mins(30);

impl Gateway {
    /// Writes the directory again and again until the stop.
    pub async fn keep_lookups(self, stop: CancellationToken) {
        let mut rounds = interval(FILL_EVERY);
        rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);

        loop {
            tokio::select! {
                _ = rounds.tick() => self.fill_lookups().await,
                () = stop.cancelled() => return,
            }
        }
    }

    /// Writes the directory as it is now.
    pub(super) async fn fill_lookups(&self) {
        let Some(live) = &self.directory else {
            return;
        };

        if let Err(error) = self.write_lookups(live.as_ref()).await {
            tracing::warn!(error = %Chain(&error), "names are not in the live view yet");
        }
    }

    /// Removes an entry and the list of its site, and writes the directory as it is now.
    pub(super) async fn forget_lookups(&self, keys: &[CacheKey<'_>]) {
        let Some(live) = &self.directory else {
            return;
        };

        for key in keys {
            live.forget(*key).await;
        }
        self.fill_lookups().await;
    }

    async fn write_lookups(&self, live: &dyn LiveDirectory) -> Result<(), LedgerError> {
        let mut agents = Lists::new();
        for person in self.people.people(None).await? {
            let agent = json!({
                "site": person.site,
                "extension": person.extension,
                "name": &*person.name,
            });
            let key = CacheKey::Agent {
                site: &person.site,
                extension: &person.extension,
            };
            live.cache(key, &agent.to_string()).await;
            agents.entry(person.site).or_default().push(agent);
        }
        write_lists(live, agents, |site| CacheKey::Agents { site }).await;

        let mut departments = Lists::new();
        for helpline in self.people.helplines(None).await? {
            let department = json!({
                "site": helpline.site,
                "number": helpline.number,
                "name": helpline.name,
                "members": helpline.members,
            });
            let key = CacheKey::Department {
                site: &helpline.site,
                number: &helpline.number,
            };
            live.cache(key, &department.to_string()).await;
            let of_site = departments.entry(helpline.site).or_default();
            of_site.push(department);
        }
        write_lists(live, departments, |site| CacheKey::Departments { site }).await;

        Ok(())
    }
}

/// The entries of each site.
type Lists = BTreeMap<String, Vec<Value>>;

async fn write_lists(live: &dyn LiveDirectory, lists: Lists, key_of: fn(&str) -> CacheKey<'_>) {
    for (site, entries) in lists {
        live.cache(key_of(&site), &Value::from(entries).to_string())
            .await;
    }
}
