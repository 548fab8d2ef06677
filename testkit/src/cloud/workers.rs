//! What befalls a worker beside its network: it stands still, its clock is wrong, its credentials expire.

use std::time::Duration;

use super::Cloud;
use crate::clock::Off;
use crate::freeze::Freeze;

impl Cloud {
    /// The worker `name` stands still from now on, as a process does that is stopped or collects garbage: it makes no call,
    /// sees no answer, and its timers do not run out. What it had sent arrives.
    ///
    /// The worker is what uses its [`Connection`](crate::Connection)s, and what [`Connection::run`](crate::Connection::run) runs: other code of the program cannot be
    /// held. When it [thaws](Self::thaw) its clocks have gone on.
    pub fn freeze(&self, name: &str) {
        self.worker(name).freezing.freeze(Freeze::Process, self.clock.elapsed());
    }

    /// As [`freeze`](Self::freeze), with its whole machine, as when a laptop sleeps or a virtual machine is paused: at the
    /// thaw the date and CLOCK_BOOTTIME have gone on, CLOCK_MONOTONIC has not, and timers still have to wait what they had
    /// to wait before.
    pub fn suspend(&self, name: &str) {
        self.worker(name).freezing.freeze(Freeze::Machine, self.clock.elapsed());
    }

    /// The worker `name` goes on.
    pub fn thaw(&self, name: &str) {
        self.worker(name).freezing.thaw(self.clock.elapsed());
    }

    /// [Freezes](Self::freeze) the worker `name`, lets this time pass, and thaws it. Dropped half-way, it leaves the worker
    /// frozen.
    pub async fn freeze_for(&self, name: &str, time: Duration) {
        self.freeze(name);
        tokio::time::sleep(time).await;
        self.thaw(name);
    }

    /// [Suspends](Self::suspend) the worker `name`, lets this time pass, and thaws it. Dropped half-way, it leaves the worker
    /// frozen.
    pub async fn suspend_for(&self, name: &str, time: Duration) {
        self.suspend(name);
        tokio::time::sleep(time).await;
        self.thaw(name);
    }

    /// From now on the date of the worker `name` is this far ahead of the cloud's; [`Duration::ZERO`] puts it right. Its other
    /// clocks go on as they do.
    ///
    /// The services refuse a signature whose time is more than five minutes off with `InvalidSignatureException`, and the SDK
    /// learns the right time from the date of any answer: a client that has had one, even this refusal, signs rightly from
    /// then on.
    pub fn clock_ahead(&self, name: &str, by: Duration) {
        self.worker(name).set_clock(Off::Ahead(by));
    }

    /// As [`clock_ahead`](Self::clock_ahead), in the other direction.
    pub fn clock_behind(&self, name: &str, by: Duration) {
        self.worker(name).set_clock(Off::Behind(by));
    }

    /// The credentials that the clients of the worker `name` ask for from now on expire after this time, and are asked for anew
    /// shortly before; by default they last for ever, and the SDK asks anew every quarter of an hour. With
    /// [`Fault::FailCredentials`](crate::Fault::FailCredentials): a client that has credentials uses them until then.
    pub fn credentials_last(&self, name: &str, time: Duration) {
        self.worker(name).set_credentials_last(Some(time));
    }
}
