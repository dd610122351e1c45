//! A service of several processes on servers of its own, under load, to which something happens.
//! The phones keep their own books, and the tables are checked with plain SQL.

use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::Value;
use sqlx::{Connection, PgConnection};

use super::cluster::Cluster;
use super::ledger::block_on;
use super::load::Load;
use super::servers::Servers;
use super::service::Service;

/// A little of everything passes in this many requests.
pub const SOME: usize = 150;
const INGRESSES: [&str; 2] = ["ingress-a", "ingress-b"];

/// One at a time: each of them needs the machine.
pub fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

pub struct Scene {
    pub servers: Servers,
    pub cluster: Cluster,
    pub ingresses: Vec<Service>,
    pub load: Option<Load>,
}

impl Scene {
    pub fn new() -> Scene {
        Scene::on(&[])
    }

    /// On these servers.
    pub fn on(kinds: &[&str]) -> Scene {
        let servers = Servers::start(kinds);
        let cluster = Cluster::on(&servers.urls);
        cluster.audit();
        Scene {
            servers,
            cluster,
            ingresses: Vec::new(),
            load: None,
        }
    }

    /// Two ingresses, and phones that report to both.
    pub fn report(&mut self) {
        self.ingresses = INGRESSES
            .map(|name| self.cluster.start(name, "ingress"))
            .into();
        let phones: Vec<_> = self
            .ingresses
            .iter()
            .map(|ingress| ingress.phones)
            .collect();
        self.load = Some(Load::start(&phones));
    }

    /// Starts one of the ingresses again, on the journal it had; its phones find it.
    pub fn start_ingress(&mut self, index: usize) {
        let ingress = self.cluster.start(INGRESSES[index], "ingress");
        self.load
            .as_ref()
            .unwrap()
            .moved(index, Some(ingress.phones));
        self.ingresses.insert(index, ingress);
    }

    pub fn worker(&self, name: &str) -> Service {
        self.cluster.start(name, "worker")
    }

    pub fn more(&self) {
        self.load.as_ref().unwrap().more(SOME);
    }

    /// Sends again what the ingresses still have of all they ever received. Returns how much that
    /// was.
    pub fn resend(&self) -> usize {
        let resend = |name| {
            self.cluster
                .told_beside(name, &["resend", "--since", "2000-01-01T00:00:00Z"])
        };
        INGRESSES
            .map(resend)
            .iter()
            .map(|told| told.split(' ').next().unwrap().parse::<usize>().unwrap())
            .sum()
    }

    /// Waits until everything sent so far is stored.
    pub fn all_stored(&self) {
        while self.stored() < self.load.as_ref().unwrap().sent() {}
    }

    pub fn stored(&self) -> usize {
        usize::try_from(self.cluster.count("SELECT count(*) FROM call_events")).unwrap()
    }

    pub fn execute(&self, sql: &'static str) {
        block_on(async {
            sqlx::query(sql)
                .execute(&mut PgConnection::connect(&self.cluster.database).await.unwrap())
                .await
                .unwrap()
        });
    }

    /// The phones fall silent; everything they said is stored, and nothing else.
    pub fn end(mut self, workers: Vec<Service>) {
        self.more();
        let sent = self.load.take().unwrap().end();
        self.cluster.check(&sent);
        for service in self.ingresses.drain(..).chain(workers) {
            service.stop();
        }
    }
}

/// Reads the readiness until a part of it is well, or is not.
pub fn until_well(service: &Service, part: &str, well: bool) {
    while (told(service)[part] == "ok") != well {}
}

pub fn told(service: &Service) -> Value {
    serde_json::from_str(&Service::get(service.operations, "/readyz").1).unwrap()
}
