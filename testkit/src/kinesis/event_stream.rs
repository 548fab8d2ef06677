//! The body of a SubscribeToShard answer: the events of one subscription as frames, each made when it is asked for.

use std::sync::Arc;
use std::time::Duration;

use aws_smithy_eventstream::frame::write_message_to;
use aws_smithy_types::event_stream::{Header, HeaderValue, Message};
use bytes::Bytes;
use futures::{StreamExt as _, stream};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use serde::Serialize;
use tokio::sync::Notify;
use tokio::time::timeout;

use super::Kinesis;
use super::subscription::{Step, Subscription};
use crate::clock::Tick;
use crate::exchange::Body;
use crate::refusal::Refusal;
use crate::wire::Wire;

/// A subscription on its way to its reader. Holds no event: one is made when the reader has taken the one before.
/// Dropped, it gives its seat back.
#[derive(Debug)]
pub(crate) struct EventStream {
    pub(crate) kinesis: Arc<Kinesis>,
    pub(crate) wire: Wire,
    pub(crate) subscription: Subscription,
    /// Rings when there may be something new.
    pub(crate) bell: Arc<Notify>,
    pub(crate) greeted: bool,
}

impl EventStream {
    pub(crate) fn into_body(self) -> Body {
        let frames = stream::unfold(self, |mut events| async move {
            let frame = events.next().await?;
            Some((Ok(Frame::data(frame)), events))
        });
        // Readers ask once more after the end.
        BodyExt::boxed(StreamBody::new(frames.fuse()))
    }

    /// The next frame; `None` at the end. Cancel safe.
    async fn next(&mut self) -> Option<Bytes> {
        if !self.greeted {
            self.greeted = true;
            return Some(self.frame("event", ":event-type", "initial-response", NoMembers {}));
        }
        loop {
            let subscription = &mut self.subscription;
            match self.kinesis.with(|account, now| subscription.step(account, now)) {
                Step::Emit(event) => return Some(self.frame("event", ":event-type", "SubscribeToShardEvent", event)),
                Step::Fail(refusal) => return Some(self.exception(&refusal)),
                Step::Wait(until) => self.wait(until).await,
                Step::End => return None,
            }
        }
    }

    async fn wait(&self, until: Tick) {
        let left = until.saturating_sub(self.kinesis.now());
        // Whichever comes first; the step after it looks at the state again.
        let _ = timeout(left.max(SHORTEST), self.bell.notified()).await;
    }

    fn exception(&self, refusal: &Refusal) -> Bytes {
        let payload = self.wire.refusal(refusal.code, &refusal.message);
        self.message("exception", ":exception-type", refusal.code, payload)
    }

    fn frame(&self, kind: &'static str, name: &'static str, value: &'static str, payload: impl Serialize) -> Bytes {
        self.message(kind, name, value, self.wire.answer(payload))
    }

    fn message(&self, kind: &'static str, name: &'static str, value: &'static str, payload: Vec<u8>) -> Bytes {
        let text = |text: &'static str| HeaderValue::String(text.into());
        let message = Message::new(payload)
            .add_header(Header::new(":message-type", text(kind)))
            .add_header(Header::new(name, text(value)))
            .add_header(Header::new(":content-type", text(self.wire.content_type())));
        let mut frame = Vec::with_capacity(message.payload().len() + HEADERS);
        write_message_to(&message, &mut frame).expect("three short headers, and a payload below 4 GiB");
        frame.into()
    }
}

impl Drop for EventStream {
    fn drop(&mut self) {
        if !self.subscription.over {
            self.kinesis.with(|account, _| self.subscription.leave(account));
        }
    }
}

/// SubscribeToShardOutput has no members beside the events.
#[derive(Serialize)]
struct NoMembers {}

/// Tokio's clock counts in milliseconds.
const SHORTEST: Duration = Duration::from_millis(1);
/// Room for prelude, headers and checksums.
const HEADERS: usize = 256;
