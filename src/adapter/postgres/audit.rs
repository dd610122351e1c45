//! Reads for the comparison of stored records with rebuilt ones.

use std::collections::HashMap;

use async_trait::async_trait;

use super::time_limits::with_timeout;
use super::{PartitionAddress, PostgresLedger};
use crate::domain::fact::Site;
use crate::domain::time::At;
use crate::port::ledger::{LedgerError, RecordAudit};
use crate::wire::partition::partition_of;

const SELECT_SITES: &str = "-- select_sites_in_order
    SELECT site
    FROM sites
    ORDER BY site";

const SELECT_WATERMARKS: &str = "-- select_watermarks
    SELECT part, watermark
    FROM partition_owner
    WHERE generation = $1";

const SELECT_RECORDS: &str = "-- select_records
    SELECT call_id::text, record::text
    FROM call_logs
    WHERE site = $1
    ORDER BY call_id";

#[async_trait]
impl RecordAudit for PostgresLedger {
    async fn sites(&self) -> Result<Vec<(Site, At)>, LedgerError> {
        let PartitionAddress {
            generation,
            count: partitions,
            ..
        } = self.partition;
        let sites = sqlx::query_scalar(SELECT_SITES);
        let watermarks = sqlx::query_as(SELECT_WATERMARKS).bind(generation.cast_signed());

        let mut reader = self.reader().await?;
        let names: Vec<String> =
            with_timeout(reader.time_limit, sites.fetch_all(&mut *reader)).await?;
        let watermarks: Vec<(i32, i64)> =
            with_timeout(reader.time_limit, watermarks.fetch_all(&mut *reader)).await?;
        reader.put_back().await?;

        let watermarks: HashMap<i32, i64> = watermarks.into_iter().collect();
        let watermark = |site: &Site| {
            watermarks
                .get(&partition_of(site, partitions).cast_signed())
                .map_or(At::START, |at| At(*at))
        };

        Ok(names
            .iter()
            .filter_map(|name| Site::parse(name))
            .map(|site| (site.clone(), watermark(&site)))
            .collect())
    }

    async fn stored_records(&self, site: &Site) -> Result<Vec<(String, String)>, LedgerError> {
        let select = sqlx::query_as(SELECT_RECORDS).bind(site.as_str());

        let mut reader = self.slow_reader().await?;
        let records = with_timeout(reader.time_limit, select.fetch_all(&mut *reader)).await?;
        reader.put_back().await?;

        Ok(records)
    }
}
