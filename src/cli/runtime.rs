//! The asynchronous runtime of a command.

use std::time::Duration;

use super::failure::Failure;

/// Time for calls that block a thread, such as the look-up of a server's name, at the end.
const BLOCKED_MAX: Duration = Duration::from_millis(500);

/// Runs a future on a new runtime with one thread per processor.
pub(super) fn block_on<T>(future: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;

    let done = runtime.block_on(future);
    runtime.shutdown_timeout(BLOCKED_MAX);

    done
}
