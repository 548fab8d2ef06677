//! The possible next steps, and their effects.

use crate::lease::holder::discover::{Discovered, LeaseDiscoverer};
use crate::lease::holder::renew::{Answer, LostReason, Ownership, Verdict, Write};
use crate::lease::leader::assign::Move;
use crate::lease::model::About;
use crate::lease::model::world::{
    Call, D, HANDOFF, Held, LAST_BEAT, Life, Message, RECORDS, Row, World, after, before, child, parent,
};
use crate::lease::table::lease::{Checkpoint, Lease, LeaseKey, Owners, WorkerId};
use crate::lease::table::store::{LeaseStore, Renewal, StoreError, Written};

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Step {
    /// Time advances by a beat, and these workers write their rows.
    Beat(Vec<WorkerId>),
    /// A worker does a round as the leader, even if another led before.
    Lead(WorkerId),
    /// A worker finds a lease that names it, and adopts it.
    Discovered(WorkerId, LeaseKey),
    /// A holder sends this write, or stops if it is too late for it.
    Send(WorkerId, LeaseKey, Write),
    /// A holder processes a record.
    Process(WorkerId, LeaseKey),
    /// A holder releases a lease that is to be handed over.
    Leave(WorkerId, LeaseKey),
    /// A message of the network arrives and is answered.
    Answer(usize),
    /// The message arrives, and the response is lost.
    LoseAnswer(usize),
    /// The message is lost.
    Lose(usize),
    /// Its sender stops waiting.
    GiveUpWaiting(usize),
    /// The message arrives, and its sender has stopped waiting.
    ArriveLate(usize),
    Crash(WorkerId),
    /// The worker restarts under the same name.
    Restart(WorkerId),
}

impl World {
    pub(super) fn steps(&self, about: About, steps: &mut Vec<Step>) {
        if self.beat < LAST_BEAT {
            let mut reporters = self.reporters();
            if about != About::Silence {
                // The last combination has all workers.
                reporters.drain(..reporters.len() - 1);
            }
            steps.extend(reporters.into_iter().map(Step::Beat));
        }
        for (index, message) in self.network.iter().enumerate() {
            if message.late {
                steps.push(Step::ArriveLate(index));
                continue;
            }
            steps.push(Step::Answer(index));
            if self.mishaps > 0 {
                steps.extend([Step::LoseAnswer(index), Step::Lose(index), Step::GiveUpWaiting(index)]);
            }
        }
        for (name, worker) in &self.workers {
            if !worker.alive {
                steps.push(Step::Restart(name.clone()));
                continue;
            }
            if self.crashes > 0 {
                steps.push(Step::Crash(name.clone()));
            }
            let asks = |message: &Message| message.from == (name.clone(), worker.life) && !message.late;
            if about != About::Twins
                && !self.network.iter().any(|message| asks(message) && matches!(message.call, Call::Lead(_)))
            {
                steps.push(Step::Lead(name.clone()));
            }
            for (key, row) in &self.table {
                match worker.held.get(key) {
                    None if row.0.owner.as_ref() == Some(&worker.id) => {
                        steps.push(Step::Discovered(name.clone(), key.clone()))
                    }
                    Some(held) if held.sent.is_none() => self.holder_steps(name, key, held, steps),
                    _ => {}
                }
            }
        }
    }

    fn holder_steps(&self, name: &WorkerId, key: &LeaseKey, held: &Held, steps: &mut Vec<Step>) {
        let send = |write: Write| Step::Send(name.clone(), key.clone(), write);
        if held.leaving {
            steps.push(Step::Leave(name.clone(), key.clone()));
            return;
        }
        if let Some(write) = &held.writing {
            steps.push(send(write.clone()));
            return;
        }
        if self.now() >= held.state.renew_at() {
            steps.push(send(Write::Renew));
        }
        if held.done > before(held.state.checkpoint()) {
            steps.push(send(Write::Checkpoint(after(held.done))));
        }
        if held.done == RECORDS {
            steps.push(send(Write::Checkpoint(Checkpoint::ShardEnd)));
        } else if !held.state.has_expired(self.now()) && self.parents_done(key) {
            steps.push(Step::Process(name.clone(), key.clone()));
        }
        if held.state.handoff().is_some() {
            steps.push(Step::Leave(name.clone(), key.clone()));
        }
    }

    pub(super) fn take(&mut self, step: Step) {
        match step {
            Step::Beat(reporters) => self.beat(&reporters),
            Step::Lead(name) => self.lead(name),
            Step::Discovered(name, key) => self.find(&name, &key),
            Step::Send(name, key, write) => self.send(&name, &key, write),
            Step::Process(name, key) => self.process(&name, &key),
            Step::Leave(name, key) => self.leave(&name, &key),
            Step::Answer(index) => {
                let message = self.network.remove(index);
                let answer = self.arrive(&message);
                self.answered(&message, answer);
            }
            Step::LoseAnswer(index) => {
                self.mishaps -= 1;
                let message = self.network.remove(index);
                self.arrive(&message);
                self.answered(&message, Answer::Unknown);
            }
            Step::Lose(index) => {
                self.mishaps -= 1;
                let message = self.network.remove(index);
                self.answered(&message, Answer::Unknown);
            }
            Step::GiveUpWaiting(index) => {
                self.mishaps -= 1;
                self.network[index].late = true;
                let message = self.network[index].clone();
                self.answered(&message, Answer::Unknown);
            }
            Step::ArriveLate(index) => {
                let message = self.network.remove(index);
                match self.arrive(&message) {
                    Answer::Accepted(_) => self.seen.late_write_accepted = true,
                    _ => self.seen.late_write_refused = true,
                }
            }
            Step::Crash(name) => self.crash(&name),
            Step::Restart(name) => {
                let worker = self.workers.get_mut(&name).expect("it is there");
                (worker.alive, worker.life, worker.discoverer) =
                    (true, worker.life + 1, LeaseDiscoverer::new(worker.id.clone(), D));
            }
        }
    }

    fn find(&mut self, name: &WorkerId, key: &LeaseKey) {
        let (now, stride) = (self.now(), self.stride(name));
        let row = &self.table[key].0;
        let worker = self.workers.get_mut(name).expect("it is there");
        if worker.discoverer.judge(now, row) != Discovered::Adopt {
            return;
        }
        let state = Ownership::adopting(row, worker.id.clone(), D, stride, now);
        let done = before(&row.checkpoint);
        let held = Held { state, writing: None, sent: None, landed: false, adopted: false, leaving: false, done };
        worker.held.insert(key.clone(), held);
        self.send(name, key, Write::Renew);
    }

    fn send(&mut self, name: &WorkerId, key: &LeaseKey, write: Write) {
        let now = self.now();
        if write == Write::Checkpoint(Checkpoint::ShardEnd) && *key == parent() {
            let mut lease = Lease::new(child(), Checkpoint::TrimHorizon);
            (lease.owner, lease.parents) = (Some(self.workers[name].id.clone()), vec![parent().shard()]);
            self.table.entry(child()).or_insert(Row(lease));
        }
        let worker = self.workers.get_mut(name).expect("it is there");
        let held = worker.held.get_mut(key).expect("it is held");
        if held.state.has_expired(now) {
            let counter = held.state.counter();
            worker.discoverer.lost(now, key.clone(), &LostReason::Expired, counter);
            worker.held.remove(key);
            self.seen.ran_out = true;
            return;
        }
        held.sent = Some(now);
        if held.writing.is_none() {
            held.landed = false;
        }
        held.writing = Some(write.clone());
        let (counter, next) = (held.state.counter(), held.state.next());
        let (in_handoff, adopting) = (held.state.handoff().is_some(), !held.adopted);
        let call = Call::Write { counter, next, in_handoff, adopting, write };
        self.network.push(Message { from: (name.clone(), worker.life), key: key.clone(), call, late: false });
    }

    fn process(&mut self, name: &WorkerId, key: &LeaseKey) {
        let held = self.workers.get_mut(name).and_then(|worker| worker.held.get_mut(key)).expect("it is held");
        held.done += 1;
        let done = self.done.get_mut(key).expect("both are there");
        *done = held.done.max(*done);
        self.seen.child_read |= *key == child();
    }

    fn leave(&mut self, name: &WorkerId, key: &LeaseKey) {
        let now = self.now();
        let worker = self.workers.get_mut(name).expect("it is there");
        let held = worker.held.get_mut(key).expect("it is held");
        if held.state.has_expired(now) {
            worker.held.remove(key);
            return;
        }
        let to = held.state.handoff().map(|handoff| handoff.to.clone()).expect("it is being handed over");
        (held.leaving, held.sent) = (true, Some(now));
        let seen = Owners { owner: Some(to.clone()), checkpoint_owner: Some(worker.id.clone()) };
        let call = Call::Leave { seen, to };
        self.network.push(Message { from: (name.clone(), worker.life), key: key.clone(), call, late: false });
    }

    fn crash(&mut self, name: &WorkerId) {
        self.crashes -= 1;
        let worker = self.workers.get_mut(name).expect("it is there");
        (worker.alive, worker.held) = (false, std::collections::BTreeMap::new());
        for message in self.network.iter_mut().filter(|message| message.from.0 == *name) {
            message.late = true;
        }
        self.leader = self.leader.take().filter(|leader| leader.name != *name);
    }

    /// Applies a message to the table.
    fn arrive(&mut self, message: &Message) -> Answer {
        let key = &message.key;
        let former = self.table.get(key).map(|row| row.0.clone());
        let id = self.workers[&message.from.0].id.clone();
        let written = self.with_table(key, async |table| call(table, message, &id).await);
        let answer = Answer::from(written);
        let Answer::Accepted(Some(row)) = &answer else { return answer };
        let former = former.expect("what is not there is not written");
        self.seen.checkpoint_went_back |= row.checkpoint < former.checkpoint;
        if matches!(message.call, Call::Write { .. })
            && let Some(leader) = &mut self.leader
        {
            leader.look_on.stirred.insert(message.from.0.clone());
        }
        match &message.call {
            Call::Write { adopting: true, .. } => {
                self.epochs.insert(key.clone(), message.from.clone());
                self.seen.found_again |= message.from.1 > 0;
            }
            Call::Write { .. } => {
                self.seen.write_of_a_former_epoch |= self.epochs.get(key) != Some(&message.from);
            }
            Call::Lead(Move::HandOff { .. }) => {}
            Call::Leave { .. } | Call::Lead(Move::Assign { .. }) => {
                self.epochs.remove(key);
                let dead = |owner| !self.workers[owner].alive;
                self.seen.taken_from_the_dead |= former.actual_owner().is_some_and(dead);
            }
        }
        if let Some(held) = self.holder(&message.from, key)
            && matches!(message.call, Call::Write { .. })
        {
            held.landed = true;
        }
        answer
    }

    fn holder(&mut self, life: &Life, key: &LeaseKey) -> Option<&mut Held> {
        let worker = self.workers.get_mut(&life.0).filter(|worker| worker.alive && worker.life == life.1)?;
        worker.held.get_mut(key)
    }

    /// Passes a response to the sender.
    fn answered(&mut self, message: &Message, answer: Answer) {
        match &message.call {
            Call::Lead(change) => self.move_answered(message, change, &answer),
            Call::Leave { .. } => {
                let accepted = matches!(answer, Answer::Accepted(_));
                self.seen.handed_over |= accepted;
                let Some(held) = self.holder(&message.from, &message.key) else { return };
                held.sent = None;
                if !matches!(answer, Answer::Unknown) {
                    self.let_go(message);
                }
            }
            Call::Write { write, .. } => self.write_answered(message, write, answer),
        }
    }

    fn write_answered(&mut self, message: &Message, write: &Write, answer: Answer) {
        let now = self.now();
        let Some(held) = self.holder(&message.from, &message.key) else { return };
        let sent = held.sent.take().expect("it waits");
        // The wait for a response ends with the lease.
        let answer = if held.state.has_expired(now) { Answer::Unknown } else { answer };
        let refused = matches!(answer, Answer::Refused(_));
        let verdict = held.state.judge(write, sent, &answer, HANDOFF);
        match verdict {
            Verdict::Accepted => {
                let written = held.landed;
                (held.writing, held.adopted) = (None, true);
                if *write == Write::Checkpoint(Checkpoint::ShardEnd) {
                    self.let_go(message);
                }
                self.seen.doubt_resolved |= refused;
                self.seen.accepted_and_not_written |= !written;
            }
            Verdict::Retry | Verdict::RetryInHandoff => {}
            Verdict::ReadBack => unreachable!("the table gives the row"),
            Verdict::Lost(reason) => {
                let counter = held.state.counter();
                self.seen.refused = true;
                self.let_go(message);
                let worker = self.workers.get_mut(&message.from.0).expect("it is there");
                worker.discoverer.lost(now, message.key.clone(), &reason, counter);
            }
        }
    }

    fn let_go(&mut self, message: &Message) {
        self.workers.get_mut(&message.from.0).expect("it is there").held.remove(&message.key);
    }
}

async fn call(table: &impl LeaseStore, message: &Message, holder: &WorkerId) -> Result<Written, StoreError> {
    let key = &message.key;
    match &message.call {
        Call::Write { counter, next, in_handoff, write, .. } => {
            let (next, in_handoff) = (*next, *in_handoff);
            let renewal = Renewal { next, in_handoff, ..Renewal::by(holder, key, *counter) };
            match write {
                Write::Renew => table.renew(renewal).await,
                Write::Checkpoint(checkpoint) => table.checkpoint(renewal, checkpoint).await,
            }
        }
        Call::Leave { seen, to } => table.assign(key, &seen.clone().into(), to).await,
        Call::Lead(Move::Assign { key, seen, to }) => table.assign(key, seen, to).await,
        Call::Lead(Move::HandOff { key, from, to }) => table.start_handoff(key, from, to).await,
    }
}
