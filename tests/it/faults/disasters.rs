//! What is rare and large: nodes of a cluster that are lost, hundreds of kills, an upgrade of the
//! tables under load. Each test has servers of its own.

use crate::support::ledger::block_on;
use crate::support::rabbit;
use crate::support::scene::{Scene, alone, told, until_well};
use crate::support::service::Service;
use cordboard::simulate::Dice;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

/// At least so many of the kills of a storm come one by one; at some moments everything is killed
/// at once.
const KILLS: u64 = 200;
const SEED: u64 = 20_261_121;
const CLUSTER: [&str; 5] = ["rabbitmq", "rabbitmq2", "rabbitmq3", "redis", "postgres"];

#[test]
fn a_cluster_that_loses_nodes_or_its_majority_or_is_parted_costs_nothing() {
    let _alone = alone();
    let mut scene = Scene::on(&CLUSTER);
    let workers = vec![scene.worker("a"), scene.worker("b")];
    scene.report();
    scene.more();
    // Any one of three may be away, and the others go on; also the one that everybody is connected
    // to.
    for node in ["rabbitmq3", "rabbitmq"] {
        scene.servers.order(&format!("kill {node}"));
        scene.more();
        scene.all_stored();
        scene.servers.order(&format!("start {node}"));
        scene.more();
    }
    // Two of three: what is left confirms nothing, and phones are served all the same.
    scene.servers.order("kill rabbitmq2");
    scene.servers.order("kill rabbitmq3");
    scene.more();
    until_well(&scene.ingresses[0], "publisher", false);
    assert_eq!(told(&scene.ingresses[0])["status"], "degraded");
    scene.servers.order("start rabbitmq2");
    scene.more();
    scene.all_stored();
    scene.servers.order("start rabbitmq3");
    // One that is there and does nothing, as behind a broken switch.
    scene.servers.order("freeze rabbitmq2");
    scene.more();
    scene.all_stored();
    scene.servers.order("thaw rabbitmq2");
    // The network parts one from the others, whoever is connected to it: it steps back, until they
    // meet again.
    for node in ["rabbitmq", "rabbitmq2", "rabbitmq3"] {
        scene.servers.order(&format!("cut {node}"));
        scene.more();
        scene.all_stored();
        scene.servers.order(&format!("mend {node}"));
        scene.more();
    }
    // Every worker has one seat at every queue: none is left from before that nobody sits on.
    let vhost = scene.cluster.broker.rsplit_once('/').unwrap().1.to_owned();
    let seats = || {
        block_on(rabbit::manage(
            &scene.servers.urls,
            "GET",
            &format!("consumers/{vhost}"),
            &json!({}),
        ))
    };
    let at_queues = |seats: &Value| {
        seats
            .as_array()
            .unwrap()
            .iter()
            .filter(|seat| {
                seat["queue"]["name"]
                    .as_str()
                    .unwrap()
                    .starts_with("grandstream-queue.p")
            })
            .count()
    };
    while at_queues(&seats()) != workers.len() * 4 {}
    scene.end(workers);
}

/// Ends an ingress at once, and starts it again on its journal.
fn kill_ingress(scene: &mut Scene, index: usize) {
    let load = scene.load.as_ref().unwrap();
    load.moved(index, None);
    scene.ingresses.remove(index).kill();
    scene.start_ingress(index);
}

/// The power fails, and comes back.
fn kill_everything(scene: &mut Scene, workers: &mut Vec<Service>) {
    for index in 0..scene.ingresses.len() {
        scene.load.as_ref().unwrap().moved(index, None);
    }
    let names: Vec<_> = (0..workers.len())
        .map(|index| format!("after-{index}"))
        .collect();
    workers
        .drain(..)
        .chain(scene.ingresses.drain(..))
        .for_each(Service::kill);
    for server in ["redis", "postgres", "rabbitmq"] {
        scene.servers.order(&format!("kill {server}"));
    }
    scene.servers.order("wipe redis");
    // They are there before the servers are. A request that was kept and not answered is sent once
    // more, and by the rules only what comes again soon is the same.
    (0..2).for_each(|index| scene.start_ingress(index));
    for server in ["rabbitmq", "postgres", "redis"] {
        scene.servers.order(&format!("start {server}"));
    }
    workers.extend(names.iter().map(|name| scene.worker(name)));
}

#[test]
fn two_hundred_kills_of_anything_at_any_moment_change_no_record() {
    let _alone = alone();
    let mut dice = Dice::new(SEED);
    let mut roll = |sides| usize::try_from(dice.roll(sides)).unwrap();
    let mut scene = Scene::new();
    let mut workers = vec![scene.worker("a"), scene.worker("b"), scene.worker("c")];
    scene.report();
    for kill in 0..KILLS {
        let load = scene.load.as_ref().unwrap();
        load.more(roll(12));
        load.allow(1 + roll(20));
        match roll(100) {
            0..45 => {
                workers.remove(roll(3)).kill();
                workers.push(scene.worker(&format!("worker-{kill}")));
            }
            45..88 => kill_ingress(&mut scene, roll(2)),
            other => {
                let server = match other {
                    88..94 => "redis",
                    94..98 => "postgres",
                    _ => "rabbitmq",
                };
                scene.servers.order(&format!("kill {server}"));
                scene.servers.order(&format!("start {server}"));
            }
        }
        if kill % (KILLS / 4) == 0 {
            kill_everything(&mut scene, &mut workers);
        }
    }
    scene.end(workers);
}

/// On the server, not in our database.
fn on_server(scene: &Scene, sql: String) {
    block_on(async {
        let mut connection = PgConnection::connect(&scene.servers.urls.database)
            .await
            .unwrap();
        sqlx::query(AssertSqlSafe(sql))
            .execute(&mut connection)
            .await
            .unwrap()
    });
}

#[test]
fn what_a_restored_backup_or_a_deleted_queue_lacks_is_sent_again() {
    let _alone = alone();
    let mut scene = Scene::new();
    // Of what ingresses keep, most is not in the segment they write to.
    scene.cluster.set("JOURNAL__SEGMENT_BYTES", "8192");
    let worker = scene.worker("a");
    scene.report();
    scene.more();
    scene.all_stored();
    worker.stop();
    let name = scene
        .cluster
        .database
        .rsplit_once('/')
        .unwrap()
        .1
        .to_owned();
    on_server(&scene, format!("CREATE DATABASE backup TEMPLATE {name}"));
    let worker = scene.worker("b");
    scene.more();
    scene.all_stored();
    worker.stop();
    // The database is lost, and what is left is a backup of some time ago. Nothing of what came
    // since is in any queue.
    on_server(&scene, format!("DROP DATABASE {name}"));
    on_server(&scene, format!("ALTER DATABASE backup RENAME TO {name}"));
    let sent = scene.load.as_ref().unwrap().sent();
    assert!(scene.stored() < sent);
    let worker = scene.worker("c");
    scene.more();
    assert!(scene.resend() >= sent);
    scene.all_stored();
    worker.stop();
    // Events wait in queues that somebody deletes.
    scene.more();
    while scene
        .ingresses
        .iter()
        .any(|ingress| ingress.metric("cordboard_journal_depth_records") > 0)
    {}
    let vhost = scene.cluster.broker.rsplit_once('/').unwrap().1.to_owned();
    for part in 0..4 {
        scene.servers.order(&format!(
            "ctl delete_queue -p {vhost} grandstream-queue.p0{part}"
        ));
    }
    let worker = scene.worker("d");
    scene.resend();
    scene.all_stored();
    scene.end(vec![worker]);
}

/// What the next version adds to the tables, one by one, each as soon as it gets its lock; and that
/// it was there.
async fn grow(connection: &mut PgConnection) {
    sqlx::query("SET lock_timeout = '100ms'")
        .execute(&mut *connection)
        .await
        .unwrap();
    let tables =
        "SELECT relname::text FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition
        AND relname NOT IN ('_sqlx_migrations', 'commit_audit')";
    let tables: Vec<String> = sqlx::query_scalar(tables)
        .fetch_all(&mut *connection)
        .await
        .unwrap();
    assert!(tables.len() > 10, "{tables:?}");
    for table in tables {
        let added =
            format!("ALTER TABLE {table} ADD COLUMN of_the_next_version text DEFAULT 'something'");
        while sqlx::query(AssertSqlSafe(added.clone()))
            .execute(&mut *connection)
            .await
            .is_err()
        {}
    }
    let known = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) VALUES (20990101000000, 'next', true, '', 0)";
    sqlx::query(known).execute(&mut *connection).await.unwrap();
}

#[test]
fn this_version_goes_on_and_starts_on_the_tables_of_the_next() {
    let _alone = alone();
    let mut scene = Scene::new();
    let before = scene.worker("a");
    scene.report();
    scene.more();
    scene.load.as_ref().unwrap().allow(10_000);
    block_on(async {
        grow(
            &mut PgConnection::connect(&scene.cluster.database)
                .await
                .unwrap(),
        )
        .await
    });
    scene.more();
    scene.all_stored();
    // What is rolled back finds the tables as the next version left them.
    before.stop();
    let after = vec![scene.worker("b"), scene.cluster.start("gateway", "gateway")];
    scene.more();
    assert_eq!(
        Service::get(after[1].people, "/api/v1/calls?limit=200").0,
        200
    );
    scene.cluster.told(&["migrate"]);
    scene.end(after);
}
