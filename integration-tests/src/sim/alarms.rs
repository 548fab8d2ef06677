//! What our libraries log as errors: it wakes somebody up, so that it has to be true.

use std::fmt::{self, Write};
use std::sync::{Arc, OnceLock};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use super::history::{Recorder, What};

/// Writes errors down in a history.
#[derive(Debug, Clone, Default)]
pub(crate) struct Alarms(Arc<OnceLock<Recorder>>);

impl Alarms {
    /// Has everything from now on written down here.
    pub(crate) fn go_to(&self, recorder: &Recorder) {
        self.0.set(recorder.clone()).expect("a run has one history");
    }
}

impl Subscriber for Alarms {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() == Level::ERROR && metadata.target().starts_with("kinesis_")
    }

    fn event(&self, event: &Event<'_>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        if let Some(recorder) = self.0.get() {
            recorder.add(&fields.worker, &fields.lease, What::Alarm(fields.message));
        }
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

#[derive(Debug, Default)]
struct Fields {
    message: String,
    worker: String,
    lease: String,
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let text = match field.name() {
            "message" => &mut self.message,
            "worker" => &mut self.worker,
            "lease" => &mut self.lease,
            _ => return,
        };
        write!(text, "{value:?}").expect("a text takes everything");
    }
}
