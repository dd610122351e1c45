//! Ports: one trait for each use of the outside world by a service. Each error variant is named by
//! the caller's next step, or says it in its doc comment.
//!
//! Types with the content of reports have no debug form, or a redacted one, so that no log line
//! shows it by accident.
//!
//! | ports | used by | adapters |
//! |---|---|---|
//! | `Intake`, `JournalSource`, `JournalDepth` | ingress | journal |
//! | `EventBroker`, `EventChannel` | ingress | rabbit |
//! | `Inbox` | worker | journal, rabbit |
//! | `PartitionBroker`, `GroupConnection`, `Subscription` | worker | rabbit |
//! | `PartitionStores` | worker | the composition in `setup` |
//! | `Ledger`, `FactHistory` | worker, `rebuild`, explanations | sqlite, postgres |
//! | `LiveView` | worker | redis |
//! | `Outbox` | worker | memory; `worker::outbox` in front of the broker |
//! | `NotificationBroker`, `NotificationChannel` | worker | rabbit |
//! | `NotificationFeed`, `NotificationStream` | gateway | rabbit |
//! | `NotificationLog` | gateway | sqlite, postgres |
//! | `Watchers`, `Watch` | gateway | memory |
//! | `Query`, `Desk`, `Claims`, `Directory`, `Contacts` | gateway | sqlite, postgres |
//! | `Accounts`, `StateLedger`, `Transfers`, `Webhooks`, `Repeats` | gateway | sqlite, postgres |
//! | `Windows`, `Links`, `SiteRules`, `OutdatedStates` | gateway | sqlite, postgres |
//! | `LiveDirectory`, `Presence`, `EventLog` | gateway | redis |
//! | `Sender`, `ContactSource` | gateway | http |
//! | `DeadLetters`, `DeadLetterQueue`, `RecordAudit` | `ops`; dead letters: worker too | sqlite, postgres; rabbit |
//! | `Clock`, `CommonClock` | all services | clock; postgres |

pub mod accounts;
pub mod broker;
pub mod changes;
pub mod claims;
pub mod clock;
pub mod contacts;
pub mod dead_letters;
pub mod desk;
pub mod directory;
pub mod error;
pub mod event_log;
pub mod intake;
pub mod ledger;
pub mod links;
pub mod live;
pub mod outbox;
pub mod query;
pub mod repeats;
pub mod site_rules;
pub mod states;
pub mod stores;
pub mod transfers;
pub mod watch;
pub mod webhooks;
pub mod windows;
