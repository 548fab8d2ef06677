use std::fmt::Write as _;
use std::time::Duration;

use kinesis_aggregation::HashKeyRange;

use kinesis_testkit::{Cloud, Fault};

use super::*;
use crate::backoff::Backoff;
use crate::lease::table::mismatch::{Mismatch, mismatches};
use crate::lease::table::store::LeaseStore;
use crate::lease::{MemoryLeaseStore, Written};
use crate::shard::discover::{Discover, ListFilter};
use crate::shard::stream::Stream;

/// A stream: how many shards it begins with, and its reshards, as `time: parents > children`.
const GRAPHS: [(&str, u32, &str); 10] = [
    ("A", 6, "103: 0+1>6, 103: 2+3>7, 206: 6+7>8, 206: 5>9+10"),
    ("B", 2, "50: 0+1>2, 100: 2>3+4, 150: 3+4>5, 200: 5>6+7, 250: 6+7>8, 300: 8>9+10"),
    ("C", 4, "103: 0>4+5, 103: 2+3>6, 206: 4>7+8, 206: 5>9+10"),
    ("D", 2, "50: 0>2+3, 50: 1>4+5, 100: 2>6+7"),
    ("E", 4, "50: 0+1>4, 50: 2+3>5, 100: 4+5>6"),
    ("F", 4, "10: 1>4+5, 20: 0+4>6, 30: 2>7+8, 40: 5+7>9, 50: 8+3>10"),
    ("G", 1, "100: 0>1+2, 200: 1>3+4"),
    ("M", 2, "100: 0+1>2"),
    ("O", 4, "100: 0>4+5, 100: 1>6+7, 100: 2>8+9, 100: 3>10+11"),
    ("R", 2, "60: 0>2+3, 120: 2>4+5, 180: 4+5>6, 240: 6+3>7, 300: 7+1>8"),
];

/// Name, graph, deviations of the listing, leases (`3` with a number, `3E` at its end), start, created leases.
type Case = (&'static str, &'static str, &'static str, &'static str, &'static str, &'static str);

/// `S` numbers are those of the KCL's own tests and of reports from the field. `K` are tests that the KCL has and does not pass
/// (they are commented out there). `X` are ours.
const CASES: &[Case] = &[
    ("S1", "A", "", "3 4 5", "LATEST", "2 6 @LATEST"),
    ("S3", "A", "", "3 4 5", "AT_TIMESTAMP", "0 1 2 @AT_TIMESTAMP"),
    ("S5", "A", "", "4 5 7", "TRIM_HORIZON", "0 1 @TRIM_HORIZON"),
    ("S7", "A", "", "2 6", "LATEST", "3 4 9 10 @LATEST"),
    ("S9", "A", "", "2 6", "AT_TIMESTAMP", "3 4 5 @AT_TIMESTAMP"),
    ("S11", "A", "", "4 9 10", "TRIM_HORIZON", "0 1 2 3 @TRIM_HORIZON"),
    ("S13", "A", "", "4 5 6 7", "LATEST", ""),
    ("S15", "A", "", "4 5 6 7", "AT_TIMESTAMP", ""),
    ("S17", "A", "", "0 1 2 3 4 5 6 7", "TRIM_HORIZON", ""),
    ("S19", "A", "", "0 1 4 7 9 10", "LATEST", ""),
    ("S21", "A", "", "0 1 4 7 9 10", "AT_TIMESTAMP", ""),
    ("S23", "A", "without 6 7 8 9 10", "", "TRIM_HORIZON", "0 1 2 3 4 5 @TRIM_HORIZON"),
    ("S25", "B", "", "6", "LATEST", "7 @LATEST"),
    ("S27", "B", "", "5", "TRIM_HORIZON", ""),
    ("S29", "B", "without 2 3 4 5 6 7 8 9 10", "", "TRIM_HORIZON", "0 1 @TRIM_HORIZON"),
    ("S31", "D", "", "0E 1E", "AT_TIMESTAMP", "2 3 4 5 @TRIM_HORIZON"),
    ("S33", "E", "", "6", "LATEST", ""),
    ("S35", "O", "without 4 5 6 7 8 9 10 11, open 0 1 2 3", "0 1 3", "TRIM_HORIZON", "2 @TRIM_HORIZON"),
    ("S37", "G", "", "0E 2", "TRIM_HORIZON", "1 @TRIM_HORIZON"),
    ("S39", "G", "", "2", "LATEST", "3 4 @LATEST"),
    ("S41", "G", "without 0", "2", "TRIM_HORIZON", "1 @TRIM_HORIZON"),
    ("S43", "M", "", "0E", "TRIM_HORIZON", "1 @TRIM_HORIZON"),
    ("S45", "M", "", "0 1", "TRIM_HORIZON", ""),
    ("S47", "M", "open 0 1", "0 1", "TRIM_HORIZON", ""),
    ("S49", "O", "", "0 1 2 3", "LATEST", ""),
    ("S51", "O", "", "4 5 6 7", "LATEST", "8 9 10 11 @LATEST"),
    ("S53", "F", "", "0 1 2 3", "LATEST", ""),
    ("S55", "F", "", "6", "LATEST", "9 10 @LATEST"),
    ("S57", "F", "without 0 1 2 3 4 5 7 8", "", "LATEST", "6 9 10 @LATEST"),
    ("S59", "R", "", "0 1", "LATEST", ""),
    ("S61", "O", "without 4 5 6 7 8 9 10 11, open 0 1 2 3", "0 1 2 3 4E 5", "LATEST", ""),
    ("K1", "B", "", "6", "TRIM_HORIZON", "7 @TRIM_HORIZON"),
    ("K2", "B", "", "6", "AT_TIMESTAMP", "7 @AT_TIMESTAMP"),
    ("K3", "C", "", "9 10", "LATEST", "1 6 7 8 @LATEST"),
    // A whole listing of an empty table gives the first generation, or the last.
    ("X1", "A", "", "", "TRIM_HORIZON", "0 1 2 3 4 5 @TRIM_HORIZON"),
    ("X2", "A", "", "", "AT_TIMESTAMP", "0 1 2 3 4 5 @AT_TIMESTAMP"),
    ("X3", "A", "", "", "LATEST", "4 8 9 10 @LATEST"),
    // S63: the listing lags behind a split; its children wait, the unread shard 3 does not.
    ("X4", "O", "open 0 1 2 3, without 6 7 8 9 10 11", "0 1 2", "LATEST", "3 @LATEST"),
    // S65: the parent is not listed any more.
    ("X5", "G", "without 0 3 4, open 1", "", "TRIM_HORIZON", "1 2 @TRIM_HORIZON"),
    // S73: three generations, the first one comes first.
    ("X6", "G", "", "", "TRIM_HORIZON", "0 @TRIM_HORIZON"),
    // S89: the children are known, so the parent was read.
    ("X7", "G", "", "1 2", "TRIM_HORIZON", ""),
    // The same with one child's lease lost: it is created, and the parent is not read again.
    ("X8", "G", "", "2", "TRIM_HORIZON", "1 @TRIM_HORIZON"),
    // S101: the owner of 0 crashed before it created the second child's lease.
    ("X9", "G", "", "0E 1", "LATEST", "2 @TRIM_HORIZON"),
    // S103: one parent is finished, the other one is being read; the child waits.
    ("X10", "M", "", "0E 1", "TRIM_HORIZON", ""),
    ("X11", "M", "", "0E 1E", "LATEST", "2 @TRIM_HORIZON"),
    // The finished parent is known by its lease only.
    ("X12", "M", "without 0 1", "0E 1E", "LATEST", "2 @TRIM_HORIZON"),
    ("X13", "M", "without 0", "0 1E", "LATEST", ""),
    // A child of a finished parent never had a lease, though a shard below it has one: the owner of another parent, or an
    // operator, created that.
    ("X14", "G", "", "0E 2 3", "LATEST", "1 @TRIM_HORIZON"),
    ("X16", "R", "", "0E 2E 5 6", "LATEST", "1 3 4 @TRIM_HORIZON @LATEST"),
    // A truncated listing: no children are invented that it does not show.
    ("X15", "A", "without 6 7 8 9 10", "4", "LATEST", ""),
];

#[test]
fn makes_what_each_case_calls_for() {
    for (name, graph, listing, leases, start, expected) in CASES {
        let plan = plan(&listed(graph, listing), &rows(leases), &checkpoint(start));
        assert_eq!(described(&plan), *expected, "{name}");
    }
}

#[test]
fn a_second_plan_after_the_first_makes_nothing() {
    for (name, graph, listing, leases, start, _) in CASES {
        let (listing, mut rows, start) = (listed(graph, listing), rows(leases), checkpoint(start));
        rows.leases.extend(plan(&listing, &rows, &start).create);
        assert_eq!(plan(&listing, &rows, &start).create, [], "{name}");
    }
}

/// A crash may leave any part of a plan in the table.
#[test]
fn what_is_left_of_a_plan_is_made_later() {
    for (name, graph, listing, leases, start, _) in CASES {
        let (listing, rows, start) = (listed(graph, listing), rows(leases), checkpoint(start));
        let whole = plan(&listing, &rows, &start).create;
        for left_out in 0..whole.len() {
            let mut rows = rows.clone();
            let others = whole.iter().enumerate().filter(|(index, _)| *index != left_out);
            rows.leases.extend(others.map(|(_, lease)| lease.clone()));
            if rows.leases.is_empty() {
                continue;
            }
            let rest = plan(&listing, &rows, &start).create;
            assert_eq!(rest.len(), 1, "{name} without {left_out}");
            assert_eq!(rest[0].key, whole[left_out].key, "{name}");
        }
    }
}

#[test]
fn a_created_lease_knows_its_parents_and_its_range() {
    let plan = plan(&listed("M", "without 0 1"), &rows("0E 1E"), &Checkpoint::Latest);
    let [lease] = &plan.create[..] else { panic!("one lease") };
    assert_eq!(lease.checkpoint, Checkpoint::TrimHorizon);
    assert_eq!(lease.parents, [shard_id(0), shard_id(1)]);
    assert_eq!(lease.range, Some(HashKeyRange::FULL));
    assert_eq!((lease.counter, &lease.owner), (0, &None));
}

/// Rule `missing`: the graph's shard, the leases beside that of the child, which has not begun, and the created leases.
#[test]
fn a_parent_whose_merged_child_shows_that_its_lease_is_missing_is_made_anew() {
    for (graph, child, leases, start, expected) in [
        ("M", 2, "0E", "TRIM_HORIZON", "1 @TRIM_HORIZON"),
        ("M", 2, "0", "TRIM_HORIZON", "1 @TRIM_HORIZON"),
        ("M", 2, "0E", "LATEST", "1 @LATEST"),
        ("M", 2, "0E", "AT_TIMESTAMP", "1 @AT_TIMESTAMP"),
        // The first of its line.
        ("M", 2, "", "TRIM_HORIZON", ""),
        ("M", 2, "0E 1", "TRIM_HORIZON", ""),
        // The lease of 6 is missing, with parents of its own. The other shards of the graph are not affected.
        ("A", 8, "7", "LATEST", "4 6 9 10 @LATEST"),
        ("A", 8, "0 1E 7", "LATEST", "4 6 9 10 @TRIM_HORIZON @LATEST"),
        ("A", 8, "0E 1E 7", "LATEST", "4 6 9 10 @TRIM_HORIZON @LATEST"),
    ] {
        let listing = listed(graph, "");
        let mut rows = rows(leases);
        let shard = listing.iter().find(|shard| shard.id == shard_id(child)).expect("it is listed");
        rows.leases.push(new_lease(shard, Checkpoint::TrimHorizon));
        assert_eq!(described(&plan(&listing, &rows, &checkpoint(start))), expected, "{leases} beside {child}");
        if graph == "M" {
            rows.leases.last_mut().expect("the child").checkpoint = at("2500");
            assert_eq!(described(&plan(&listing, &rows, &checkpoint(start))), "", "the child has begun");
        }
    }
}

#[test]
fn names_the_open_shards_that_wait_for_a_parent() {
    assert_eq!(plan(&listed("A", ""), &rows("4 5 7"), &Checkpoint::Latest).waiting, [8, 9, 10].map(shard_id));
}

#[test]
fn leases_are_made_in_order_of_their_shards_age_then_id() {
    // 3 and 4 are younger than 2, whatever their IDs.
    let mut listing = listed("G", "without 0");
    listing.reverse();
    let plan = plan(&listing, &rows(""), &Checkpoint::Latest);
    let keys: Vec<_> = plan.create.iter().map(|lease| lease.key.shard()).collect();
    assert_eq!(keys, [2, 3, 4].map(shard_id));
}

#[test]
fn a_row_that_cannot_be_read_counts_as_a_lease_in_use() {
    let mut rows = rows("1");
    rows.unreadable.push((shard_id(0).to_string(), "no counter".to_owned()));
    assert_eq!(plan(&listed("M", ""), &rows, &Checkpoint::TrimHorizon).create, []);
}

/// S67, S69, S71 and worse: ranges and numbers decide nothing, and cycles end.
#[test]
fn odd_listings_do_no_harm() {
    // Every shard of the same range, as DynamoDB Streams has it; children that overlap; ends before their starts.
    let mut listing = listed("G", "");
    for shard in &mut listing {
        shard.range = HashKeyRange::parse("0", "1").expect("a range");
        shard.starting = "1".parse().expect("a number");
        shard.ending = shard.ending.as_ref().map(|_| "0".parse().expect("a number"));
    }
    listing.push(ListedShard { id: shard_id(5), parents: vec![shard_id(0)], ending: None, ..listing[1].clone() });
    assert_eq!(described(&plan(&listing, &rows("0E"), &Checkpoint::Latest)), "1 2 5 @TRIM_HORIZON");
    // A shard that is its own parent, and two shards that are each other's parents.
    listing[0].parents = vec![shard_id(0)];
    assert_eq!(described(&plan(&listing, &rows(""), &Checkpoint::TrimHorizon)), "0 @TRIM_HORIZON");
    listing[0].parents = vec![shard_id(1)];
    let plan = plan(&listing, &rows(""), &Checkpoint::TrimHorizon);
    assert_eq!(described(&plan), "0 @TRIM_HORIZON");
}

/// S83: deep lineage does not use stack.
#[test]
fn ten_thousand_generations_are_walked() {
    let mut events = String::new();
    for generation in 0..10_000 {
        write!(events, "{generation}: {generation}>{}, ", generation + 1).expect("strings take text");
    }
    let listing = listed_of(1, events.trim_end_matches(", "), "");
    assert_eq!(described(&plan(&listing, &rows(""), &Checkpoint::TrimHorizon)), "0 @TRIM_HORIZON");
    assert_eq!(described(&plan(&listing, &rows("5000"), &Checkpoint::TrimHorizon)), "");
    assert_eq!(described(&plan(&listing, &rows("5000E"), &Checkpoint::TrimHorizon)), "5001 @TRIM_HORIZON");
}

#[test]
fn a_checkpoint_before_the_start_of_its_shard_tells_of_another_stream() {
    let listing = listed("M", "");
    assert_eq!(mismatches(&listing, &rows("0 1 7")), []);
    let mut old = rows("0 1E 2");
    old.leases[2].checkpoint = at("1");
    let [Mismatch::CheckpointBeforeStart { key, starting, .. }] = &mismatches(&listing, &old)[..] else {
        panic!("one lease is too old");
    };
    assert_eq!((key.shard(), starting), (shard_id(2), &listing[2].starting));
    old.leases[1].range = Some(HashKeyRange::parse("0", "99").expect("a range"));
    assert!(matches!(&mismatches(&listing, &old)[0], Mismatch::OtherHashKeys { shard, .. } if *shard == shard_id(1)));
    old.leases[0].stream = Some("000000000000:orders:1600000000".to_owned());
    assert!(matches!(&mismatches(&listing, &old)[0], Mismatch::OfSeveralStreams { .. }));
}

#[tokio::test(start_paused = true)]
async fn leases_that_are_there_already_count_as_created() {
    let store = MemoryLeaseStore::new();
    let leases: Vec<Lease> = plan(&listed("A", ""), &rows(""), &Checkpoint::TrimHorizon).create;
    let mut owned = leases[0].clone();
    owned.counter = 7;
    assert!(matches!(store.create(&owned).await, Ok(Written::Accepted(_))));
    let pauses = || Backoff::new(Duration::from_millis(50), Duration::from_secs(1)).pauses(fastrand::Rng::with_seed(1));
    let created = create(&store, leases.clone(), pauses).await;
    assert!(created.failed.is_empty());
    assert_eq!(created.leases[0], owned);
    assert_eq!(created.leases[1..], leases[1..]);
}

fn listed(graph: &str, how: &str) -> Vec<ListedShard> {
    let (_, shards, events) = GRAPHS.iter().find(|(name, ..)| *name == graph).expect("a graph of the table");
    listed_of(*shards, events, how)
}

fn listed_of(shards: u32, events: &str, how: &str) -> Vec<ListedShard> {
    let shard = |id: u32, time: u32, parents: &[u32]| ListedShard {
        id: shard_id(id),
        parents: parents.iter().map(|id| shard_id(*id)).collect(),
        range: HashKeyRange::FULL,
        starting: (1000 + time).to_string().parse().expect("a number"),
        ending: None,
    };
    let mut listing: Vec<ListedShard> = (0..shards).map(|id| shard(id, 0, &[])).collect();
    for event in events.split(", ").filter(|event| !event.is_empty()) {
        let (time, change) = event.split_once(": ").expect("time: change");
        let (parents, children) = change.split_once('>').expect("parents>children");
        let (time, parents) = (time.parse().expect("a time"), numbers(parents, '+'));
        for parent in &parents {
            listing[*parent as usize].ending = Some("2000".parse().expect("a number"));
        }
        listing.extend(numbers(children, '+').into_iter().map(|child| shard(child, time, &parents)));
    }
    for change in how.split(", ").filter(|change| !change.is_empty()) {
        let (what, ids) = change.split_once(' ').expect("what and ids");
        let ids: Vec<ShardId> = numbers(ids, ' ').into_iter().map(shard_id).collect();
        match what {
            "without" => listing.retain(|shard| !ids.contains(&shard.id)),
            "open" => listing.iter_mut().filter(|shard| ids.contains(&shard.id)).for_each(|shard| shard.ending = None),
            other => panic!("{other}"),
        }
    }
    listing
}

fn rows(leases: &str) -> Rows {
    let lease = |text: &str| {
        let (id, checkpoint) = match text.strip_suffix('E') {
            Some(id) => (id, Checkpoint::ShardEnd),
            None => (text, at("1999")),
        };
        Lease::new(LeaseKey::of(&shard_id(id.parse().expect("an id"))), checkpoint)
    };
    Rows { leases: leases.split_whitespace().map(lease).collect(), ..Rows::default() }
}

fn described(plan: &Plan) -> String {
    let mut ids: Vec<u32> = Vec::new();
    let mut checkpoints = BTreeSet::new();
    for lease in &plan.create {
        ids.push(lease.key.as_str()["shardId-".len()..].parse().expect("an id"));
        checkpoints.insert(&lease.checkpoint);
    }
    ids.sort_unstable();
    let names = checkpoints.into_iter().map(|checkpoint| match checkpoint {
        Checkpoint::AtTimestamp => "@AT_TIMESTAMP".to_owned(),
        Checkpoint::TrimHorizon => "@TRIM_HORIZON".to_owned(),
        Checkpoint::Latest => "@LATEST".to_owned(),
        other => format!("{other:?}"),
    });
    ids.iter().map(u32::to_string).chain(names).collect::<Vec<_>>().join(" ")
}

fn checkpoint(name: &str) -> Checkpoint {
    match name {
        "LATEST" => Checkpoint::Latest,
        "TRIM_HORIZON" => Checkpoint::TrimHorizon,
        "AT_TIMESTAMP" => Checkpoint::AtTimestamp,
        other => panic!("{other}"),
    }
}

fn at(number: &str) -> Checkpoint {
    let sequence_number = number.parse().expect("a number");
    Checkpoint::At(crate::record::Position { sequence_number, sub_sequence: 0, shard: "shardId-000000000000".into() })
}

fn shard_id(id: u32) -> ShardId {
    ShardId::from(format!("shardId-{id:012}"))
}

fn numbers(text: &str, separator: char) -> Vec<u32> {
    text.split(separator).map(|id| id.trim().parse().expect("an id")).collect()
}

/// S165: a stream of 1500 shards doubles between two pages of its listing. On the first page parents still look open; the
/// second has all the children. No child is planned before its parent is done, and no shard is planned twice.
#[tokio::test(start_paused = true)]
async fn of_a_torn_listing_no_child_is_planned_beside_its_parent() {
    for filter in [ListFilter::All, ListFilter::AtLatest] {
        let cloud = Cloud::new();
        let stream = cloud.create_stream("clicks", 1500).await;
        let client = cloud.connect("a").await.kinesis;
        let discover = Discover::new(Stream::new(&client, "clicks"), fastrand::Rng::with_seed(1));
        let whole = discover.list(ListFilter::All).await.expect("a listing");
        let leases: Vec<_> = whole.iter().map(|shard| new_lease(shard, Checkpoint::TrimHorizon)).collect();
        cloud.faults("a").next("ListShards", Fault::DelayResponse(Duration::from_millis(1)));
        // No call takes longer than six seconds: the second page comes at the fifth attempt.
        cloud.faults("a").next_n("ListShards", 4, Fault::SilentRequest);
        let (torn, ()) = tokio::join!(discover.list(filter), async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            stream.update_shard_count(3000).await;
        });
        let torn = torn.expect("a listing");
        assert!(torn.iter().any(|shard| !shard.is_closed() && shard.parents.is_empty()), "parents look open");
        let children = torn.iter().filter(|shard| !shard.parents.is_empty()).count();
        assert!(children > 100, "and {children} children are there");

        let ids = |plan: Plan| plan.create.into_iter().map(|lease| lease.key.shard()).collect::<BTreeSet<_>>();
        let rows = Rows { leases, ..Rows::default() };
        assert_eq!(ids(plan(&torn, &rows, &Checkpoint::Latest)), BTreeSet::new(), "all parents have leases");
        let first = plan(&torn, &Rows::default(), &Checkpoint::Latest);
        let first: BTreeSet<_> = ids(first);
        let beside =
            torn.iter().filter(|shard| first.contains(&shard.id) && shard.parents.iter().any(|id| first.contains(id)));
        assert_eq!(beside.map(|shard| shard.id.to_string()).collect::<Vec<_>>(), [""; 0]);
    }
}
