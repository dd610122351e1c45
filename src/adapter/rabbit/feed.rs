//! What became of calls, for the gateways: the broker keeps the last day of it as a log with one numbering for all, so a watcher may come
//! back to any gateway and misses nothing.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use lapin::message::Delivery;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::{AMQPValue, FieldTable};
use tokio_util::sync::CancellationToken;

use super::inbox::whole;
use super::names::{CALLS_LOG, Layout};
use super::topology::table;
use super::{BrokerAddress, BrokerError, close_connection, patiently, topology};
use crate::adapter::memory::MemoryFanout;
use crate::domain::fact::EventId;
use crate::domain::notice::NoticeKind;
use crate::port::fanout::{Fanout, News};
use crate::port::sign::Sign;

const PREFETCH_MESSAGES: u16 = 1_000;
/// What a gateway reads back when it starts, for those who were away.
const BACK: &str = "10m";
const AGAIN: Duration = Duration::from_secs(1);

/// Follows the log until the stop, and tells everything of it on.
pub async fn feed(address: BrokerAddress, layout: Layout, to: Arc<MemoryFanout>, sign: Sign, stop: CancellationToken) {
    let mut reader = Reader { to, after: None, seen: HashMap::new() };
    loop {
        let ended = tokio::select! {
            ended = reader.follow(&address, layout, &sign) => ended,
            () = stop.cancelled() => return,
        };
        if let Err(error) = ended {
            sign.ill(&error.to_string());
        }
        tokio::select! {
            () = tokio::time::sleep(AGAIN) => {}
            () = stop.cancelled() => return,
        }
    }
}

struct Reader {
    to: Arc<MemoryFanout>,
    /// The place of the last entry that was told on.
    after: Option<i64>,
    /// The last number of each partition: what a worker tells twice after a crash is told on once.
    seen: HashMap<String, u64>,
}

impl Reader {
    async fn follow(&mut self, address: &BrokerAddress, layout: Layout, sign: &Sign) -> Result<(), BrokerError> {
        let connection = address.connect("cordboard feed").await?;
        topology::declare(&connection, layout).await?;
        let channel = patiently(connection.create_channel()).await?;
        patiently(channel.basic_qos(PREFETCH_MESSAGES, BasicQosOptions::default())).await?;
        let from = match self.after {
            Some(offset) => AMQPValue::LongLongInt(offset + 1),
            None => AMQPValue::LongString(BACK.into()),
        };
        let arguments = table(&[("x-stream-offset", from)]);
        let consume = channel.basic_consume(CALLS_LOG.into(), "".into(), BasicConsumeOptions::default(), arguments);
        let mut entries = patiently(consume).await?;
        sign.well();
        let ended = loop {
            match entries.next().await {
                Some(Ok(entry)) => {
                    self.take(&entry);
                    if let Err(error) = entry.ack(BasicAckOptions::default()).await {
                        break Err(error.into());
                    }
                }
                Some(Err(error)) => break Err(error.into()),
                None => break Err(BrokerError::Unavailable("the broker took the log away".to_owned())),
            }
        };
        close_connection(&connection).await;
        ended
    }

    fn take(&mut self, entry: &Delivery) {
        let headers = entry.properties.headers().as_ref().map(FieldTable::inner);
        let header = |name: &str| headers.and_then(|headers| headers.get(name));
        let Some(offset) = header("x-stream-offset").and_then(whole) else { return };
        // The log begins anew: it was deleted, or the broker lost it.
        if self.after.is_some_and(|after| offset < after) {
            self.seen.clear();
        }
        self.after = Some(offset);
        let part = header("x-cordboard-part").and_then(AMQPValue::as_long_string).map(ToString::to_string);
        let (Some(part), Some(number)) = (part, header("x-cordboard-number").and_then(whole)) else { return };
        let last = self.seen.entry(part).or_insert(0);
        if number.cast_unsigned() <= *last {
            return;
        }
        *last = number.cast_unsigned();
        let (Some(kind), Ok(data)) = (NoticeKind::named(entry.routing_key.as_str()), String::from_utf8(entry.data.clone())) else { return };
        let call = serde_json::from_str::<Told>(&data).ok().and_then(|told| EventId::parse(&told.call_id));
        let Some(call) = call else { return };
        self.to.tell(vec![News { number: offset.cast_unsigned() + 1, kind, call, data: data.into() }]);
    }
}

#[derive(serde::Deserialize)]
struct Told {
    call_id: String,
}
