//! Hundreds of kills of processes and servers, under load.

use cordboard::simulate::Dice;

use crate::support::scene::Scene;
use crate::support::service::Service;

/// Kills one by one; at some moments everything is killed at once.
const KILLS: u64 = 200;
const SEED: u64 = 20_261_121;
/// After so many kills, and before the first one, everything is killed at once.
const KILLS_BETWEEN_OUTAGES: u64 = KILLS / 4;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_kills_of_anything_at_any_moment_change_no_record() {
    let mut dice = Dice::new(SEED);
    let mut roll = |sides| usize::try_from(dice.roll(sides)).unwrap();
    let mut scene = Scene::new().await;
    let mut workers = Vec::new();
    for name in ["a", "b", "c"] {
        workers.push(scene.worker(name).await);
    }
    scene.report().await;

    for kill in 0..KILLS {
        scene.load().more(roll(12)).await;
        scene.load().allow(1 + roll(20));

        match roll(100) {
            0..45 => {
                workers.remove(roll(3)).kill().await;
                workers.push(scene.worker(&format!("worker-{kill}")).await);
            }
            45..88 => kill_ingress(&mut scene, roll(2)).await,
            88..94 => kill_server(&mut scene, "redis").await,
            94..98 => kill_server(&mut scene, "postgres").await,
            _ => kill_server(&mut scene, "rabbitmq").await,
        }
        if kill % KILLS_BETWEEN_OUTAGES == 0 {
            kill_everything(&mut scene, &mut workers).await;
        }
    }

    scene.end(workers).await;
}

/// Kills an ingress, and starts it again on its journal.
async fn kill_ingress(scene: &mut Scene, index: usize) {
    scene.load().moved(index, None);
    scene.ingresses.remove(index).kill().await;

    scene.start_ingress(index).await;
}

async fn kill_server(scene: &mut Scene, name: &str) {
    scene.servers.order(&format!("kill {name}")).await;
    scene.servers.order(&format!("start {name}")).await;
}

/// The power fails, and comes back.
async fn kill_everything(scene: &mut Scene, workers: &mut Vec<Service>) {
    let count = workers.len();
    for index in 0..scene.ingresses.len() {
        scene.load().moved(index, None);
    }
    for service in workers.drain(..).chain(scene.ingresses.drain(..)) {
        service.kill().await;
    }
    for server in ["redis", "postgres", "rabbitmq"] {
        scene.servers.order(&format!("kill {server}")).await;
    }
    scene.servers.order("wipe redis").await;

    // Ingresses start before the servers. A request that was stored and not answered is sent once
    // more, and by the rules only a repetition that comes soon is the same event.
    for index in 0..2 {
        scene.start_ingress(index).await;
    }
    for server in ["rabbitmq", "postgres", "redis"] {
        scene.servers.order(&format!("start {server}")).await;
    }
    for index in 0..count {
        workers.push(scene.worker(&format!("after-{index}")).await);
    }
}
