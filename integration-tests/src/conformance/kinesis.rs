//! What the API reference of Kinesis Data Streams says.

mod get_records;
mod iterators;
mod list_shards;
mod put;
mod reshard;
mod streams;

use super::Family;

pub(super) const FAMILIES: &[Family] = &[
    Family { title: "Streams", checks: streams::CHECKS },
    Family { title: "Putting records", checks: put::CHECKS },
    Family { title: "Shard iterators", checks: iterators::CHECKS },
    Family { title: "Reading records", checks: get_records::CHECKS },
    Family { title: "Listing shards", checks: list_shards::CHECKS },
    Family { title: "Splitting and merging", checks: reshard::CHECKS },
];
