//! Counts the PutRecords calls of a client, by the SDK's own hook.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::context::BeforeTransmitInterceptorContextRef;
use aws_smithy_runtime_api::client::interceptors::{Intercept, dyn_dispatch_hint};
use aws_smithy_runtime_api::client::orchestrator::Metadata;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::config_bag::ConfigBag;

/// Counts calls as they leave; clones share the count.
#[derive(Clone, Debug, Default)]
pub(crate) struct PutRecordsCalls(Arc<AtomicU64>);

impl PutRecordsCalls {
    pub(crate) fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

#[dyn_dispatch_hint]
impl Intercept for PutRecordsCalls {
    fn name(&self) -> &'static str {
        "PutRecordsCalls"
    }

    fn read_before_transmit(
        &self,
        _context: &BeforeTransmitInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if config.load::<Metadata>().is_some_and(|call| call.name() == "PutRecords") {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }
}
