//! Resource policies: PutResourcePolicy, GetResourcePolicy, DeleteResourcePolicy. They are kept; nothing is forbidden.

use serde::{Deserialize, Serialize};

use super::account::Account;
use crate::refusal::Refusal;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct PutPolicy {
    #[serde(rename = "ResourceARN")]
    resource_arn: Option<String>,
    policy: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct PolicyOf {
    #[serde(rename = "ResourceARN")]
    resource_arn: Option<String>,
}

impl Account {
    pub(crate) fn put_resource_policy(&mut self, request: PutPolicy) -> Result<(), Refusal> {
        let arn = request.resource_arn.ok_or_else(|| Refusal::missing("resourceARN"))?;
        let policy = request.policy.ok_or_else(|| Refusal::missing("policy"))?;
        let resource = self.active_resource(&arn)?;
        if !serde_json::from_str::<serde_json::Value>(&policy).is_ok_and(|policy| policy.is_object()) {
            return Err(Refusal::invalid_argument("The resource policy is not a valid JSON document."));
        }
        *resource.policy = Some(policy);
        Ok(())
    }

    /// A resource without a policy has an empty one.
    pub(crate) fn get_resource_policy(&mut self, request: PolicyOf) -> Result<impl Serialize + use<>, Refusal> {
        let arn = request.resource_arn.ok_or_else(|| Refusal::missing("resourceARN"))?;
        let policy = self.resource(&arn)?.policy.clone();
        Ok(PolicyAnswer { policy: policy.unwrap_or_else(|| "{}".to_owned()) })
    }

    pub(crate) fn delete_resource_policy(&mut self, request: PolicyOf) -> Result<(), Refusal> {
        let arn = request.resource_arn.ok_or_else(|| Refusal::missing("resourceARN"))?;
        match self.active_resource(&arn)?.policy.take() {
            Some(_) => Ok(()),
            None => Err(Refusal::not_found(format!("No resource policy found for resource ARN {arn}."))),
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct PolicyAnswer {
    policy: String,
}
