//! What the services need from the outside world: a handful of coarse traits, each with its errors
//! named by what the caller does next. Types that carry what phones said have no debug form: nobody
//! can log them by accident.

pub mod clock;
pub mod dead_letters;
pub mod intake;
pub mod ledger;
pub mod live;
pub mod outbox;
pub mod query;
pub mod states;
pub mod watch;
