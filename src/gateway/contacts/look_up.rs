//! Contacts of another program, for numbers that have none here.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{OnceCell, Semaphore};
use tokio::time::timeout;

use super::address::AddressTemplate;
use super::caller::{Caller, ContactJson};
use crate::domain::time::Span;
use crate::port::clock::Clock;
use crate::port::contacts::{ContactSource, FoundContact};
use crate::port::live::{CacheKey, LiveDirectory};
use crate::port::webhooks::SendError;

/// The time for which an answer counts, and that for which a failed request is not repeated.
const KEPT: Span = Span::seconds(600);
const KEPT_FAILED: Span = Span::seconds(30);
const NUMBERS_MAX: usize = 10_000;
const REQUESTS_MAX: usize = 16;
/// The longest wait for one of the requests to end: later, the popup would come too late.
const QUEUE_MAX: Duration = Duration::from_secs(5);

/// Asks once for all windows in which a call rings.
#[derive(Clone)]
pub struct LookUp(Arc<Shared>);

struct Shared {
    address: AddressTemplate,
    source: Arc<dyn ContactSource>,
    /// Answers for all gateways.
    live: Option<Arc<dyn LiveDirectory>>,
    clock: Arc<dyn Clock>,
    answers: Mutex<HashMap<(String, String), Answer>>,
    requests: Semaphore,
    queue_max: Duration,
    /// The last request failed: further failures are not logged again.
    is_failing: AtomicBool,
}

#[derive(Clone)]
struct Answer {
    /// On the clock that is never set.
    until: Span,
    contacts: Arc<OnceCell<Vec<ContactJson>>>,
}

impl LookUp {
    #[must_use]
    pub fn new(
        address: AddressTemplate,
        source: Arc<dyn ContactSource>,
        live: Option<Arc<dyn LiveDirectory>>,
        clock: Arc<dyn Clock>,
    ) -> LookUp {
        LookUp(Arc::new(Shared {
            address,
            source,
            live,
            clock,
            answers: Mutex::default(),
            requests: Semaphore::new(REQUESTS_MAX),
            queue_max: QUEUE_MAX,
            is_failing: AtomicBool::new(false),
        }))
    }

    /// The contacts of a caller. A failure is logged, and shows none.
    pub(in crate::gateway) async fn contacts(&self, caller: &Caller) -> Vec<ContactJson> {
        let key = (caller.site.clone(), caller.number.clone());
        let answer = self.0.answer(&key);
        let contacts = answer
            .contacts
            .get_or_init(async || match self.0.ask(caller).await {
                Ok(contacts) => contacts,
                Err(error) => {
                    self.0.note_failure(&error);
                    if let Some(answer) = self.0.answers.lock().get_mut(&key) {
                        answer.until = self.0.clock.steady() + KEPT_FAILED;
                    }
                    Vec::new()
                }
            })
            .await;

        contacts.clone()
    }
}

impl Shared {
    /// The answer that is known, or under way.
    fn answer(&self, key: &(String, String)) -> Answer {
        let now = self.clock.steady();
        let mut answers = self.answers.lock();
        if let Some(answer) = answers.get(key)
            && answer.until > now
        {
            return answer.clone();
        }

        if answers.len() >= NUMBERS_MAX {
            answers.retain(|_, answer| answer.until > now);
        }
        if answers.len() >= NUMBERS_MAX {
            answers.clear();
        }
        let answer = Answer {
            until: now + KEPT,
            contacts: Arc::default(),
        };
        answers.insert(key.clone(), answer.clone());
        answer
    }

    async fn ask(&self, caller: &Caller) -> Result<Vec<ContactJson>, SendError> {
        let Caller { site, number, .. } = caller;
        let key = CacheKey::Caller { site, number };
        if let Some(live) = &self.live
            && let Some(cached) = live.cached(key).await
            && let Ok(contacts) = serde_json::from_str(&cached)
        {
            return Ok(contacts);
        }

        // The semaphore is never closed.
        let _permit = timeout(self.queue_max, self.requests.acquire())
            .await
            .map_err(|_| SendError::TimedOut)?;
        let found = self
            .source
            .contacts_at(&self.address.fill(site, number))
            .await?;
        self.is_failing.store(false, Ordering::Relaxed);
        let result = if found.is_empty() { "none" } else { "found" };
        count(result);

        let contacts: Vec<ContactJson> = found.iter().map(found_contact).collect();
        if let Some(live) = &self.live {
            // Texts and lists of them always serialize.
            let text = serde_json::to_string(&contacts).unwrap_or_default();
            live.cache(key, &text).await;
        }
        Ok(contacts)
    }

    fn note_failure(&self, error: &SendError) {
        count("failed");
        if !self.is_failing.swap(true, Ordering::Relaxed) {
            tracing::warn!(%error, "callers cannot be looked up, popups show numbers only");
        }
    }
}

fn count(result: &'static str) {
    metrics::counter!("cordboard_caller_lookups_total", "result" => result).increment(1);
}

/// Another program may send an address that no page should open.
fn found_contact(contact: &FoundContact) -> ContactJson {
    let url = Some(&*contact.url).filter(|url| super::file::is_address(url));

    ContactJson::new(&contact.name, &contact.company, url.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, AtomicUsize};

    use async_trait::async_trait;

    use super::*;
    use crate::domain::time::At;

    /// Answers with the address as a name.
    #[derive(Default)]
    struct Crm {
        requests: AtomicUsize,
        fails: AtomicBool,
    }

    #[async_trait]
    impl ContactSource for Crm {
        async fn contacts_at(&self, url: &str) -> Result<Vec<FoundContact>, SendError> {
            self.requests.fetch_add(1, Ordering::Relaxed);
            tokio::task::yield_now().await;
            if self.fails.load(Ordering::Relaxed) {
                return Err(SendError::TimedOut);
            }

            Ok(vec![FoundContact {
                name: url.into(),
                company: "".into(),
                url: "javascript:alert(1)".into(),
            }])
        }
    }

    /// A clock that goes on by hand.
    #[derive(Default)]
    struct SetClock(AtomicI64);

    impl SetClock {
        fn advance(&self, by: Span) {
            self.0.fetch_add(by.0, Ordering::Relaxed);
        }
    }

    impl Clock for SetClock {
        fn now(&self) -> At {
            At(0)
        }

        fn steady(&self) -> Span {
            Span(self.0.load(Ordering::Relaxed))
        }
    }

    fn look_up(crm: &Arc<Crm>) -> (LookUp, Arc<SetClock>) {
        let address = AddressTemplate::parse("https://crm/{number}").unwrap();
        let clock = Arc::new(SetClock::default());

        let look_up = LookUp::new(address, Arc::clone(crm) as _, None, Arc::clone(&clock) as _);
        (look_up, clock)
    }

    #[tokio::test]
    async fn one_request_answers_all_windows_for_a_time() {
        let crm = Arc::new(Crm::default());
        let (look_up, clock) = look_up(&crm);
        let caller = Caller::example("+4930");

        let (first, second) = tokio::join!(look_up.contacts(&caller), look_up.contacts(&caller));
        assert_eq!(first, second);
        assert_eq!(first[0].name, "https://crm/%2B4930");
        assert_eq!(first[0].url, None, "only web addresses become links");
        assert_eq!(crm.requests.load(Ordering::Relaxed), 1);

        clock.advance(KEPT);
        look_up.contacts(&caller).await;
        assert_eq!(crm.requests.load(Ordering::Relaxed), 2);
    }

    #[tokio::test]
    async fn a_failure_shows_nothing_and_is_tried_again_soon() {
        let crm = Arc::new(Crm::default());
        crm.fails.store(true, Ordering::Relaxed);
        let (look_up, clock) = look_up(&crm);
        let caller = Caller::example("+4930");
        assert!(look_up.contacts(&caller).await.is_empty());
        crm.fails.store(false, Ordering::Relaxed);

        assert!(look_up.contacts(&caller).await.is_empty());
        clock.advance(KEPT_FAILED);
        assert_eq!(look_up.contacts(&caller).await.len(), 1);
    }

    #[tokio::test]
    async fn a_look_up_waits_for_others_up_to_a_limit() {
        let (mut look_up, _) = look_up(&Arc::default());
        Arc::get_mut(&mut look_up.0).unwrap().queue_max = Duration::ZERO;
        let all = look_up.0.requests.acquire_many(16).await.unwrap();

        let waiting = look_up.contacts(&Caller::example("+4930")).await;
        drop(all);

        assert!(waiting.is_empty());
        assert_eq!(look_up.contacts(&Caller::example("+4931")).await.len(), 1);
    }

    #[tokio::test]
    async fn random_numbers_need_limited_memory() {
        let (look_up, _) = look_up(&Arc::default());
        for number in 0..=NUMBERS_MAX {
            look_up
                .contacts(&Caller::example(&number.to_string()))
                .await;
        }

        assert!(look_up.0.answers.lock().len() <= NUMBERS_MAX);
    }
}
