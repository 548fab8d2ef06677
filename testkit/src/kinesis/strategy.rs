//! The record distribution strategy of a stream.

use crate::refusal::Refusal;

/// Who decides on the shard of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Strategy {
    /// The producer: partition key or explicit hash key.
    UserPartitionKey,
    /// The service; keys are kept and mean nothing.
    Auto,
}

/// A stream's strategy, and how far AUTO has gone round.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Distribution {
    pub(crate) strategy: Strategy,
    /// Number of the shard that AUTO chose last.
    pub(crate) last: Option<u32>,
}

impl Strategy {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::UserPartitionKey => "USER_PARTITION_KEY",
            Self::Auto => "AUTO",
        }
    }

    pub(crate) fn parse(text: &str) -> Result<Self, Refusal> {
        match text {
            "USER_PARTITION_KEY" => Ok(Self::UserPartitionKey),
            "AUTO" => Ok(Self::Auto),
            other => Err(Refusal::constraint(
                other,
                "recordDistributionStrategy",
                "Member must satisfy enum value set: [AUTO, USER_PARTITION_KEY]",
            )),
        }
    }
}

impl Distribution {
    pub(crate) const fn new(strategy: Strategy) -> Self {
        Self { strategy, last: None }
    }
}
