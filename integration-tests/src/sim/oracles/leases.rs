//! The epochs of user code beside what the table accepted: each begins with its worker's own renewal, none outlives its lease,
//! none ends without cause. And the leases of finished shards stay until they are not needed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::Violation;
use super::checkpoints::is_renewal;
use crate::sim::fleet::place_of_life;
use crate::sim::history::{History, What, short};
use crate::sim::table::{LeaseWrite, Mark, Row};

/// A life's epoch of a shard, with its first renewal among the shard's writes.
struct Epoch<'a> {
    life: &'a str,
    number: u64,
    /// Where the shard's lease begins in its writes: one that is deleted and made anew counts from the beginning again.
    lease: usize,
    renewal: usize,
    id: &'a str,
}

/// C6: nothing is delivered before the renewal that makes a lease a worker's own. C7: nothing is delivered under a lease that
/// the table has given to somebody else. C5: no epoch ends while its lease is held, and what a hand-off leaves is done.
pub(crate) fn epochs(history: &History) -> Vec<Violation> {
    let mut violations = Vec::new();
    let writes = by_shard(history);
    let mut last: BTreeMap<&str, Epoch<'_>> = BTreeMap::new();
    for event in &history.events {
        let What::Begin { epoch: Some(number), .. } = &event.what else { continue };
        // A row that an operator deleted is made again, while its owner goes on in an epoch of the old one until it notices.
        let Some(writes) = writes.get(event.shard.as_str()).filter(|writes| !is_deleted_by_operator(writes)) else {
            continue;
        };
        let mut broken = |promise, what| violations.push(Violation::new(promise, event.at, &event.shard, what));
        let (life, shard) = (event.worker.as_str(), event.shard.as_str());
        let gone = writes.iter().rposition(|write| write.at <= event.at && write.row.is_none());
        let lease = gone.map_or(0, |gone| gone + 1);
        if last.get(shard).is_none_or(|epoch| (epoch.life, epoch.number, epoch.lease) != (life, *number, lease)) {
            let found = first_renewal(&writes[lease..], life, *number).map(|(at, id)| (lease + at, id));
            let Some((renewal, id)) = found.filter(|(at, _)| writes[*at].at <= event.at) else {
                broken("C6", format!("{life} begins epoch {number}, which no renewal of its own began"));
                continue;
            };
            let epoch = Epoch { life, number: *number, lease, renewal, id };
            if let Some(before) = last.get(shard).filter(|before| (before.life, before.lease) == (life, lease))
                && !history.had_twins(place_of_life(life), writes[before.renewal].at, event.at)
                && let Some(sent) = left_without_cause(writes, before, &epoch, history.shape.lease_duration)
            {
                let what =
                    format!("{life} takes anew what it held: it had renewed at {sent:?} or later, nobody had taken it");
                broken("C5", what);
            }
            last.insert(shard, epoch);
        }
        let epoch = &last[shard];
        if let Some(ran_out) = ran_out(writes, epoch, event.at, history.shape.lease_duration) {
            broken("C7", format!("{life} goes on in epoch {number}, whose lease had run out at {ran_out:?}"));
        }
        let later = writes[epoch.renewal..].iter().take_while(|write| write.at < event.at);
        let taken = later.filter_map(|write| write.row.as_ref()).find(|row| row.holder() != Some(epoch.id));
        if let Some(row) = taken {
            let owner = row.holder().unwrap_or("nobody");
            broken("C7", format!("{life} goes on in epoch {number}, after the table had given the lease to {owner}"));
        }
    }
    violations.extend(hand_offs(history, &writes));
    violations.extend(hand_offs_overdue(history, &writes));
    violations.extend(hand_offs_cut_short(history, &writes));
    violations
}

/// When the lease of an epoch had run out for those who wait to take it, if it had by then: a life of it after its last renewal.
/// Whether somebody was there to take it does not matter.
fn ran_out(writes: &[&LeaseWrite], epoch: &Epoch<'_>, now: Duration, life: Duration) -> Option<Duration> {
    let place = Some(place_of_life(epoch.life));
    let so_far = writes.partition_point(|write| write.at <= now);
    let renewed = (epoch.renewal..so_far).rev().find(|at| {
        let row = writes[*at].row.as_ref().filter(|row| row.holder() == Some(epoch.id));
        let before = at.checked_sub(1).and_then(|before| writes[before].row.as_ref());
        writes[*at].place.as_deref() == place && row.zip(before).is_some_and(|(row, before)| is_renewal(before, row))
    })?;
    let ran_out = writes[renewed].at + life;
    (ran_out < now).then_some(ran_out)
}

/// C8: who has renewed a lease twice since it was asked to hand it over knows that, for the second time follows from what the
/// table said to the first. From then on it has its time, and does not keep the lease for longer.
fn hand_offs_overdue(history: &History, writes: &BTreeMap<&str, Vec<&LeaseWrite>>) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (shard, writes) in writes.iter().filter(|(_, writes)| !is_deleted_by_operator(writes)) {
        let mut renewals = Vec::new();
        for pair in writes.windows(2) {
            let (Some(before), Some(row)) = (&pair[0].row, &pair[1].row) else { continue };
            let Some(from) = before.checkpoint_owner.as_deref() else {
                renewals.clear();
                continue;
            };
            if !is_renewal(before, row) || pair[1].place.as_deref() != Some(place_of_life(from)) {
                continue;
            }
            renewals.push(pair[1].at);
            let known = renewals.get(1).filter(|known| pair[1].at > **known + handoff_of(history, from) + A_WRITE);
            if let Some(known) = known {
                let what = format!("{from} renews what it has known to be asked for since {known:?} at the latest");
                violations.push(Violation::new("C8", pair[1].at, shard, what));
                renewals.clear();
            }
        }
    }
    violations
}

/// C5: nobody else ends the hand-off of a worker that renews, before that has had its time.
fn hand_offs_cut_short(history: &History, writes: &BTreeMap<&str, Vec<&LeaseWrite>>) -> Vec<Violation> {
    let mut violations = Vec::new();
    let alive = history.shape.lease_duration.mul_f64(GIVES_UP);
    for (shard, writes) in writes.iter().filter(|(_, writes)| !is_deleted_by_operator(writes)) {
        let (mut asked, mut renewed) = (Duration::ZERO, None);
        for pair in writes.windows(2) {
            let (Some(before), Some(row)) = (&pair[0].row, &pair[1].row) else { continue };
            let (at, by) = (pair[1].at, pair[1].place.as_deref());
            let Some(from) = before.checkpoint_owner.as_deref() else {
                (asked, renewed) = (at, None);
                continue;
            };
            if by == Some(place_of_life(from)) {
                renewed = Some(at);
            }
            let is_cut_short = row.holder() != Some(from)
                && by != Some(place_of_life(from))
                && at < asked + handoff_of(history, from)
                && renewed.is_some_and(|renewed| at < renewed + alive);
            if is_cut_short {
                let what =
                    format!("{} ends what {from} hands over since {asked:?}, and still renews", by.unwrap_or("-"));
                violations.push(Violation::new("C5", at, shard, what));
            }
        }
    }
    violations
}

/// The first write by which a life's place made this counter, and the worker id that held the lease then.
fn first_renewal<'a>(writes: &[&'a LeaseWrite], life: &str, number: u64) -> Option<(usize, &'a str)> {
    let place = Some(place_of_life(life));
    let found = writes.iter().enumerate().find_map(|(at, write)| {
        let row = write.row.as_ref().filter(|row| row.counter == number && write.place.as_deref() == place)?;
        let before = at.checked_sub(1).and_then(|before| writes[before].row.as_ref())?;
        is_renewal(before, row).then_some((at, row.holder()?))
    });
    found.filter(|(_, id)| Some(place_of_life(id)) == place)
}

/// Of two epochs of one life, with nothing but its own renewals between: the moment after which the first one's last renewal but
/// one was sent for sure, if that leaves its lease alive at the second one's beginning. The last one may have been accepted
/// without its worker learning that.
fn left_without_cause(
    writes: &[&LeaseWrite],
    before: &Epoch<'_>,
    after: &Epoch<'_>,
    life: Duration,
) -> Option<Duration> {
    let between = &writes[before.renewal..after.renewal];
    let own = between.iter().all(|write| {
        write.row.as_ref().is_some_and(|row| row.owner.as_deref() == Some(before.id) && row.checkpoint_owner.is_none())
    });
    let place = Some(place_of_life(before.life));
    if !own || before.id != after.id || between.iter().any(|write| write.place.as_deref() != place) {
        return None;
    }
    let sent = between[between.len().checked_sub(3)?].at;
    (writes[after.renewal].at < sent + life.mul_f64(0.9)).then_some(sent)
}

/// What a worker was given before it completed a hand-off, in good time and without a failure, is done and checkpointed.
fn hand_offs(history: &History, writes: &BTreeMap<&str, Vec<&LeaseWrite>>) -> Vec<Violation> {
    let mut violations = Vec::new();
    if history.shape.failing_calls > 0 {
        return violations;
    }
    for (shard, writes) in writes.iter().filter(|(_, writes)| !is_deleted_by_operator(writes)) {
        let mut asked: Option<Duration> = None;
        for pair in writes.windows(2) {
            let (Some(before), Some(row)) = (&pair[0].row, &pair[1].row) else { continue };
            let at = pair[1].at;
            match (&before.checkpoint_owner, &row.checkpoint_owner) {
                (None, Some(_)) => asked = Some(at),
                (Some(from), None) if is_by(history, pair[1], from) && row.owner == before.owner => {
                    // An epoch that ran out, of a worker that stood still, is not handed over by who finds its name in the lease.
                    // Nor is what a second process under its id was given.
                    let in_time = asked.is_some_and(|asked| {
                        let before = asked.saturating_sub(history.shape.lease_duration);
                        at < asked + handoff_of(history, from).mul_f64(0.8)
                            && !has_lapsed(history, writes, from, at)
                            && !history.had_twins(place_of_life(from), before, at)
                    });
                    let open =
                        given_to(history, shard, from, at).filter(|last| Mark::At((*last).clone()) > row.checkpoint);
                    if let Some(last) = open.filter(|_| in_time) {
                        let what = format!("{from} hands over at {}, and was given {}", row.checkpoint, short(last));
                        violations.push(Violation::new("C5", at, shard, what));
                    }
                }
                _ => {}
            }
        }
    }
    violations
}

/// The time that this worker has for a hand-off.
fn handoff_of(history: &History, id: &str) -> Duration {
    history.shape.handoff_of(place_of_life(id).trim_start_matches('w').parse().unwrap_or_default())
}

/// Whether, some time after it was last given a record, the holder has not renewed the lease for longer than it holds one.
fn has_lapsed(history: &History, writes: &[&LeaseWrite], id: &str, before: Duration) -> bool {
    let place = place_of_life(id);
    let given = history.events.iter().rev().find(|event| {
        let is_here = event.at <= before && event.shard == writes[0].shard && place_of_life(&event.worker) == place;
        is_here && matches!(event.what, What::Begin { .. })
    });
    let Some(given) = given else { return false };
    let own = |write: &&&LeaseWrite| write.place.as_deref() == Some(place) && write.at <= before;
    let mut last = writes.iter().filter(own).map(|write| write.at).take_while(|at| *at <= given.at).last();
    writes.iter().filter(own).map(|write| write.at).filter(|at| *at > given.at).any(|at| {
        let gap = last.replace(at).map_or(Duration::ZERO, |last| at - last);
        gap > history.shape.lease_duration.mul_f64(GIVES_UP)
    })
}

/// Whether the worker with this id wrote it, and not a later life at its place under another id.
fn is_by(history: &History, write: &LeaseWrite, id: &str) -> bool {
    let place = place_of_life(id);
    let before = history.events.iter().rev().skip_while(|event| event.at > write.at);
    let mut ids = before.filter_map(|event| match &event.what {
        What::Up(id) if place_of_life(&event.worker) == place => Some(id),
        _ => None,
    });
    write.place.as_deref() == Some(place) && ids.next().is_none_or(|last| last == id)
}

/// The last record of the shard that the place was given in its last epoch before.
fn given_to<'a>(
    history: &'a History,
    shard: &str,
    id: &str,
    before: Duration,
) -> Option<&'a kinesis_consumer::Position> {
    let place = place_of_life(id);
    let given = history.events.iter().rev().filter(|event| event.at <= before && event.shard == shard);
    let mut given = given.filter(|event| place_of_life(&event.worker) == place);
    given.find_map(|event| match &event.what {
        What::Begin { epoch: Some(_), records, .. } => records.last().map(|record| &record.position),
        _ => None,
    })
}

/// C4: the lease of a finished shard is what says that its children may begin, and what they are made from should their leases
/// be lost; so it stays until they have begun.
pub(crate) fn families(history: &History) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut rows: BTreeMap<&str, &Row> = BTreeMap::new();
    let mut deleted = BTreeSet::new();
    let mut begun = BTreeSet::new();
    for write in &history.writes {
        let shard = write.shard.as_str();
        let Some(row) = &write.row else {
            let finished = rows.remove(shard).is_some_and(|row| row.checkpoint == Mark::ShardEnd);
            if write.place.is_none() {
                deleted.insert(shard);
            } else if finished {
                let children =
                    history.shards.iter().filter(|(_, lineage)| lineage.parents.iter().any(|id| id == shard));
                let mut waiting = children.map(|(id, _)| id.as_str());
                if let Some(child) = waiting.find(|id| !begun.contains(id) && !deleted.contains(id)) {
                    let what = format!("its lease is deleted before {child} has begun");
                    violations.push(Violation::new("C4", write.at, shard, what));
                }
            }
            continue;
        };
        if row.checkpoint != Mark::Nothing {
            begun.insert(shard);
        }
        rows.insert(shard, row);
    }
    violations
}

fn by_shard(history: &History) -> BTreeMap<&str, Vec<&LeaseWrite>> {
    let mut shards: BTreeMap<&str, Vec<&LeaseWrite>> = BTreeMap::new();
    history.writes.iter().for_each(|write| shards.entry(&write.shard).or_default().push(write));
    shards
}

fn is_deleted_by_operator(writes: &[&LeaseWrite]) -> bool {
    writes.iter().any(|write| write.place.is_none())
}

/// Of the life of its lease, after which a holder gives up that cannot renew it; by a clock that is 2 % too fast.
const GIVES_UP: f64 = 0.9 / 1.02;

/// What the table may take for a write, tries that it refuses included.
const A_WRITE: Duration = Duration::from_secs(3);
