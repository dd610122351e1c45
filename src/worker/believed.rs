//! The bounds of belief in messages: instants within a window around the worker's clock, ticks of
//! registered ingresses, and a bounded size. Other messages are set aside.

use crate::domain::time::At;
use crate::domain::window::TimeWindow;
use crate::port::ledger::BelievedInstants;
use crate::wire::envelope::has_version;
use crate::wire::message::IngressId;

/// Longer messages are set aside, and stored cut. An ingress makes none of this size: with the
/// largest limits on heads and bodies, and every character escaped, it makes 768 KiB.
const MESSAGE_BYTES_MAX: usize = 1 << 20;
/// The part that is stored of such a message, and of any that is not ours.
const CUT_BYTES: usize = 16 << 10;

/// The bounds of belief.
#[derive(Clone, Debug)]
pub struct Believed {
    pub window: TimeWindow,
    /// Ingresses that are registered before their first event.
    pub ingresses: Vec<IngressId>,
}

impl Default for Believed {
    /// Every instant, and the only ingress of a process without a broker.
    fn default() -> Believed {
        Believed {
            window: TimeWindow::ALL,
            ingresses: vec![IngressId::default()],
        }
    }
}

impl Believed {
    /// The believed instants of stored rows.
    #[must_use]
    pub fn instants(&self, now: At) -> BelievedInstants {
        BelievedInstants {
            first: self.window.first(now),
            last: self.window.last(now),
        }
    }

    /// The last instant to which a tick lets time pass: that of the clock.
    pub(super) fn latest_tick(&self, now: At) -> At {
        if self.window == TimeWindow::ALL {
            At::END
        } else {
            now
        }
    }

    /// Checks the size of a message before it is parsed.
    ///
    /// # Errors
    /// The reason why it is set aside.
    pub(super) fn check_size(message: &[u8]) -> Result<(), String> {
        if message.len() <= MESSAGE_BYTES_MAX {
            return Ok(());
        }

        Err(format!(
            "it has {} bytes, and more than {MESSAGE_BYTES_MAX} are not read",
            message.len()
        ))
    }

    /// The stored form of a message that is set aside: whole, if it is one of ours and may be
    /// processed later.
    pub(super) fn cut(message: &[u8]) -> Vec<u8> {
        let is_ours = message.len() <= MESSAGE_BYTES_MAX && has_version(message);
        let bytes = if is_ours {
            message.len()
        } else {
            message.len().min(CUT_BYTES)
        };

        message[..bytes].to_vec()
    }
}
