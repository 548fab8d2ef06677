//! The way of a subscription's events to their reader, on which they are late, lost or cut off.

use std::collections::VecDeque;
use std::future::pending;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt as _, stream};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use tokio::time::{Instant, sleep_until};

use crate::calls::Outcome;
use crate::clock::Clock;
use crate::exchange::Body;
use crate::faults::{After, SubscriptionFaults};
use crate::service::Target;
use crate::worker::Worker;

/// One open connection with events on it.
pub(crate) struct Line {
    pub(crate) worker: Arc<Worker>,
    pub(crate) target: Target,
    pub(crate) clock: Clock,
    /// The call in the worker's log.
    pub(crate) call: u64,
    /// How long an event is under way. It is late by this, and not by the events before it as well.
    pub(crate) delay: Duration,
    pub(crate) faults: SubscriptionFaults,
    /// What the service sends.
    pub(crate) events: Body,
    pub(crate) under_way: UnderWay,
    pub(crate) state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// The service's initial response has not come yet.
    Opening,
    /// So many events have come.
    Open(usize),
    /// The half of an event has come.
    Torn,
    /// The connection has broken.
    Broken,
}

/// What the service has sent and the reader has not got yet.
#[derive(Default)]
pub(crate) struct UnderWay {
    /// With the time when each arrives, oldest first; the last may be the end.
    sent: VecDeque<(Instant, Option<io::Result<Bytes>>)>,
    bytes: usize,
    /// The service sends no more.
    all: bool,
}

impl Line {
    pub(crate) fn into_body(self) -> Body {
        let frames = stream::unfold(self, |mut line| async move {
            let frame = line.next().await;
            // What comes while the reader stands still waits for it.
            line.worker.freezing.thawed().await;
            let frame = frame?;
            Some((frame.map(Frame::data), line))
        });
        // Readers ask once more after the end.
        BodyExt::boxed(StreamBody::new(frames.fuse()))
    }

    /// The next bytes; `None` at the end. Waits for ever where the rest is lost.
    async fn next(&mut self) -> Option<io::Result<Bytes>> {
        match self.state {
            State::Open(events) if After::strikes(self.faults.silent.as_ref(), events) => return self.silence().await,
            State::Open(events) if After::strikes(self.faults.cut.as_ref(), events) => return Some(Err(self.cut())),
            State::Torn => return Some(Err(self.cut())),
            State::Broken => return None,
            State::Opening | State::Open(_) => {}
        }
        // The initial response travels with the head of the answer.
        let arrived = match self.delay.is_zero() || self.state == State::Opening {
            true => sent(self.events.frame().await),
            false => self.arrival().await,
        };
        if self.worker.swallows_answers(&self.target, self.clock.elapsed()) {
            // Bytes are missing now: what comes after them is of no use, as on any connection.
            return self.silence().await;
        }
        let bytes = match arrived? {
            Ok(bytes) => bytes,
            Err(error) => return Some(Err(error)),
        };
        match self.state {
            State::Open(events) if After::strikes(self.faults.torn.as_ref(), events) => {
                self.state = State::Torn;
                return Some(Ok(self.hear(bytes.slice(..bytes.len() / 2))));
            }
            State::Open(events) => self.state = State::Open(events + 1),
            _ => self.state = State::Open(0),
        }
        Some(Ok(self.hear(bytes)))
    }

    /// What arrives next, in the order in which it was sent.
    async fn arrival(&mut self) -> Option<io::Result<Bytes>> {
        loop {
            let due = self.under_way.sent.front().map(|(due, _)| *due);
            let room = !self.under_way.all && self.under_way.bytes < WINDOW;
            tokio::select! { biased;
                // What the service can send now is under way before anything is waited for.
                frame = self.events.frame(), if room => {
                    let sent = sent(frame);
                    self.under_way.push(Instant::now() + self.delay, sent);
                }
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => return self.under_way.pop(),
                else => return None,
            }
        }
    }

    fn hear(&self, bytes: Bytes) -> Bytes {
        self.worker.heard(self.call, &bytes);
        bytes
    }

    fn cut(&mut self) -> io::Error {
        self.state = State::Broken;
        self.worker.broke_off(self.call, Outcome::StreamBroken);
        io::Error::new(io::ErrorKind::ConnectionReset, "connection reset by peer")
    }

    async fn silence(&self) -> Option<io::Result<Bytes>> {
        self.worker.broke_off(self.call, Outcome::StreamSilent);
        pending().await
    }
}

impl UnderWay {
    fn push(&mut self, due: Instant, sent: Option<io::Result<Bytes>>) {
        self.all = sent.is_none();
        self.bytes += length(&sent);
        self.sent.push_back((due, sent));
    }

    fn pop(&mut self) -> Option<io::Result<Bytes>> {
        let (_, arrived) = self.sent.pop_front()?;
        self.bytes -= length(&arrived);
        arrived
    }
}

fn sent(frame: Option<io::Result<Frame<Bytes>>>) -> Option<io::Result<Bytes>> {
    frame.map(|frame| frame.map(|frame| frame.into_data().unwrap_or_default()))
}

fn length(sent: &Option<io::Result<Bytes>>) -> usize {
    sent.as_ref().and_then(|sent| sent.as_ref().ok()).map_or(0, Bytes::len)
}

/// So many bytes of events are under way at one time; what comes after them waits at the service. Two seconds' worth at the
/// rate of a subscription.
const WINDOW: usize = 4 << 20;
