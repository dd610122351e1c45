//! Faults on real servers, under load: what is killed, frozen, cut off, flushed or locked changes
//! no record.

use crate::support::cluster::Cluster;
use crate::support::ledger::block_on;
use crate::support::load::Load;
use crate::support::proxy::{Proxy, server_of};
use crate::support::rabbit;
use crate::support::scene::{SOME, Scene, alone, told, until_well};
use crate::support::servers;
use crate::support::service::Service;
use sqlx::{Connection, PgConnection};

#[test]
fn a_broker_that_is_killed_frozen_or_refuses_us_costs_nothing() {
    let _alone = alone();
    let mut scene = Scene::new();
    let wire = Proxy::to(server_of(&scene.cluster.broker));
    let direct = scene.cluster.broker.clone();
    scene.cluster.set("BROKER__URL", &wire.url(&direct));
    let workers = vec![scene.worker("a"), scene.worker("b")];
    scene.report();
    scene.more();
    // Killed, twice in a row, with a backlog in its queues and in the journals.
    for _ in 0..2 {
        scene.servers.order("kill rabbitmq");
        scene.more();
        until_well(&scene.ingresses[0], "publisher", false);
        assert_eq!(
            told(&scene.ingresses[0])["status"],
            "degraded",
            "phones are served all the same"
        );
        until_well(&workers[0], "consumer", false);
        assert_eq!(
            Service::get(workers[0].operations, "/readyz").0,
            503,
            "a worker without a broker is of no use"
        );
        scene.servers.order("start rabbitmq");
        scene.more();
    }
    until_well(&scene.ingresses[0], "publisher", true);
    // Frozen: nobody is told, heartbeats stay out.
    scene.servers.order("freeze rabbitmq");
    scene.more();
    until_well(&scene.ingresses[0], "publisher", false);
    scene.servers.order("thaw rabbitmq");
    until_well(&scene.ingresses[0], "publisher", true);
    // Short of memory: it takes nothing, and says so.
    scene
        .servers
        .order("ctl set_vm_memory_high_watermark 0.00001");
    until_well(&scene.ingresses[0], "publisher", false);
    scene.more();
    scene.servers.order("ctl set_vm_memory_high_watermark 0.4");
    until_well(&scene.ingresses[0], "publisher", true);
    // Our password is another, or our permissions are gone; and it is as it was.
    let vhost = scene.cluster.broker.rsplit_once('/').unwrap().1.to_owned();
    let password = |is: &str| format!("ctl change_password guest {is}");
    let permissions = [
        format!("ctl clear_permissions -p {vhost} guest"),
        format!("ctl set_permissions -p {vhost} guest .* .* .*"),
    ];
    for [refuse, admit] in [[password("another"), password("guest")], permissions] {
        scene.servers.order(&refuse);
        wire.cut();
        until_well(&scene.ingresses[0], "publisher", false);
        until_well(&workers[0], "consumer", false);
        scene.more();
        scene.servers.order(&admit);
        until_well(&scene.ingresses[0], "publisher", true);
        until_well(&workers[0], "consumer", true);
    }
    scene.end(workers);
}

#[test]
fn a_virtual_host_that_is_not_there_is_told_and_waited_for() {
    let mut cluster = Cluster::bare(servers::shared());
    let (node, _) = cluster.broker.rsplit_once('/').unwrap();
    let vhost = format!("test-{}", uuid::Uuid::now_v7().simple());
    cluster.set("BROKER__URL", &format!("{node}/{vhost}"));
    let (ingress, worker) = (cluster.start("a", "ingress"), cluster.start("b", "worker"));
    ingress
        .send("/gs/cti/incoming?mac=000b82000001&local=201&remote=+4930111222&c=a")
        .unwrap();
    let names_it = |service: &Service, part: &str| {
        while !told(service)[part].as_str().unwrap().contains(&vhost) {}
    };
    names_it(&ingress, "publisher");
    names_it(&worker, "consumer");
    assert_eq!(
        (
            told(&ingress)["status"].as_str(),
            Service::get(worker.operations, "/readyz").0
        ),
        (Some("degraded"), 503)
    );
    block_on(rabbit::make_vhost(servers::shared(), &vhost));
    cluster.told(&["broker", "apply"]);
    cluster.settled(1);
    ingress.stop();
    worker.stop();
}

#[test]
fn queues_that_are_deleted_under_us_are_declared_again() {
    let _alone = alone();
    let mut scene = Scene::new();
    let workers = vec![scene.worker("a")];
    scene.report();
    scene.more();
    let before = scene.load.take().unwrap().end();
    scene.cluster.check(&before);
    // Empty queues: what is in a queue that somebody deletes is lost with it.
    let vhost = scene.cluster.broker.rsplit_once('/').unwrap().1.to_owned();
    for queue in [
        "grandstream-queue.p00",
        "grandstream-queue.p01",
        "grandstream-queue.p02",
        "grandstream-queue.p03",
    ] {
        scene
            .servers
            .order(&format!("ctl delete_queue -p {vhost} {queue}"));
    }
    let id = scene.ingresses[0]
        .send("/gs/cti/incoming?mac=000b82ffffff&local=299&remote=+499999&c=x")
        .unwrap();
    scene.ingresses[0]
        .send("/gs/cti/missed?mac=000b82ffffff&local=299&remote=+499999&c=x")
        .unwrap();
    assert!(!id.is_empty());
    scene.cluster.settled(before.accepted.len() + 2);
    for service in scene.ingresses.drain(..).chain(workers) {
        service.stop();
    }
}

#[test]
fn workers_that_are_killed_restarted_or_frozen_change_no_record() {
    let _alone = alone();
    let mut scene = Scene::new();
    let mut workers = vec![scene.worker("a"), scene.worker("b"), scene.worker("c")];
    scene.report();
    scene.more();
    // Killed at any moment, and restarted in turn, while events come in.
    for round in 0..6 {
        let worker = workers.remove(0);
        let end = if round % 2 == 0 {
            Service::kill
        } else {
            Service::stop
        };
        end(worker);
        scene.more();
        workers.push(scene.worker(&format!("next-{round}")));
    }
    // Frozen while it owns partitions, until others have taken them over; then it goes on as if
    // nothing had happened.
    let taken = "SELECT sum(epoch)::bigint FROM partition_owner";
    workers[0].freeze();
    workers[1].freeze();
    let before = scene.cluster.count(taken);
    while scene.cluster.count(taken) == before {
        scene.more();
    }
    workers[0].thaw();
    workers[1].thaw();
    scene.more();
    scene.end(workers);
}

#[test]
fn workers_that_are_cut_off_from_the_broker_and_go_on_change_no_record() {
    let _alone = alone();
    let mut scene = Scene::new();
    let direct = scene.cluster.broker.clone();
    let behind = |scene: &mut Scene, name: &str| {
        let wire = Proxy::to(server_of(&direct));
        scene.cluster.set("BROKER__URL", &wire.url(&direct));
        let worker = scene.worker(name);
        scene.cluster.set("BROKER__URL", &direct);
        (worker, wire)
    };
    let (workers, wires): (Vec<_>, Vec<_>) = ["a", "b"]
        .map(|name| behind(&mut scene, name))
        .into_iter()
        .unzip();
    let half = |worker: &Service| {
        while !Service::get(worker.operations, "/metrics")
            .1
            .contains("\ncordboard_worker_partitions 2\n")
        {}
    };
    scene.report();
    scene.more();
    // Nothing passes either way; then only one way, and only the other. The database is there for
    // them all the time, and whoever is cut off may have a batch under way.
    let taken = "SELECT sum(epoch)::bigint FROM partition_owner";
    for (cut_off, lose) in [
        (0, Proxy::silence as fn(&Proxy)),
        (1, Proxy::mute),
        (0, Proxy::deafen),
    ] {
        let (worker, wire) = (&workers[cut_off], &wires[cut_off]);
        workers.iter().for_each(half);
        let before = scene.cluster.count(taken);
        lose(wire);
        scene.more();
        until_well(worker, "consumer", false);
        // By whoever it was given to, also where that one was heard no more; and then the other one
        // has its partitions.
        scene.all_stored();
        while scene.cluster.count(taken) < before + 2 {}
        wire.speak();
        scene.more();
        until_well(worker, "consumer", true);
    }
    scene.end(workers);
}

#[test]
fn a_database_that_crashes_locks_or_ends_our_connections_changes_no_record() {
    let _alone = alone();
    let mut scene = Scene::new();
    // Between the workers and the database is a wire that can be cut.
    let wire = Proxy::to(server_of(&scene.cluster.database));
    let direct = scene.cluster.database.clone();
    scene.cluster.set("DATABASE__URL", &wire.url(&direct));
    let workers = vec![scene.worker("a"), scene.worker("b")];
    scene.cluster.set("DATABASE__URL", &direct);
    scene.report();
    scene.more();
    for _ in 0..2 {
        scene.servers.order("kill postgres");
        scene.more();
        until_well(&workers[0], "database", false);
        scene.servers.order("start postgres");
        until_well(&workers[0], "database", true);
        scene.more();
    }
    // Its disk is full. It cannot write what it is about to do, and ends over it; nobody takes that
    // for a fault of the messages.
    scene.servers.order("full postgres");
    scene.more();
    until_well(&workers[0], "database", false);
    scene.servers.order("kill postgres");
    scene.servers.order("start postgres");
    until_well(&workers[0], "database", true);
    // An upgrade may find the tables in use.
    scene.cluster.told(&["migrate"]);
    scene.more();
    // Connections that end at any moment: what became of a commit nobody knows.
    for _ in 0..40 {
        scene.load.as_ref().unwrap().more(7);
        wire.cut();
    }
    // The server ends them itself.
    scene.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'cordboard%'");
    scene.more();
    // It says nothing for a while.
    wire.silence();
    scene.more();
    until_well(&workers[0], "database", false);
    wire.speak();
    until_well(&workers[0], "database", true);
    // Somebody holds the tables: statements wait, give up, and are asked again.
    block_on(async {
        let mut holder = PgConnection::connect(&direct).await.unwrap();
        let mut transaction = holder.begin().await.unwrap();
        sqlx::query("LOCK TABLE call_logs IN ACCESS EXCLUSIVE MODE")
            .execute(&mut *transaction)
            .await
            .unwrap();
        scene.more();
        until_well(&workers[0], "database", false);
        transaction.rollback().await.unwrap();
    });
    // It takes no writes.
    scene.execute("ALTER ROLE postgres SET default_transaction_read_only = on");
    scene.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'cordboard%'");
    scene.more();
    block_on(async {
        let mut connection = PgConnection::connect(&direct).await.unwrap();
        sqlx::query("SET default_transaction_read_only = off")
            .execute(&mut connection)
            .await
            .unwrap();
        sqlx::query("ALTER ROLE postgres RESET default_transaction_read_only")
            .execute(&mut connection)
            .await
            .unwrap();
        sqlx::query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'cordboard%'")
            .execute(&mut connection)
            .await
            .unwrap();
    });
    scene.end(workers);
}

#[test]
fn a_live_view_that_is_flushed_killed_frozen_or_full_changes_no_record() {
    let _alone = alone();
    let mut scene = Scene::new();
    let workers = vec![scene.worker("a"), scene.worker("b")];
    scene.report();
    scene.more();
    let client = deadpool_redis::redis::Client::open(&*scene.servers.urls.redis).unwrap();
    let ask = |command: &[&str]| {
        let (name, arguments) = command.split_first().unwrap();
        block_on(async {
            let mut connection = client.get_multiplexed_async_connection().await.unwrap();
            deadpool_redis::redis::cmd(name)
                .arg(arguments)
                .query_async::<()>(&mut connection)
                .await
                .unwrap();
        });
    };
    for _ in 0..3 {
        ask(&["FLUSHALL"]);
        scene.more();
    }
    ask(&["CONFIG", "SET", "maxmemory", "1mb"]);
    scene.more();
    ask(&["CONFIG", "SET", "maxmemory", "0"]);
    scene.servers.order("kill redis");
    scene.more();
    until_well(&workers[0], "live view", false);
    assert_eq!(
        Service::get(workers[0].operations, "/readyz").0,
        200,
        "nothing waits for it"
    );
    scene.servers.order("wipe redis");
    scene.servers.order("start redis");
    until_well(&workers[0], "live view", true);
    scene.servers.order("freeze redis");
    scene.more();
    scene.servers.order("thaw redis");
    scene.end(workers);
}

#[test]
fn an_ingress_that_is_cut_off_is_not_waited_for_and_what_it_brings_late_corrects_the_records() {
    let _alone = alone();
    let mut scene = Scene::new();
    let workers = vec![scene.worker("a")];
    let wire = Proxy::to(server_of(&scene.cluster.broker));
    let direct = scene.cluster.broker.clone();
    scene.cluster.set("BROKER__URL", &wire.url(&direct));
    let far = scene.cluster.start("far", "ingress");
    scene.cluster.set("BROKER__URL", &direct);
    let near = scene.cluster.start("near", "ingress");
    let load = Load::start(&[far.phones, near.phones]);
    load.more(SOME);
    wire.silence();
    load.more(SOME);
    until_well(&far, "publisher", false);
    load.more(SOME);
    wire.speak();
    until_well(&far, "publisher", true);
    for _ in 0..20 {
        load.more(5);
        wire.cut();
    }
    let sent = load.end();
    scene.cluster.check(&sent);
    for service in [far, near].into_iter().chain(workers) {
        service.stop();
    }
}
