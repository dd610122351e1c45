//! A service of several processes on servers of its own, under load, to which something happens.

use super::cluster::Cluster;
use super::load::Load;
use super::postgres;
use super::proxy::{Proxy, server_of};
use super::rabbit::vhost_of;
use super::servers::Servers;
use super::service::Service;

/// Requests in which a little of everything occurs.
pub const SOME: usize = 150;
/// The number of partitions of a cluster.
pub const PARTITIONS: usize = 4;
const INGRESSES: [&str; 2] = ["ingress-a", "ingress-b"];

pub struct Scene {
    pub servers: Servers,
    pub cluster: Cluster,
    pub ingresses: Vec<Service>,
    load: Option<Load>,
}

impl Scene {
    pub async fn new() -> Scene {
        Scene::on(&[]).await
    }

    /// On servers of these kinds.
    pub async fn on(kinds: &[&str]) -> Scene {
        let servers = Servers::start(kinds).await;
        let cluster = Cluster::on(&servers.urls).await;
        cluster.audit().await;

        Scene {
            servers,
            cluster,
            ingresses: Vec::new(),
            load: None,
        }
    }

    /// Starts two ingresses, and phones that report to both.
    pub async fn report(&mut self) {
        for name in INGRESSES {
            self.ingresses
                .push(self.cluster.start(name, "ingress").await);
        }
        let phones: Vec<_> = self
            .ingresses
            .iter()
            .map(|ingress| ingress.ingress)
            .collect();

        self.load = Some(Load::start(&phones));
    }

    /// Starts one of the ingresses again, on the journal it had; its phones find it.
    pub async fn start_ingress(&mut self, index: usize) {
        let ingress = self.cluster.start(INGRESSES[index], "ingress").await;
        self.load().moved(index, Some(ingress.ingress));
        self.ingresses.insert(index, ingress);
    }

    /// Starts a process that reaches the broker through a proxy.
    pub async fn start_behind_proxy(&mut self, name: &str, role: &str) -> (Service, Proxy) {
        let direct = self.cluster.broker.clone();
        let proxy = Proxy::to(server_of(&direct)).await;

        self.cluster.set("BROKER__URL", &proxy.url(&direct));
        let service = self.cluster.start(name, role).await;
        self.cluster.set("BROKER__URL", &direct);

        (service, proxy)
    }

    /// Deletes the queues of all partitions, with their messages.
    pub async fn delete_queues(&mut self) {
        let vhost = vhost_of(&self.cluster.broker);

        for partition in 0..PARTITIONS {
            let order = format!("ctl delete_queue -p {vhost} grandstream-queue.p{partition:02}");
            self.servers.order(&order).await;
        }
    }

    pub async fn worker(&self, name: &str) -> Service {
        self.cluster.start(name, "worker").await
    }

    pub fn load(&self) -> &Load {
        self.load.as_ref().expect("the phones report")
    }

    /// The phones stop reporting.
    pub fn take_load(&mut self) -> Load {
        self.load.take().expect("the phones report")
    }

    pub async fn more(&self) {
        self.load().more(SOME).await;
    }

    /// Sends again everything that the journals still hold. Returns how many events that was.
    pub async fn resend(&self) -> usize {
        let mut all = 0;
        for name in INGRESSES {
            let arguments = ["resend", "--since", "2000-01-01T00:00:00Z"];
            let output = self.cluster.output_beside(name, &arguments).await;
            let count: usize = output.split(' ').next().unwrap().parse().unwrap();
            all += count;
        }

        all
    }

    /// Waits until everything sent so far is stored.
    pub async fn all_stored(&self) {
        self.cluster.until_stored(self.load().sent()).await;
    }

    pub async fn execute(&self, sql: &str) {
        postgres::execute(&self.cluster.database, sql.to_owned()).await;
    }

    /// The phones stop reporting; everything they said is stored, and nothing else.
    pub async fn end(mut self, workers: Vec<Service>) {
        self.more().await;
        let sent = self.take_load().end().await;

        self.cluster.check(&sent).await;
        for service in self.ingresses.drain(..).chain(workers) {
            service.stop().await;
        }
    }
}
