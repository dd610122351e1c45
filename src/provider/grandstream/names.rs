//! Event names of Grandstream firmware, and of the guides for it.

use compact_str::CompactString;

use crate::domain::fact::{DeviceState, Kind};

/// The kind of an event name; `None` for an unknown name.
#[must_use]
pub fn kind_of(event: &str) -> Option<Kind> {
    let name: CompactString = event
        .trim()
        .chars()
        .map(|c| {
            if c == '-' || c == ' ' {
                '_'
            } else {
                c.to_ascii_lowercase()
            }
        })
        .collect();

    Some(match name.as_str() {
        "incoming" | "incoming_call" => Kind::Incoming,
        "outgoing" | "outgoing_call" => Kind::Outgoing,
        "answered" | "answered_call" | "established" | "established_call" | "connected" => {
            Kind::Answered
        }
        "hangup" | "terminated" | "terminated_call" | "disconnected" => Kind::Hangup,
        "rejected" | "rejected_call" => Kind::Rejected,
        "missed" | "missed_call" => Kind::Missed,
        "hold" | "hold_call" => Kind::Hold,
        "resume" | "resume_call" | "unhold" | "unhold_call" => Kind::Resume,
        "blind_transfer" => Kind::BlindTransfer,
        "attended_transfer" => Kind::AttendedTransfer,
        "registered" | "registration" => Kind::Device(DeviceState::Registered),
        "unregistered" | "sign_off" => Kind::Device(DeviceState::Unregistered),
        "dnd_on" | "open_dnd" => Kind::Device(DeviceState::DndOn),
        "dnd_off" | "close_dnd" => Kind::Device(DeviceState::DndOff),
        "forward_on" | "open_forward" => Kind::Device(DeviceState::ForwardOn),
        "forward_off" | "close_forward" => Kind::Device(DeviceState::ForwardOff),
        "off_hook" => Kind::Device(DeviceState::OffHook),
        "on_hook" => Kind::Device(DeviceState::OnHook),
        "busy" => Kind::Device(DeviceState::Busy),
        "idle" => Kind::Device(DeviceState::Idle),
        "boot" | "boot_completed" | "booting_completed" | "setup_completed" => {
            Kind::Device(DeviceState::Boot)
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aliases_of_events_are_understood_and_unknown_names_are_not() {
        for kind in Kind::ALL {
            assert_eq!(kind_of(kind.name()), Some(kind));
        }

        assert_eq!(kind_of("Established-Call"), Some(Kind::Answered));
        assert_eq!(kind_of("exploded"), None);
    }
}
