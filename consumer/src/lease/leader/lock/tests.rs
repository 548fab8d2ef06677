use super::*;

const D: Duration = Duration::from_secs(10);

fn at(millis: u64) -> Tick {
    Tick::new(Duration::from_millis(millis))
}

fn lock(owner: &str, version: &str) -> LeaderLock {
    LeaderLock { owner: WorkerId::from(owner), duration: D, version: version.to_owned(), released: false }
}

fn candidate() -> Leadership {
    Leadership::new(WorkerId::from("me"), D)
}

/// Returns a leader whose last write was sent at 0.
fn leader() -> Leadership {
    let mut leader = candidate();
    assert_eq!(leader.looked(at(0), None), Look::Take { seen: None });
    let mine = leader.next_take(|| "v1".to_owned());
    assert_eq!(mine, lock("me", "v1"));
    leader.took(at(0), mine, Outcome::Accepted);
    leader
}

#[test]
fn takes_a_lock_that_is_absent_or_released_at_once() {
    assert_eq!(candidate().looked(at(0), None), Look::Take { seen: None });
    let released = LeaderLock { released: true, ..lock("other", "v1") };
    assert_eq!(candidate().looked(at(0), Some(released.clone())), Look::Take { seen: Some(released) });
}

#[test]
fn takes_a_lock_whose_version_stood_still_for_its_own_duration() {
    let mut candidate = candidate();
    // A Java leader's lock.
    let java = LeaderLock { duration: Duration::from_secs(120), ..lock("java", "v1") };
    assert_eq!(candidate.looked(at(0), Some(java.clone())), Look::Wait);
    assert_eq!(candidate.looked(at(60_000), Some(java.clone())), Look::Wait);
    let beaten = LeaderLock { version: "v2".to_owned(), ..java };
    assert_eq!(candidate.looked(at(62_000), Some(beaten.clone())), Look::Wait);
    assert_eq!(candidate.runs_out(), Some(at(182_000)));
    assert_eq!(candidate.looked(at(181_999), Some(beaten.clone())), Look::Wait);
    assert_eq!(candidate.looked(at(182_000), Some(beaten.clone())), Look::Take { seen: Some(beaten) });
}

#[test]
fn observes_from_the_first_heartbeat_missed() {
    let mut candidate = candidate();
    assert_eq!(candidate.role(at(0)), LeaderRole::Following);
    candidate.looked(at(0), Some(lock("other", "v1")));
    assert_eq!(candidate.role(at(3900)), LeaderRole::Following);
    assert_eq!(candidate.role(at(4000)), LeaderRole::Observing);
    candidate.looked(at(4000), Some(lock("other", "v2")));
    assert_eq!(candidate.role(at(4000)), LeaderRole::Following);
}

#[test]
fn leads_until_nine_tenths_after_the_sending_of_its_last_write() {
    let mut leader = leader();
    assert_eq!(leader.role(at(8999)), LeaderRole::Leading { until: at(9000) });
    assert_eq!(leader.role(at(9000)), LeaderRole::Following);
    let (held, next) = leader.next_heartbeat(at(3334), || "v2".to_owned()).expect("it leads");
    assert_eq!((held, &next), (lock("me", "v1"), &lock("me", "v2")));
    assert!(!leader.beat(at(3334), next, Outcome::Accepted));
    assert_eq!(leader.role(at(4000)), LeaderRole::Leading { until: at(12_334) });
    assert_eq!(leader.next_heartbeat_at(), Some(at(3334) + D / 3));
}

/// A candidate takes the lock only after the holder has stopped, whichever versions it sees.
#[test]
fn never_two_lead() {
    for (sent, seen) in [(0, 0), (0, 10), (0, 3000), (3333, 3334)] {
        let mut leader = candidate();
        leader.took(at(sent), lock("other", "v1"), Outcome::Accepted);
        let mut candidate = candidate();
        // The earliest moment at which the version can be seen is when it was sent.
        candidate.looked(at(seen), Some(lock("other", "v1")));
        for now in (seen..seen + 12_000).step_by(50) {
            let taken = candidate.looked(at(now), Some(lock("other", "v1"))) != Look::Wait;
            let leading = matches!(leader.role(at(now)), LeaderRole::Leading { .. });
            assert!(!(taken && leading), "sent {sent}, seen {seen}, now {now}");
        }
    }
}

#[test]
fn another_ones_lock_means_that_ours_is_lost() {
    let mut leader = leader();
    let (_, next) = leader.next_heartbeat(at(3000), || "v2".to_owned()).expect("it leads");
    assert!(leader.beat(at(3000), next, Outcome::Refused));
    assert_eq!(leader.role(at(3001)), LeaderRole::Following);
    assert_eq!(leader.looked(at(3001), Some(lock("other", "x"))), Look::Wait);
    assert_eq!(leader.ours().count(), 0);
}

#[test]
fn a_heartbeat_in_doubt_keeps_its_version_and_counts_from_its_first_sending() {
    let mut leader = leader();
    let (_, next) = leader.next_heartbeat(at(3000), || "v2".to_owned()).expect("it leads");
    assert!(!leader.beat(at(3000), next.clone(), Outcome::Unknown));
    // Retried with the same version; refused, because the first attempt was applied.
    let (held, again) = leader.next_heartbeat(at(5000), || "v3".to_owned()).expect("it leads");
    assert_eq!((held, &again), (lock("me", "v1"), &next));
    assert!(leader.beat(at(5000), again, Outcome::Refused), "a look must tell");
    assert_eq!(leader.role(at(5000)), LeaderRole::Leading { until: at(9000) });
    assert_eq!(leader.looked(at(5100), Some(next.clone())), Look::Wait);
    assert_eq!(leader.role(at(5100)), LeaderRole::Leading { until: at(12_000) });
    let (held, _) = leader.next_heartbeat(at(6000), || "v3".to_owned()).expect("it leads");
    assert_eq!(held, next);
}

#[test]
fn a_heartbeat_in_doubt_that_never_worked_changes_nothing() {
    let mut leader = leader();
    let (_, next) = leader.next_heartbeat(at(3000), || "v2".to_owned()).expect("it leads");
    leader.beat(at(3000), next.clone(), Outcome::Unknown);
    assert_eq!(leader.looked(at(4000), Some(lock("me", "v1"))), Look::Wait);
    assert_eq!(leader.role(at(4000)), LeaderRole::Leading { until: at(9000) });
    assert!(!leader.beat(at(5000), next, Outcome::Accepted));
    assert_eq!(leader.role(at(5000)), LeaderRole::Leading { until: at(14_000) });
}

#[test]
fn a_take_in_doubt_is_recognised_by_its_version() {
    let mut candidate = candidate();
    candidate.looked(at(0), None);
    let mine = candidate.next_take(|| "v1".to_owned());
    candidate.took(at(0), mine.clone(), Outcome::Unknown);
    assert_eq!(candidate.role(at(1)), LeaderRole::Following);
    // Not in the table yet: retried with the same version.
    assert_eq!(candidate.looked(at(2000), None), Look::Take { seen: None });
    assert_eq!(candidate.next_take(|| "v2".to_owned()), mine);
    candidate.took(at(2000), mine.clone(), Outcome::Refused);
    assert_eq!(candidate.looked(at(2001), Some(mine)), Look::Wait);
    assert_eq!(candidate.role(at(2001)), LeaderRole::Leading { until: at(9000) });
}

#[test]
fn a_lock_of_ours_that_we_gave_up_is_taken_again_under_its_version() {
    let mut leader = leader();
    // Cut off until long after its lock expired; there was no other candidate.
    assert_eq!(leader.role(at(30_000)), LeaderRole::Following);
    assert!(leader.next_heartbeat(at(30_000), || "v2".to_owned()).is_none());
    let ours = lock("me", "v1");
    assert_eq!(leader.looked(at(30_000), Some(ours.clone())), Look::Take { seen: Some(ours) });
    let next = leader.next_take(|| "v2".to_owned());
    assert_eq!(next, lock("me", "v2"));
    leader.took(at(30_000), next, Outcome::Accepted);
    assert_eq!(leader.role(at(30_001)), LeaderRole::Leading { until: at(39_000) });
}

#[test]
fn a_lock_of_our_name_that_we_did_not_write_is_another_process_s() {
    let mut candidate = candidate();
    let twin = lock("me", "of a former life");
    assert_eq!(candidate.looked(at(0), Some(twin.clone())), Look::Wait);
    assert_eq!(candidate.looked(at(9999), Some(twin.clone())), Look::Wait);
    assert_eq!(candidate.looked(at(10_000), Some(twin.clone())), Look::Take { seen: Some(twin) });
}

#[test]
fn a_zombie_s_late_take_does_not_make_a_leader_of_the_past() {
    let mut candidate = candidate();
    candidate.looked(at(0), None);
    let mine = candidate.next_take(|| "v1".to_owned());
    candidate.took(at(0), mine.clone(), Outcome::Unknown);
    // The take is applied when its duration is over.
    assert_eq!(candidate.looked(at(9500), Some(mine.clone())), Look::Take { seen: Some(mine.clone()) });
    assert_eq!(candidate.role(at(9500)), LeaderRole::Following);
    assert_ne!(candidate.next_take(|| "v2".to_owned()), mine);
}

#[test]
fn releases_what_may_be_in_the_table() {
    let mut leader = leader();
    let (_, next) = leader.next_heartbeat(at(3000), || "v2".to_owned()).expect("it leads");
    leader.beat(at(3000), next, Outcome::Unknown);
    let versions: Vec<_> = leader.ours().map(|lock| lock.version.as_str()).collect();
    assert_eq!(versions, ["v1", "v2"]);
}
