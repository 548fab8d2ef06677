use std::time::Duration;

use super::*;
use crate::lease::LostReason;

const SOON: Tick = Tick::new(Duration::from_secs(30));

const REVOKING: Input = Input::LeaseState(LeaseState::Revoking { deadline: SOON });

fn lost() -> Input {
    Input::LeaseState(LeaseState::Lost(LostReason::Expired))
}

/// Applies the inputs; returns the state and output after each.
fn life(inputs: &[Input]) -> Vec<(State, Output)> {
    let mut state = State::start();
    inputs
        .iter()
        .map(|input| {
            let output = state.on(input);
            (state.clone(), output)
        })
        .collect()
}

#[test]
fn from_parents_to_the_end() {
    assert_eq!(
        life(&[Input::ParentsDone, Input::Batch, Input::Batch, Input::End]),
        [
            (State::Reading, Output::Nothing),
            (State::Reading, Output::Batch),
            (State::Reading, Output::Batch),
            (State::Ended, Output::Ended),
        ]
    );
}

#[test]
fn a_shard_taken_back_hands_nothing_out_any_more() {
    let revoking = State::Revoking { deadline: SOON };
    assert_eq!(
        life(&[Input::ParentsDone, REVOKING, Input::Batch, Input::End, REVOKING, Input::Released, Input::Batch]),
        [
            (State::Reading, Output::Nothing),
            (revoking.clone(), Output::Revoking { deadline: SOON }),
            (revoking.clone(), Output::Nothing),
            (revoking.clone(), Output::Nothing),
            (revoking, Output::Nothing),
            (State::Closed, Output::Nothing),
            (State::Closed, Output::Nothing),
        ]
    );
}

#[test]
fn one_that_waits_for_its_parents_can_be_taken_back_and_lost() {
    assert_eq!(life(&[REVOKING])[0], (State::Revoking { deadline: SOON }, Output::Revoking { deadline: SOON }));
    assert_eq!(life(&[lost()])[0], (State::Closed, Output::Nothing));
}

#[test]
fn an_earlier_deadline_counts_and_is_told_once() {
    let earlier = Tick::new(Duration::from_secs(3));
    assert_eq!(
        life(&[REVOKING, Input::LeaseState(LeaseState::Revoking { deadline: earlier })])[1],
        (State::Revoking { deadline: earlier }, Output::Nothing)
    );
}

#[test]
fn a_shard_at_its_end_is_completed_also_when_it_is_revoked() {
    assert_eq!(life(&[Input::ParentsDone, Input::End, REVOKING])[2], (State::Ended, Output::Nothing));
    assert_eq!(life(&[Input::ParentsDone, Input::End, lost()])[2], (State::Closed, Output::Nothing));
}

#[test]
fn a_reader_that_fails_closes_the_shard() {
    assert_eq!(life(&[Input::ParentsDone, Input::Failed])[1], (State::Closed, Output::Failed));
}

#[test]
fn a_lease_that_is_held_says_nothing_new() {
    assert_eq!(
        life(&[Input::LeaseState(LeaseState::Held), Input::ParentsDone, Input::LeaseState(LeaseState::Held)]),
        [
            (State::WaitingOnParents, Output::Nothing),
            (State::Reading, Output::Nothing),
            (State::Reading, Output::Nothing)
        ]
    );
}
