//! The broker for operations: declaring, counting, and moving messages by hand.

use lapin::Connection;

use super::{BrokerAddress, Depth, close_connection, dead_letters, publishing, topology};
use crate::port::broker::BrokerError;
use crate::wire::partition::Layout;

/// An open connection of a command.
pub struct Administration {
    connection: Connection,
    layout: Layout,
}

/// Of what waits in a layout's queues.
pub struct Queues {
    /// In the order of the partitions; `None` for a queue that does not exist.
    pub depths: Vec<Option<Depth>>,
}

impl Queues {
    /// Whether a queue holds messages or has a consumer.
    #[must_use]
    pub fn are_in_use(&self) -> bool {
        let mut depths = self.depths.iter().flatten();

        depths.any(|depth| depth.messages > 0 || depth.consumers > 0)
    }
}

impl Administration {
    /// Connects under a name that operations see.
    pub async fn open(
        address: &BrokerAddress,
        layout: Layout,
        name: &str,
    ) -> Result<Administration, BrokerError> {
        let connection = address.connect(name).await?;

        Ok(Administration { connection, layout })
    }

    /// Declares all objects.
    pub async fn declare(&self) -> Result<(), BrokerError> {
        topology::declare(&self.connection, self.layout).await
    }

    /// Declares all objects where a queue is missing.
    pub async fn ensure(&self) -> Result<(), BrokerError> {
        topology::ensure(&self.connection, self.layout).await
    }

    /// Checks that no other number of partitions is in force, as far as the broker knows it without
    /// a declaration; and with one where a queue is missing.
    pub async fn check_partitions(&self) -> Result<(), BrokerError> {
        topology::check_partitions(&self.connection, self.layout).await?;
        let last = self.layout.queue(self.layout.partitions - 1);
        if topology::depth(&self.connection, &last).await?.is_some() {
            return Ok(());
        }

        topology::declare_partitions(&self.connection, self.layout).await
    }

    pub async fn queues(&self) -> Result<Queues, BrokerError> {
        self.queues_of(self.layout).await
    }

    /// The queues of another layout.
    pub async fn queues_of(&self, layout: Layout) -> Result<Queues, BrokerError> {
        let depths = topology::depths(&self.connection, layout).await?;

        Ok(Queues { depths })
    }

    /// The number of worker processes.
    pub async fn workers(&self) -> Result<u32, BrokerError> {
        topology::workers(&self.connection).await
    }

    /// Publishes records of a journal, and returns when they are in their queues.
    pub async fn resend(&self, records: &[Vec<u8>]) -> Result<(), BrokerError> {
        publishing::resend(&self.connection, self.layout, records).await
    }

    /// Moves the messages of all older generations to the partitions of this layout. Returns their
    /// number.
    pub async fn forward_former(&self) -> Result<u32, BrokerError> {
        let mut forwarded = 0;

        for generation in 1..self.layout.generation {
            for partition in 0.. {
                let former = Layout {
                    generation,
                    partitions: partition + 1,
                };
                let queue = former.queue(partition);
                if topology::depth(&self.connection, &queue).await?.is_none() {
                    break;
                }
                forwarded += dead_letters::forward(&self.connection, &queue, self.layout).await?;
            }
        }

        Ok(forwarded)
    }

    pub async fn close(self) {
        close_connection(&self.connection).await;
    }
}
