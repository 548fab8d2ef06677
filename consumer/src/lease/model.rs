//! Everything that can happen to a few leases. The product's own states run over the product's own table in memory:
//! [`Ownership`](crate::lease::holder::renew::Ownership), [`LeaseDiscoverer`](crate::lease::holder::discover::LeaseDiscoverer),
//! [`Assignment`](crate::lease::leader::assign::Assignment). Between them is a network that delays and loses messages
//! arbitrarily. A worker that does nothing while time goes on is frozen, slow or cut off; so these need no steps of their own.
//!
//! There are three searches:
//! 1. All running workers write their rows at every beat; messages get lost and workers crash.
//! 2. The network loses nothing. A running worker writes its row at a beat or does not, and a row's write is applied at once or
//!    never. Some workers announce a heartbeat interval, as ours do. Others are Java workers, which write the row after half a
//!    minute and announce nothing.
//! 3. Two processes run under one worker ID, messages get lost, and no worker leads.
//!
//! Not modelled: a child with two parents.

use stateright::{Checker, Model, Property};

use self::step::Step;
use self::world::World;

mod leader;
mod step;
mod world;

/// The start and the limits of a search.
#[derive(Clone, Copy, Debug)]
struct Leases {
    about: About,
    workers: usize,
    /// How many crashes, and how many lost or late messages, a history may have.
    crashes: u8,
    mishaps: u8,
}

/// The subject of a search: all subjects in one search have too many states.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum About {
    /// All running workers write their rows at every beat.
    Leases,
    /// A running worker writes its row at a beat or does not; some are Java workers.
    Silence,
    /// A second process runs under the ID of a running worker, by mistake, and no worker leads.
    Twins,
}

impl Leases {
    /// Searches about `states` states, of which at least `different` must be different.
    fn check(self, states: usize, different: usize) {
        let checker = self.checker().threads(2).target_state_count(states).spawn_bfs().join();
        println!(
            "{self:?}: {} states, {} of them different, {} steps deep",
            checker.state_count(),
            checker.unique_state_count(),
            checker.max_depth()
        );
        checker.assert_properties();
        assert!(checker.unique_state_count() >= different, "the histories end too early");
    }
}

impl Model for Leases {
    type State = World;
    type Action = Step;

    fn init_states(&self) -> Vec<World> {
        World::starts(self)
    }

    fn actions(&self, world: &World, steps: &mut Vec<Step>) {
        world.steps(self.about, steps);
    }

    fn next_state(&self, world: &World, step: Step) -> Option<World> {
        let mut next = world.clone();
        next.take(step);
        (next != *world).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut properties = promises();
        properties.extend(match self.about {
            About::Leases => one_holder().chain(of_leases()).collect::<Vec<_>>(),
            About::Silence => one_holder().chain(of_silence()).collect(),
            About::Twins => of_twins(),
        });
        properties
    }
}

/// Properties of every history.
fn promises() -> Vec<Property<Leases>> {
    vec![
        Property::always("C2: a checkpoint is not ahead of what is done", |_, world: &World| {
            world.checkpoints_are_done()
        }),
        Property::always("C4: a child starts after its parent's end", |_, world: &World| world.children_wait()),
        Property::always("C6: only the present epoch writes", |_, world: &World| !world.seen.write_of_a_former_epoch),
        Property::always("C6: checkpoints never go back", |_, world: &World| !world.seen.checkpoint_went_back),
        Property::always("what was accepted is in the table", |_, world: &World| !world.seen.accepted_and_not_written),
        Property::always("a silent worker is given free leases last and read ones never", |_, world: &World| {
            !world.seen.silent_preferred
        }),
        Property::always("who broke a promise of life is not waited for", |_, world: &World| {
            !world.seen.silent_waited_for
        }),
    ]
}

/// Returns a property of all searches but the third: there, two processes with one worker ID both hold a lease, until a write
/// of the first is refused.
fn one_holder() -> impl Iterator<Item = Property<Leases>> {
    std::iter::once(Property::always("C7: a lease has one holder", |_, world: &World| world.holders_are_alone()))
}

/// Histories that occur when two processes share a worker ID.
fn of_twins() -> Vec<Property<Leases>> {
    vec![
        Property::sometimes("both twins hold a lease", |_, world: &World| !world.holders_are_alone()),
        Property::sometimes("a twin is refused", |_, world: &World| world.seen.refused),
        Property::sometimes("a lost answer is made out", |_, world: &World| world.seen.doubt_resolved),
        Property::sometimes("a child is read", |_, world: &World| world.seen.child_read),
    ]
}

/// Histories that occur when all running workers write their rows.
fn of_leases() -> Vec<Property<Leases>> {
    vec![
        Property::sometimes("a lease of a dead worker is taken", |_, world: &World| world.seen.taken_from_the_dead),
        Property::sometimes("a worker finds its leases again after a restart", |_, world: &World| {
            world.seen.found_again
        }),
        Property::sometimes("a hand-off completes", |_, world: &World| world.seen.handed_over),
        Property::sometimes("a lost answer is made out", |_, world: &World| world.seen.doubt_resolved),
        Property::sometimes("a holder is refused", |_, world: &World| world.seen.refused),
        Property::sometimes("a leader is refused", |_, world: &World| world.seen.leader_refused),
        Property::sometimes("a lease runs out", |_, world: &World| world.seen.ran_out),
        Property::sometimes("a late write is refused", |_, world: &World| world.seen.late_write_refused),
        Property::sometimes("a late write is accepted", |_, world: &World| world.seen.late_write_accepted),
        Property::sometimes("a child is read", |_, world: &World| world.seen.child_read),
    ]
}

/// Histories that occur when some do not.
fn of_silence() -> Vec<Property<Leases>> {
    vec![
        Property::sometimes("a silent worker does not keep a lease given to it", |_, world: &World| {
            world.seen.silent_passed_over
        }),
        Property::sometimes("a silent worker that promised nothing is waited for", |_, world: &World| {
            world.seen.java_waited_for
        }),
    ]
}

#[test]
fn every_history_keeps_the_promises() {
    Leases { about: About::Leases, workers: 2, crashes: 1, mishaps: 2 }.check(2_400_000, 1_000_000);
}

#[test]
fn of_twins_one_is_refused() {
    Leases { about: About::Twins, workers: 2, crashes: 0, mishaps: 2 }.check(400_000, 100_000);
}

#[test]
fn the_silent_are_given_leases_last() {
    Leases { about: About::Silence, workers: 2, crashes: 1, mishaps: 0 }.check(400_000, 150_000);
}
