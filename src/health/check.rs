//! Health of one dependency of the service: available, or the reason why not. A change is logged
//! once; the health report shows the last error for as long as it lasts.

use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};

/// The state of one dependency, shared by all clones.
#[derive(Clone, Debug)]
pub struct HealthCheck {
    pub name: &'static str,
    /// The service works without this dependency, only slower or with fewer features.
    pub optional: bool,
    last_error: Arc<Mutex<Option<String>>>,
}

impl HealthCheck {
    /// A required dependency, unavailable until [`HealthCheck::set_up`].
    #[must_use]
    pub fn pending(name: &'static str) -> HealthCheck {
        HealthCheck {
            name,
            optional: false,
            last_error: Arc::new(Mutex::new(Some("not available yet".to_owned()))),
        }
    }

    /// An optional dependency, available until [`HealthCheck::set_down`].
    #[must_use]
    pub fn optional(name: &'static str) -> HealthCheck {
        HealthCheck {
            name,
            optional: true,
            last_error: Arc::default(),
        }
    }

    pub fn set_up(&self) {
        let before = self.lock().take();

        if before.is_some() {
            tracing::info!(dependency = self.name, "dependency available");
        }
    }

    /// `reason` is shown to people: it contains no secret and no phone number.
    pub fn set_down(&self, reason: &str) {
        let before = self.lock().replace(reason.to_owned());

        if before.as_deref() != Some(reason) {
            tracing::error!(
                dependency = self.name,
                reason,
                "dependency unavailable, continuing without it and retrying"
            );
        }
    }

    #[must_use]
    pub fn last_error(&self) -> Option<String> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Option<String>> {
        self.last_error.lock()
    }
}
