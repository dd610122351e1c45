//! `cordboard migrate --status`: migrations, tables and health of either database.

use crate::support::cluster::Cluster;
use crate::support::service;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_status_lists_migrations_and_tables_and_says_how_the_database_is() {
    let cluster = Cluster::new().await;
    let postgres = cluster.output_of(&["migrate", "--status"]).await;
    check(&postgres, "PostgreSQL ");

    let data = tempfile::tempdir().unwrap();
    let sqlite = async |arguments: &[&str]| {
        let output = service::run(data.path(), arguments).await;
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap()
    };
    let nothing = sqlite(&["migrate", "--status"]).await;
    assert!(nothing.contains("   1  pending  initial"), "{nothing}");
    assert!(nothing.contains("There is no database yet"), "{nothing}");
    sqlite(&["migrate"]).await;
    check(&sqlite(&["migrate", "--status"]).await, "SQLite ");
}

fn check(status: &str, server: &str) {
    assert!(status.contains("   1  applied  initial"), "{status}");
    assert!(!status.contains("pending"), "{status}");
    for table in ["call_logs", "call_events", "call_stats", "live_states"] {
        let row = status.lines().find(|line| line.starts_with(table));
        assert!(row.unwrap().contains(" 0 "), "{status}");
    }
    let last = status.lines().last().unwrap();
    assert!(last.starts_with(server) && last.ends_with(": ok"), "{last}");
}
