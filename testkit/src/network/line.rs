//! The way of a subscription's events to their reader, on which they are late, lost or cut off.

use std::future::pending;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt as _, stream};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use tokio::time::sleep;

use crate::calls::Outcome;
use crate::clock::Clock;
use crate::faults::SubscriptionFaults;
use crate::service::{Body, Target};
use crate::worker::Worker;

/// One open connection with events on it.
pub(crate) struct Line {
    pub(crate) worker: Arc<Worker>,
    pub(crate) target: Target,
    pub(crate) clock: Clock,
    /// The call in the worker's log.
    pub(crate) call: u64,
    /// How long an event is under way.
    pub(crate) delay: Duration,
    pub(crate) faults: SubscriptionFaults,
    /// What the service sends.
    pub(crate) events: Body,
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
            State::Open(events) if self.faults.silent_after == Some(events) => return self.silence().await,
            State::Open(events) if self.faults.cut_after == Some(events) => return Some(Err(self.cut())),
            State::Torn => return Some(Err(self.cut())),
            State::Broken => return None,
            State::Opening | State::Open(_) => {}
        }
        let sent = self.events.frame().await;
        // The initial response travels with the head of the answer.
        if !self.delay.is_zero() && self.state != State::Opening {
            sleep(self.delay).await;
        }
        if self.worker.swallows_answers(&self.target, self.clock.elapsed()) {
            // Bytes are missing now: what comes after them is of no use, as on any connection.
            return self.silence().await;
        }
        let bytes = match sent? {
            Ok(frame) => frame.into_data().unwrap_or_default(),
            Err(error) => return Some(Err(error)),
        };
        match self.state {
            State::Open(events) if self.faults.torn_after == Some(events) => {
                self.state = State::Torn;
                return Some(Ok(bytes.slice(..bytes.len() / 2)));
            }
            State::Open(events) => self.state = State::Open(events + 1),
            _ => self.state = State::Open(0),
        }
        Some(Ok(bytes))
    }

    fn cut(&mut self) -> io::Error {
        self.state = State::Broken;
        self.worker.end(self.call, Outcome::StreamBroken, None);
        io::Error::new(io::ErrorKind::ConnectionReset, "connection reset by peer")
    }

    async fn silence(&self) -> Option<io::Result<Bytes>> {
        self.worker.end(self.call, Outcome::StreamSilent, None);
        pending().await
    }
}
