//! The asynchronous runtime of a command.

use super::failure::Failure;

/// Runs a future on a new runtime with one thread per processor.
pub(super) fn block_on<T>(future: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(future)
}
