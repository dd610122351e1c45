//! What the services need from the outside world: a handful of coarse traits, each with its errors
//! named by what the caller does next. Types that carry what phones said have no debug form: nobody
//! can log them by accident.

pub mod books;
pub mod clock;
pub mod fanout;
pub mod intake;
pub mod ledger;
pub mod letters;
pub mod live;
pub mod query;
pub mod sign;
pub mod states;
pub mod watch;
