use super::*;
use crate::lease::LeaseKey;

const D: Duration = Duration::from_secs(10);
const HANDOFF: Duration = Duration::from_secs(30);

fn at(seconds: u64) -> Tick {
    Tick::new(Duration::from_secs(seconds))
}

fn row(counter: u64) -> Lease {
    let mut row = Lease::new(LeaseKey::from("shardId-000000000000"), Checkpoint::TrimHorizon);
    row.owner = Some(WorkerId::from("me"));
    row.counter = counter;
    row
}

fn ownership(counter: u64) -> Ownership {
    Ownership::adopting(&row(counter), WorkerId::from("me"), D, 1, at(0))
}

fn numbered(n: u64) -> Checkpoint {
    let sequence_number = n.to_string().parse().expect("digits");
    Checkpoint::At(crate::record::Position { sequence_number, sub_sequence: 0, shard: "shardId-000000000000".into() })
}

fn some(row: Lease) -> Option<Box<Lease>> {
    Some(Box::new(row))
}

#[test]
fn an_accepted_write_moves_the_counter_and_counts_from_its_sending() {
    let mut state = ownership(5);
    let verdict = state.judge(&Write::Renew, at(3), &Answer::Accepted(some(row(6))), HANDOFF);
    assert_eq!(verdict, Verdict::Accepted);
    assert_eq!(state, Ownership { counter: 6, renewed: at(3), ..ownership(5) });
    assert_eq!(state.expires_at(), at(12));
    assert!(!state.has_expired(at(11)) && state.has_expired(at(12)));
}

#[test]
fn a_refusal_without_doubt_is_a_loss_even_if_the_row_looks_like_ours() {
    // A second process under the same ID renewed: nothing of ours is outstanding, so the 6 is not ours (C6).
    let mut state = ownership(5);
    let verdict = state.judge(&Write::Renew, at(3), &Answer::Refused(some(row(6))), HANDOFF);
    assert_eq!(verdict, Verdict::Lost(LostReason::Taken { by: Some(WorkerId::from("me")) }));
}

/// A renewal was lost before it arrived, and a second process under the same ID adopted the lease before it was sent again.
#[test]
fn an_adoption_under_the_same_id_is_not_taken_for_a_renewal_in_doubt() {
    let mut twin = Ownership::adopting(&row(5), WorkerId::from("me"), D, 7, at(0));
    assert_eq!(twin.next(), 12);
    let mut state = ownership(5);
    assert_eq!(state.judge(&Write::Renew, at(3), &Answer::Unknown, HANDOFF), Verdict::Retry);
    assert_eq!(twin.judge(&Write::Renew, at(4), &Answer::Accepted(some(row(12))), HANDOFF), Verdict::Accepted);
    assert_eq!((twin.counter(), twin.next()), (12, 13));
    let verdict = state.judge(&Write::Renew, at(5), &Answer::Refused(some(row(12))), HANDOFF);
    assert_eq!(verdict, Verdict::Lost(LostReason::Taken { by: Some(WorkerId::from("me")) }));
}

/// An operator deleted the row, and a leader made it anew and gave it to us again: nobody else renews it.
#[test]
fn a_row_made_anew_is_not_a_second_process_s() {
    let mut state = ownership(5);
    let verdict = state.judge(&Write::Renew, at(3), &Answer::Refused(some(row(1))), HANDOFF);
    assert_eq!(verdict, Verdict::Lost(LostReason::Deleted));
}

#[test]
fn a_lost_response_is_recognised_by_the_old_item_and_counts_from_the_first_sending() {
    let mut state = ownership(5);
    let write = Write::Checkpoint(numbered(7));
    assert_eq!(state.judge(&write, at(3), &Answer::Unknown, HANDOFF), Verdict::Retry);
    let mut landed = row(6);
    landed.checkpoint = numbered(7);
    assert_eq!(state.judge(&write, at(5), &Answer::Refused(some(landed)), HANDOFF), Verdict::Accepted);
    assert_eq!(state, Ownership { counter: 6, renewed: at(3), checkpoint: numbered(7), ..ownership(5) });
}

#[test]
fn in_doubt_but_another_checkpoint_in_the_row_is_a_loss() {
    let mut state = ownership(5);
    let write = Write::Checkpoint(numbered(7));
    state.judge(&write, at(3), &Answer::Unknown, HANDOFF);
    let verdict = state.judge(&write, at(5), &Answer::Refused(some(row(6))), HANDOFF);
    assert_eq!(verdict, Verdict::Lost(LostReason::Taken { by: Some(WorkerId::from("me")) }));
}

#[test]
fn without_the_old_item_a_read_decides() {
    let mut state = ownership(5);
    state.judge(&Write::Renew, at(3), &Answer::Unknown, HANDOFF);
    assert_eq!(state.judge(&Write::Renew, at(4), &Answer::Refused(None), HANDOFF), Verdict::ReadBack);
    assert_eq!(state.judge(&Write::Renew, at(4), &Answer::ReadBack(some(row(6))), HANDOFF), Verdict::Accepted);
    assert_eq!(state, Ownership { counter: 6, renewed: at(3), ..ownership(5) });
    assert_eq!(state.judge(&Write::Renew, at(6), &Answer::ReadBack(None), HANDOFF), Verdict::Lost(LostReason::Deleted));
}

#[test]
fn a_handoff_is_seen_by_a_refused_renewal_and_by_an_accepted_checkpoint() {
    let mut asked = row(5);
    asked.owner = Some(WorkerId::from("other"));
    asked.checkpoint_owner = Some(WorkerId::from("me"));
    let handoff = Some(Handoff { to: WorkerId::from("other"), deadline: at(33) });

    let mut state = ownership(5);
    let verdict = state.judge(&Write::Renew, at(3), &Answer::Refused(some(asked.clone())), HANDOFF);
    assert_eq!(verdict, Verdict::RetryInHandoff);
    assert_eq!(state, Ownership { handoff: handoff.clone(), ..ownership(5) });

    let mut state = ownership(5);
    asked.counter = 6;
    asked.checkpoint = numbered(7);
    let write = Write::Checkpoint(numbered(7));
    assert_eq!(state.judge(&write, at(3), &Answer::Accepted(some(asked.clone())), HANDOFF), Verdict::Accepted);
    assert_eq!(
        state,
        Ownership { counter: 6, renewed: at(3), checkpoint: numbered(7), handoff: handoff.clone(), ..ownership(5) }
    );

    // Seen again it keeps its deadline.
    asked.counter = 7;
    state.judge(&Write::Renew, at(6), &Answer::Accepted(some(asked)), HANDOFF);
    assert_eq!(state.handoff, handoff);
}

#[test]
fn a_row_that_hands_over_to_its_holder_is_contradictory() {
    let mut odd = row(5);
    odd.checkpoint_owner = Some(WorkerId::from("me"));
    let verdict = ownership(5).judge(&Write::Renew, at(3), &Answer::Refused(some(odd)), HANDOFF);
    assert_eq!(verdict, Verdict::Lost(LostReason::Contradictory));
}

#[test]
fn somebody_else_in_the_row_is_a_loss_whatever_the_counter_says() {
    for counter in [5, 6] {
        let mut taken = row(counter);
        taken.owner = Some(WorkerId::from("other"));
        let mut state = ownership(5);
        state.judge(&Write::Renew, at(2), &Answer::Unknown, HANDOFF);
        let verdict = state.judge(&Write::Renew, at(3), &Answer::Refused(some(taken)), HANDOFF);
        assert_eq!(verdict, Verdict::Lost(LostReason::Taken { by: Some(WorkerId::from("other")) }));
    }
}
