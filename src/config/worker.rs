//! Settings of the worker (`[worker]`): the bounds of its belief in messages.

use serde::{Deserialize, Serialize};

use super::BadConfig;
use super::bounds::{self, Bound};
use crate::domain::time::Span;
use crate::domain::window::TimeWindow;
use crate::wire::message::IngressId;
use crate::worker::Believed;

const DAY_SECONDS: i64 = 86_400;
const CENTURY_DAYS: u64 = 36_525;
const DAY_MS: u64 = 86_400_000;

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct WorkerSettings {
    believed_past_days: u32,
    believed_ahead_ms: u32,
    ingresses: Vec<uuid::Uuid>,
}

impl WorkerSettings {
    pub(super) fn check(&self) -> Result<(), BadConfig> {
        bounds::check("worker", &self.bounds())
    }

    pub(super) fn bounds(&self) -> [Bound; 2] {
        [
            Bound::new("believed_past_days", self.believed_past_days, CENTURY_DAYS),
            Bound::new("believed_ahead_ms", self.believed_ahead_ms, DAY_MS),
        ]
    }

    /// The belief of a worker without a broker, whose only ingress has no name.
    #[must_use]
    pub fn believed_embedded(&self) -> Believed {
        let mut believed = self.believed();
        believed.ingresses.push(IngressId::default());

        believed
    }

    #[must_use]
    pub fn believed(&self) -> Believed {
        let configured = self.ingresses.iter().map(|id| IngressId(id.as_u128()));

        Believed {
            window: TimeWindow {
                past_max: Span::seconds(i64::from(self.believed_past_days) * DAY_SECONDS),
                ahead_max: Span::millis(i64::from(self.believed_ahead_ms)),
            },
            ingresses: configured.collect(),
        }
    }
}
