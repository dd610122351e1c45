//! A plain program for the same requests, to compare with: one process that publishes each event to
//! one quorum queue and answers after the confirm, and a consumer that gathers messages for two
//! milliseconds and writes them as the trial does. It runs as a process of its own: its processor
//! time is not that of the load.

use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::extract::{ConnectInfo, State};
use axum::http::Uri;
use axum::routing::get;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel};
use serde_json::json;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};

use super::trial::{Peer, TRIAL_TABLES, channel, write_events};

/// Its servers: broker, database, Redis. The bench is this program where it is set.
const SERVERS: &str = "CORDBOARD_BENCH_PLAIN";
const QUEUE: &str = "plain";
const LINGER: Duration = Duration::from_millis(2);
const PERSISTENT: u8 = 2;

/// The running program. It ends with this value.
pub struct Plain {
    pub ingress: SocketAddr,
    _process: Child,
}

impl Plain {
    pub async fn start(broker: &str, database: &str, redis: &str) -> Plain {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .env(SERVERS, format!("{broker}\n{database}\n{redis}"))
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let address = lines.next_line().await.unwrap().unwrap();

        Plain {
            ingress: address.parse().unwrap(),
            _process: process,
        }
    }
}

/// Serves as the plain program, if this process is meant to.
pub fn serve_if_asked() -> bool {
    let Ok(servers) = std::env::var(SERVERS) else {
        return false;
    };
    let servers: Vec<&str> = servers.lines().collect();
    let [broker, database, redis] = servers[..] else {
        panic!("{SERVERS} names three servers");
    };

    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(serve(broker, database, redis));
    true
}

async fn serve(broker: &str, database: &str, redis: &str) {
    let publisher = channel(broker).await;
    let mut quorum = FieldTable::default();
    quorum.insert(
        "x-queue-type".into(),
        AMQPValue::LongString("quorum".into()),
    );
    let durable = QueueDeclareOptions {
        durable: true,
        ..QueueDeclareOptions::default()
    };
    publisher
        .queue_declare(QUEUE.into(), durable, quorum)
        .await
        .unwrap();
    publisher
        .confirm_select(ConfirmSelectOptions::default())
        .await
        .unwrap();
    let peer = Peer::new(broker, QUEUE, database, redis, TRIAL_TABLES).await;
    tokio::spawn(consume(peer));

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!("{}", listener.local_addr().unwrap());
    let router = Router::new()
        .route("/gs/cti/{event}", get(accept))
        .with_state(Arc::new(publisher));
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    axum::serve(listener, service).await.unwrap();
}

async fn accept(
    State(publisher): State<Arc<Channel>>,
    ConnectInfo(phone): ConnectInfo<SocketAddr>,
    target: Uri,
) -> String {
    let id = uuid::Uuid::now_v7();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let message = json!({
        "id": id,
        "site": phone.ip(),
        "at": i64::try_from(now.as_micros()).unwrap(),
        "target": target.to_string(),
    });

    publisher
        .basic_publish(
            "".into(),
            QUEUE.into(),
            BasicPublishOptions::default(),
            message.to_string().as_bytes(),
            BasicProperties::default().with_delivery_mode(PERSISTENT),
        )
        .await
        .unwrap()
        .await
        .unwrap();
    json!({ "event_id": id }).to_string()
}

async fn consume(mut peer: Peer) {
    let script = peer.load_script().await;

    loop {
        let (messages, tag) = peer.gather(LINGER).await;
        write_events(&mut peer, &script, messages).await;
        peer.acknowledge(tag).await;
    }
}
