//! What is rare and large: nodes of a cluster that are lost, hundreds of kills, an upgrade of the tables under load. Each test has servers of
//! its own.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

mod support;

use cordboard::simulate::Dice;
use support::scene::{Scene, alone, told, until_well};
use support::service::Service;

/// At least so many of the kills of a storm come one by one; at some moments everything is killed at once.
const KILLS: u64 = 200;
const SEED: u64 = 20_261_121;
const CLUSTER: [&str; 5] = ["rabbitmq", "rabbitmq2", "rabbitmq3", "redis", "postgres"];

#[test]
fn a_cluster_that_loses_nodes_or_its_majority_costs_nothing() {
    let _alone = alone();
    let mut scene = Scene::on(&CLUSTER);
    let workers = vec![scene.worker("a"), scene.worker("b")];
    scene.report();
    scene.more();
    // Any one of three may be away, and the others go on; also the one that everybody is connected to.
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
    let names: Vec<_> = (0..workers.len()).map(|index| format!("after-{index}")).collect();
    workers.drain(..).chain(scene.ingresses.drain(..)).for_each(Service::kill);
    for server in ["redis", "postgres", "rabbitmq"] {
        scene.servers.order(&format!("kill {server}"));
    }
    scene.servers.order("wipe redis");
    for server in ["rabbitmq", "postgres", "redis"] {
        scene.servers.order(&format!("start {server}"));
    }
    (0..2).for_each(|index| scene.start_ingress(index));
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
