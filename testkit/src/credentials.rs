//! A worker's credentials, which can fail, hang and expire.

use std::future::pending;

use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, Result, future};

use crate::faults::Fault;
use crate::worker_clock::WorkerClock;

/// Where the SDK clients of one worker have their credentials from.
#[derive(Debug)]
pub(crate) struct WorkerCredentials {
    pub(crate) clock: WorkerClock,
}

impl WorkerCredentials {
    async fn load(&self) -> Result {
        let worker = &self.clock.worker;
        match worker.credentials_fault(self.clock.cloud.elapsed()) {
            None => {}
            Some(Fault::HangCredentials) => return pending().await,
            Some(_) => return Err(CredentialsError::provider_error("the source of the credentials does not answer")),
        }
        let expires = worker.credentials_last().and_then(|time| self.clock.now().checked_add(time));
        Ok(Credentials::new("test", "test", None, expires, "kinesis-testkit"))
    }
}

impl ProvideCredentials for WorkerCredentials {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(self.load())
    }
}
