//! A new ledger in a folder, and the runtime its statements need.

use cordboard::adapter::sqlite::SqliteLedger;

pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap()
        .block_on(future)
}

pub async fn open(folder: &tempfile::TempDir) -> SqliteLedger {
    let ledger = SqliteLedger::open(&folder.path().join("test.db"))
        .await
        .unwrap();
    ledger.migrate().await.unwrap();
    ledger
}
