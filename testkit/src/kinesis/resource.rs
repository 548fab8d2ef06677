//! What an ARN names, with what every resource has: tags and a policy.

use super::account::Account;
use super::tags::Tags;
use crate::refusal::Refusal;

pub(crate) struct Resource<'a> {
    pub(crate) tags: &'a mut Tags,
    pub(crate) policy: &'a mut Option<String>,
}

impl Account {
    /// In whatever state.
    pub(crate) fn resource(&mut self, arn: &str) -> Result<Resource<'_>, Refusal> {
        if is_consumer_arn(arn) {
            let (_, consumer) = self.consumer(arn)?;
            return Ok(Resource { tags: &mut consumer.tags, policy: &mut consumer.policy });
        }
        let stream = self.stream(None, Some(arn))?;
        Ok(Resource { tags: &mut stream.tags, policy: &mut stream.policy })
    }

    /// The same to be changed: it must be ACTIVE.
    pub(crate) fn active_resource(&mut self, arn: &str) -> Result<Resource<'_>, Refusal> {
        if is_consumer_arn(arn) {
            self.consumer(arn)?.1.check_active(arn)?;
        } else {
            self.stream(None, Some(arn))?.check_active()?;
        }
        self.resource(arn)
    }
}

fn is_consumer_arn(arn: &str) -> bool {
    arn.contains("/consumer/")
}
