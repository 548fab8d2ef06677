//! Too late, too long, too much at once.

use super::*;

#[test]
fn a_record_that_is_begun_after_the_life_of_its_lease_is_caught() {
    let late = |by: u64| {
        broken(|history| {
            let at = of_call(history, 2, true);
            let move_by = Duration::from_secs(by);
            // All that comes after the old owner's last renewal comes later.
            history.events[at - 1..].iter_mut().for_each(|event| event.at += move_by);
            history
                .writes
                .iter_mut()
                .filter(|write| write.at >= Duration::from_secs(6))
                .for_each(|write| write.at += move_by);
            let again = begin(5 + by, "w0.0", 1, 9, &[1]);
            history.events.insert(at - 1, again);
            history.events.insert(at, done(5 + by, "w0.0", PARENT, 9));
        })
    };
    assert!(!late(10).contains(&"C7"), "a lease that was renewed at 5 s lives for 10");
    assert!(late(11).contains(&"C7"));
}

#[test]
fn a_hand_off_that_somebody_else_ends_too_soon_is_caught() {
    let ended = |renewed: u64, at: u64, by: &str| {
        let mut history = sound();
        history.shape.handoff_time = Duration::from_secs(12);
        let held = |at, counter| {
            let row = Row {
                owner: Some("w1.0".to_owned()),
                checkpoint_owner: Some("w0.0".to_owned()),
                counter,
                checkpoint: Mark::Nothing,
            };
            write(at, "w0.0", event(at, "w0.0", CHILD, What::Lease(row)))
        };
        let ended = write(at, by, lease(at, CHILD, "w1.0", 23, Mark::Nothing));
        history.writes.extend([held(20, 20), held(renewed, 21), ended]);
        let is_it = |violation: &crate::sim::oracles::Violation| violation.what.contains("hands over since");
        judge(&history).iter().filter(|violation| is_it(violation)).count()
    };
    assert_eq!(ended(21, 29, "w2.0"), 1);
    assert_eq!(ended(21, 29, "w0.0"), 0, "by the one that hands over");
    assert_eq!(ended(24, 32, "w2.0"), 0, "it has had its 12 s");
    assert_eq!(ended(21, 31, "w2.0"), 0, "its lease has run out");
}

#[test]
fn a_hand_off_that_its_owner_does_not_complete_is_caught() {
    let asked = |renewals: &[u64]| {
        broken(|history| {
            let handed = |at, counter| {
                let row = Row {
                    owner: Some("w1.0".to_owned()),
                    checkpoint_owner: Some("w0.0".to_owned()),
                    counter,
                    checkpoint: Mark::At(position(1)),
                };
                write(at, "w0.0", event(at, "w0.0", PARENT, What::Lease(row)))
            };
            let mut writes: Vec<_> = renewals.iter().zip(2..).map(|(at, counter)| handed(*at, counter)).collect();
            let taken =
                history.writes.iter().position(|write| write.at == Duration::from_secs(6)).expect("it is taken");
            // Who takes it, and all that follows, waits for the hand-off.
            let wait = Duration::from_secs(renewals[renewals.len() - 1]);
            for write in &mut history.writes[taken..] {
                write.at += wait;
                write.row.iter_mut().filter(|_| write.shard == PARENT).for_each(|row| row.counter += 20);
            }
            for event in history.events.iter_mut().filter(|event| event.at >= Duration::from_secs(6)) {
                event.at += wait;
                if let What::Begin { epoch: Some(epoch), .. } = &mut event.what
                    && *epoch == 4
                {
                    *epoch += 20;
                }
            }
            history.writes.splice(taken..taken, writes.drain(..));
        })
    };
    assert_eq!(asked(&[6, 7, 8, 15]), [""; 0], "known at 8 s, and 5 s for it");
    assert_eq!(asked(&[6, 7, 8, 15, 17]), ["C8"]);
}

#[test]
fn what_a_worker_left_open_before_its_lease_ran_out_is_no_fault_of_its_hand_off() {
    let handed_over_after = |stood_still: u64| {
        let mut history = sound();
        let row = |counter| Row {
            owner: Some("w1.0".to_owned()),
            checkpoint_owner: Some("w0.0".to_owned()),
            counter,
            checkpoint: Mark::At(position(0)),
        };
        // Renewed at 3 s, given two records then; asked at 3 s and a lease's life or less later, handed over by who is called the same.
        let asked = write(3 + stood_still, "w1.0", event(3, "w1.0", PARENT, What::Lease(row(1))));
        let mut given = write(4 + stood_still, "w0.0", lease(4, PARENT, "w1.0", 2, Mark::At(position(0))));
        given.row.as_mut().expect("it is there").counter = 2;
        history.writes.splice(2..4, [asked, given]);
        judge(&history).into_iter().filter(|violation| violation.what.contains("hands over")).count()
    };
    assert_eq!((handed_over_after(1), handed_over_after(9)), (1, 0));
}

#[test]
fn a_finished_lease_that_stays_is_caught() {
    let ends_at = |seconds: u64, begun: bool| {
        broken(|history| {
            history.events.push(event(seconds, "", "", What::Phase("audit")));
            if begun {
                history.writes.push(renewed(14, CHILD, "w1.0", 2, Mark::At(position(5))));
            }
        })
    };
    // Well since 13 s, led within 22 s of that, and two rounds.
    assert_eq!(ends_at(47, true), [""; 0]);
    assert_eq!(ends_at(48, true), ["C9"]);
    assert_eq!(ends_at(48, false), [""; 0], "its child has not begun");
}

#[test]
fn a_shard_that_gets_more_than_its_rate_is_caught() {
    assert_eq!(broken(|history| history.shape.rate_limit = Some(4)), [""; 0], "four at once are a burst");
    assert_eq!(broken(|history| history.shape.rate_limit = Some(3)), ["P7"]);
    let ill = |history: &mut History| {
        history.shape.rate_limit = Some(3);
        history.producer_well_until = Duration::from_secs(2);
    };
    assert_eq!(broken(ill), [""; 0], "answers that come late come together");
}
