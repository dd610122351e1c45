//! Rules of sites.

use sqlx::Row;

use super::database::SqliteLedger;
use crate::adapter::sql::site_rules::implement_site_rules;

implement_site_rules!(SqliteLedger);
