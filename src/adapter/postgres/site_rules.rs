//! Rules of sites.

use sqlx::Row;

use super::PostgresLedger;
use crate::adapter::sql::site_rules::implement_site_rules;

implement_site_rules!(PostgresLedger);
