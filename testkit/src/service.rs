//! The names of the cloud: its services, their operations, its account and region.

use http::HeaderMap;

/// A service of the cloud.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Service {
    /// Kinesis Data Streams.
    Kinesis,
    /// DynamoDB.
    DynamoDb,
}

impl Service {
    /// Whether the cloud answers this operation, named as the API names it: `"PutRecords"`.
    pub(crate) fn knows(self, operation: &str) -> bool {
        let known: &[&str] = match self {
            Self::Kinesis => &KINESIS_OPERATIONS,
            Self::DynamoDb => &DYNAMODB_OPERATIONS,
        };
        known.contains(&operation)
    }
}

/// Which operation of which service a request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) service: Service,
    pub(crate) operation: String,
}

impl Target {
    /// `None` when the header is missing or names a service that is not here.
    pub(crate) fn of(headers: &HeaderMap) -> Option<Self> {
        let (prefix, operation) = headers.get("x-amz-target")?.to_str().ok()?.split_once('.')?;
        let service = match prefix {
            "Kinesis_20131202" => Service::Kinesis,
            "DynamoDB_20120810" => Service::DynamoDb,
            _ => return None,
        };
        Some(Self { service, operation: operation.to_owned() })
    }
}

/// The account number that the services' documentation uses in its examples.
pub(crate) const ACCOUNT_ID: &str = "123456789012";
pub(crate) const REGION: &str = "us-east-1";

/// All operations that the Kinesis model knows; no other reaches it.
pub(crate) const KINESIS_OPERATIONS: [&str; 40] = [
    "AddTagsToStream",
    "CreateStream",
    "DecreaseStreamRetentionPeriod",
    "DeleteResourcePolicy",
    "DeleteStream",
    "DeregisterStreamConsumer",
    "DescribeAccountSettings",
    "DescribeLimits",
    "DescribeStream",
    "DescribeStreamConsumer",
    "DescribeStreamSummary",
    "DisableEnhancedMonitoring",
    "EnableEnhancedMonitoring",
    "GetRecords",
    "GetResourcePolicy",
    "GetShardIterator",
    "IncreaseStreamRetentionPeriod",
    "ListShards",
    "ListStreamConsumers",
    "ListStreams",
    "ListTagsForResource",
    "ListTagsForStream",
    "MergeShards",
    "PutRecord",
    "PutRecords",
    "PutResourcePolicy",
    "RegisterStreamConsumer",
    "RemoveTagsFromStream",
    "SplitShard",
    "StartStreamEncryption",
    "StopStreamEncryption",
    "SubscribeToShard",
    "TagResource",
    "UntagResource",
    "UpdateAccountSettings",
    "UpdateMaxRecordSize",
    "UpdateShardCount",
    "UpdateStreamMode",
    "UpdateStreamRecordDistributionStrategy",
    "UpdateStreamWarmThroughput",
];

/// All operations that the DynamoDB model answers; no other reaches it.
pub(crate) const DYNAMODB_OPERATIONS: [&str; 23] = [
    "BatchGetItem",
    "BatchWriteItem",
    "CreateTable",
    "DeleteItem",
    "DeleteTable",
    "DescribeContinuousBackups",
    "DescribeLimits",
    "DescribeTable",
    "DescribeTimeToLive",
    "GetItem",
    "ListTables",
    "ListTagsOfResource",
    "PutItem",
    "Query",
    "Scan",
    "TagResource",
    "TransactGetItems",
    "TransactWriteItems",
    "UntagResource",
    "UpdateContinuousBackups",
    "UpdateItem",
    "UpdateTable",
    "UpdateTimeToLive",
];
