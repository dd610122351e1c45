//! Signs of life of what the service depends on: well, or why not. Said once when it changes, shown
//! in health for as long as it lasts.

use std::sync::{Arc, Mutex, PoisonError};

/// One thing the service depends on.
#[derive(Clone, Debug)]
pub struct Sign {
    pub name: &'static str,
    /// Everything works without it.
    pub optional: bool,
    trouble: Arc<Mutex<Option<String>>>,
}

impl Sign {
    /// Not there yet.
    #[must_use]
    pub fn waiting(name: &'static str) -> Sign {
        Sign {
            name,
            optional: false,
            trouble: Arc::new(Mutex::new(Some("not there yet".to_owned()))),
        }
    }

    /// Well until it is missed.
    #[must_use]
    pub fn optional(name: &'static str) -> Sign {
        Sign {
            name,
            optional: true,
            trouble: Arc::default(),
        }
    }

    pub fn well(&self) {
        let before = self
            .trouble
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if before.is_some() {
            tracing::info!(what = self.name, "is there");
        }
    }

    /// `why` is for people: no secret, no number.
    pub fn ill(&self, why: &str) {
        let before = self
            .trouble
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .replace(why.to_owned());
        if before.as_deref() != Some(why) {
            tracing::error!(
                what = self.name,
                why,
                "is not there; going on as far as possible, and asking again"
            );
        }
    }

    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        self.trouble
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}
