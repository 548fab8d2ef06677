//! What the API reference of Kinesis Data Streams says.

mod arns;
mod consumers;
mod get_records;
mod iterators;
mod list_shards;
mod protection;
mod put;
mod reshard;
mod settings;
mod shard_count;
mod streams;
mod subscribe;
mod tags;

use super::Family;

pub(super) const FAMILIES: &[Family] = &[
    Family { title: "Streams", checks: streams::CHECKS },
    Family { title: "Putting records", checks: put::CHECKS },
    Family { title: "Shard iterators", checks: iterators::CHECKS },
    Family { title: "Reading records", checks: get_records::CHECKS },
    Family { title: "Listing shards", checks: list_shards::CHECKS },
    Family { title: "Splitting and merging", checks: reshard::CHECKS },
    Family { title: "Setting the number of shards", checks: shard_count::CHECKS },
    Family { title: "Retention, record size, mode, distribution", checks: settings::CHECKS },
    Family { title: "Consumers of enhanced fan-out", checks: consumers::CHECKS },
    Family { title: "Subscriptions", checks: subscribe::CHECKS },
    Family { title: "Tags", checks: tags::CHECKS },
    Family { title: "Encryption, metrics, DryRun", checks: protection::CHECKS },
    Family { title: "Names and ARNs", checks: arns::CHECKS },
];
