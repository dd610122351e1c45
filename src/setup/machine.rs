//! What the machine must offer: a clock that was set, and a disk that keeps what is written.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rustix::fs::statfs;

use super::{Roles, SetupError};
use crate::domain::time::{At, Span};
use crate::wire::instant;

/// Machines that build and machines that run may differ in their clocks by this much.
const BUILD_SLACK: Span = Span::seconds(86_400);
/// The permissions of other users.
const OTHERS: u32 = 0o007;
/// The kinds of file systems in memory, as Linux numbers them.
const IN_MEMORY: [i64; 2] = [0x0102_1994, 0x8584_58f6];

/// No clock can be right that shows an earlier instant: the program was built after it.
#[must_use]
pub fn earliest_now() -> At {
    let seconds = env!("CORDBOARD_BUILT_AT").parse().unwrap_or(0);

    At(0) + Span::seconds(seconds) - BUILD_SLACK
}

/// Checks the clock at the start. Calls are recorded by the clock of the worker, so a worker does
/// not start with one that was never set; an ingress loses no event.
///
/// # Errors
/// [`SetupError::Clock`] in a process with a worker.
pub fn check_clock(now: At, roles: Roles) -> Result<(), SetupError> {
    if now >= earliest_now() {
        return Ok(());
    }

    let now = instant::text(now);
    if roles.worker {
        return Err(SetupError::Clock(now));
    }
    tracing::error!(
        now,
        "the clock shows a time before this program was built: set it. Events are received, and \
         workers set them aside"
    );
    Ok(())
}

/// Whether users other than its owner have access to a folder.
#[must_use]
pub fn is_open_to_others(folder: &Path) -> bool {
    let metadata = std::fs::metadata(folder);

    metadata.is_ok_and(|metadata| metadata.permissions().mode() & OTHERS != 0)
}

/// Whether the files of a folder are gone when the machine stops.
#[must_use]
pub fn is_in_memory(folder: &Path) -> bool {
    statfs(folder).is_ok_and(|disk| {
        #[expect(clippy::unnecessary_cast, reason = "another type on other machines")]
        let kind = disk.f_type as i64;
        IN_MEMORY.contains(&kind)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_worker_refuses_a_clock_before_the_build() {
        let now = earliest_now();
        let before = now - Span::seconds(1);

        assert!(
            now > At(0) + Span::seconds(1_735_689_600),
            "after 2025 began"
        );
        assert!(check_clock(now, Roles::ALL).is_ok());
        assert!(check_clock(before, Roles::INGRESS).is_ok());
        let refused = check_clock(before, Roles::ALL);
        assert!(matches!(refused, Err(SetupError::Clock(_))));
    }

    #[test]
    fn a_disk_is_not_memory() {
        assert!(is_in_memory(Path::new("/dev/shm")));
        assert!(!is_in_memory(Path::new("/proc")));
    }
}
