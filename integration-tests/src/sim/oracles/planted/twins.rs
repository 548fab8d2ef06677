//! Two processes under one id, by mistake: what is not judged then, and is when they have ids of their own.

use super::*;

/// The second process under an id takes the lease, and the first goes on until the table says so.
#[test]
fn of_twins_the_first_has_a_lease_s_life_to_learn_of_the_second() {
    let go_on_until = |seconds: u64, ids: [&str; 2]| {
        let mut history = History { events: Vec::new(), writes: Vec::new(), ..sound() };
        let up = |life: &str, id: &str| event(0, life, "", What::Up(id.to_owned()));
        history.events.extend([up("w0.0", ids[0]), up("w0.1", ids[1])]);
        // Each is in a call all the time, and they begin new ones in turn.
        history.events.push(begin(5, "w0.0", 1, 100, &[0]));
        for second in 6..seconds {
            let (life, epoch) = [("w0.0", 1), ("w0.1", 9)][(second % 2) as usize];
            if second > 7 {
                history.events.push(done(second, life, PARENT, 100 + second - 7));
            }
            history.events.push(begin(second, life, epoch, 100 + second - 5, &[1]));
        }
        judge(&history).iter().filter(|violation| violation.what.contains("together")).count()
    };
    assert_eq!(go_on_until(12, ["w0-0", "w0-0"]), 0);
    assert_eq!(go_on_until(40, ["w0-0", "w0-0"]), 1, "it never learns");
    assert!(go_on_until(12, ["w0-0", "w0-1"]) > 0, "these are no twins");
}

/// How many faults of this kind there are when two processes run at a place, under one id or under two.
fn found(what: &str, place: &str, change: impl Fn(&mut History)) -> [usize; 2] {
    [true, false].map(|twins| {
        let mut history = sound();
        change(&mut history);
        let second = if twins { "one" } else { "two" };
        let up = [second, "one"].into_iter().zip([".1", ".0"]);
        let up = up.map(|(id, life)| event(0, &format!("{place}{life}"), "", What::Up(format!("{place}-{id}"))));
        history.events.splice(0..0, up);
        judge(&history).into_iter().filter(|violation| violation.what.contains(what)).count()
    })
}

#[test]
fn of_twins_the_first_may_begin_after_the_second() {
    let late = |history: &mut History| {
        let at = of_call(history, 3, true);
        let What::Begin { epoch, .. } = &mut history.events[at].what else { unreachable!("it begins") };
        *epoch = Some(3);
    };
    assert_eq!(found("had begun", "w1", late), [0, 1]);
}

#[test]
fn of_twins_the_first_may_begin_at_a_checkpoint_that_the_second_has_moved() {
    let before = |history: &mut History| deliver(history, 2, &[1, 2]);
    assert_eq!(found("with the checkpoint", "w1", before), [0, 1]);
}

#[test]
fn of_twins_the_second_begins_an_epoch() {
    let takes_over_at = |counter: u64| {
        broken(|history| {
            let mut taken_over = renewed(4, PARENT, "w0.0", counter, Mark::Nothing);
            taken_over.network = Some("w0/twin".to_owned());
            history.writes.insert(2, taken_over);
            history.writes.truncate(3);
            history.events.retain(|event| event.at <= Duration::from_secs(2));
        })
    };
    assert!(!takes_over_at(7).contains(&"C6"));
    assert!(takes_over_at(2).contains(&"C6"));
}

#[test]
fn a_worker_that_is_told_of_a_twin_has_one() {
    let told = |history: &mut History| {
        let alarm = What::Alarm("somebody else renews this lease under our worker ID".to_owned());
        history.events.push(event(14, "w1-one", CHILD, alarm));
    };
    assert_eq!(found("there was none", "w1", told), [0, 1]);
}

#[test]
fn what_a_twin_had_is_taken_anew() {
    let again = |history: &mut History| {
        history.writes.push(checkpointed());
        let counters = [14, 14, 21].into_iter().zip(3..);
        let renewals = counters.map(|(at, counter)| renewed(at, CHILD, "w1.0", counter, Mark::At(position(5))));
        history.writes.extend(renewals);
        history.events.push(begin(21, "w1.0", 5, 6, &[5]));
    };
    assert_eq!(found("takes anew", "w1", again), [0, 1]);
}

#[test]
fn what_a_twin_was_given_is_not_handed_over() {
    let handed_over = |history: &mut History| {
        let row = |counter| Row {
            owner: Some("w1.0".to_owned()),
            checkpoint_owner: Some("w0-one".to_owned()),
            counter,
            checkpoint: Mark::At(position(0)),
        };
        let asked = write(4, "w1.0", event(4, "w1.0", PARENT, What::Lease(row(1))));
        let held = write(5, "w0.0", event(5, "w1.0", PARENT, What::Lease(row(2))));
        history.writes.splice(2..3, [asked, held]);
        history.writes[4].row.as_mut().expect("it is given away").checkpoint = Mark::At(position(0));
    };
    assert_eq!(found("hands over", "w0", handed_over), [0, 1]);
}
