//! Conditions on the owners and the counter of a lease, and the values that go with them.

use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;

use crate::lease::table::dynamodb::item::{self, n, s};
use crate::lease::{Owners, Renewal, Seen, WorkerId};

pub(super) fn with_renewal(update: UpdateItemFluentBuilder, renewal: Renewal<'_>) -> UpdateItemFluentBuilder {
    let update = with_holder(update, renewal.holder)
        .expression_attribute_values(":seen", n(renewal.counter))
        .expression_attribute_values(":next", n(renewal.next));
    let Some(throughput) = renewal.throughput_kib_per_s.and_then(item::from_throughput) else { return update };
    let expression = update.get_update_expression().clone().unwrap_or_default();
    update
        .update_expression(expression.replacen("SET ", "SET throughputKBps = :throughput, ", 1))
        .expression_attribute_values(":throughput", throughput)
}

/// The condition that the row names a worker as the actual owner. [`with_holder`] brings its values.
pub(super) fn is_held() -> String {
    format!("(checkpointOwner = :holder OR ({}))", is_held_for_itself())
}

/// The same, and that no hand-off is under way.
pub(super) fn is_held_for_itself() -> String {
    format!("leaseOwner = :holder AND {}", is_nobody("checkpointOwner"))
}

pub(super) fn with_holder(update: UpdateItemFluentBuilder, holder: &WorkerId) -> UpdateItemFluentBuilder {
    with_nobody(update).expression_attribute_values(":holder", s(holder.as_str()))
}

/// The condition that there is a row, and that it is as a writer saw it. [`with_seen`] brings its values.
pub(super) fn is_as_seen(seen: &Seen) -> String {
    let counter = if seen.counter.is_some() { " AND leaseCounter = :counter" } else { "" };
    format!("attribute_exists(leaseKey) AND {}{counter}", owners_are(&seen.owners))
}

pub(super) fn with_seen(update: UpdateItemFluentBuilder, seen: &Seen) -> UpdateItemFluentBuilder {
    let update = with_owners(update, &seen.owners);
    match seen.counter {
        Some(counter) => update.expression_attribute_values(":counter", n(counter)),
        None => update,
    }
}

/// The condition that the owners are as a writer saw them. [`with_owners`] brings its values.
pub(super) fn owners_are(seen: &Owners) -> String {
    let is = |attribute, owner: &Option<WorkerId>, value| match owner {
        Some(_) => format!("{attribute} = {value}"),
        None => is_nobody(attribute),
    };
    let owner = is("leaseOwner", &seen.owner, ":owner");
    let checkpoint_owner = is("checkpointOwner", &seen.checkpoint_owner, ":holder");
    format!("{owner} AND {checkpoint_owner}")
}

pub(super) fn with_owners(mut update: UpdateItemFluentBuilder, seen: &Owners) -> UpdateItemFluentBuilder {
    if let Some(owner) = &seen.owner {
        update = update.expression_attribute_values(":owner", s(owner.as_str()));
    }
    if let Some(holder) = &seen.checkpoint_owner {
        update = update.expression_attribute_values(":holder", s(holder.as_str()));
    }
    if seen.owner.is_none() || seen.checkpoint_owner.is_none() {
        update = with_nobody(update);
    }
    update
}

/// An edited row can name the empty text, which reads as nobody. Written as a comparison with the smallest text that is
/// not empty, for DynamoDB does not take an empty one for the key of an index.
pub(super) fn is_nobody(attribute: &str) -> String {
    format!("(attribute_not_exists({attribute}) OR {attribute} < :nobody)")
}

pub(super) fn with_nobody(update: UpdateItemFluentBuilder) -> UpdateItemFluentBuilder {
    update.expression_attribute_values(":nobody", s("\u{0}"))
}

/// One key space holds leases, workers and the lock: a worker named like a shard must not write over its lease.
pub(super) const WORKER_ROW: &str = "attribute_not_exists(leaseKey) OR entityType = :worker";
/// A lease, of whatever kind of worker, that is not of the stream.
pub(super) const IS_FOREIGN: &str = "(attribute_not_exists(boundToStream) OR boundToStream <> :stream) \
     AND (attribute_not_exists(entityType) OR entityType = :lease)";
/// No lock, or a row without a version: nobody can hold such a one, and nobody could ever lead beside it.
pub(super) const NO_LOCK: &str = "attribute_not_exists(leaseKey) OR NOT attribute_type(recordVersionNumber, :text) \
                       OR recordVersionNumber = :empty";
pub(super) const LOCK_IS_HELD: &str = "attribute_exists(leaseKey) AND recordVersionNumber = :held AND ownerName = :me";
