//! Signs of life of what the service depends on: well, or why not. Said once when it changes, shown
//! in health for as long as it lasts.

use std::sync::{Arc, Mutex, PoisonError};

/// One thing the service depends on.
#[derive(Clone, Debug)]
pub struct HealthCheck {
    pub name: &'static str,
    /// Everything works without it.
    pub optional: bool,
    last_error: Arc<Mutex<Option<String>>>,
}

impl HealthCheck {
    /// Not there yet.
    #[must_use]
    pub fn pending(name: &'static str) -> HealthCheck {
        HealthCheck {
            name,
            optional: false,
            last_error: Arc::new(Mutex::new(Some("not there yet".to_owned()))),
        }
    }

    /// Well until it is missed.
    #[must_use]
    pub fn optional(name: &'static str) -> HealthCheck {
        HealthCheck {
            name,
            optional: true,
            last_error: Arc::default(),
        }
    }

    pub fn set_up(&self) {
        let before = self
            .last_error
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if before.is_some() {
            tracing::info!(what = self.name, "is there");
        }
    }

    /// `why` is for people: no secret, no number.
    pub fn set_down(&self, why: &str) {
        let before = self
            .last_error
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
    pub fn last_error(&self) -> Option<String> {
        self.last_error
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}
