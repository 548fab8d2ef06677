//! What the API reference of DynamoDB says, as far as a lease table needs it.

mod batches;
mod items;
mod queries;
mod table;
mod tables;

use super::Family;

pub(super) const FAMILIES: &[Family] = &[
    Family { title: "Tables", checks: tables::CHECKS },
    Family { title: "Items and conditions", checks: items::CHECKS },
    Family { title: "Queries and scans", checks: queries::CHECKS },
    Family { title: "Batches and transactions", checks: batches::CHECKS },
];
