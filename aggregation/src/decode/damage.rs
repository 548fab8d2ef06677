use crate::wire::Malformed;

/// What is wrong with data that begins like an aggregate. It is to be delivered as it is, in one piece: it may be a user's bytes that
/// happen to begin with the magic ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Damage {
    /// It ends before a body and a digest could.
    #[error("too short for an aggregate")]
    Truncated,
    /// The last sixteen bytes are not the MD5 of the body.
    #[error("the digest is not that of the body")]
    Digest,
    /// The body is no protobuf message.
    #[error("the body is not a protobuf message")]
    Malformed,
    /// A record lacks its key index or its data, or a tag its key: the KCL refuses such a body, and so do other proto2 readers.
    #[error("a required field is missing")]
    MissingField,
    /// A record points outside a table.
    #[error("a record points outside its table")]
    Index,
}

impl Damage {
    /// The reason as one word, for the label of a metric.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Truncated => "truncated",
            Self::Digest => "digest",
            Self::Malformed => "malformed",
            Self::MissingField => "missing_field",
            Self::Index => "index",
        }
    }
}

impl From<Malformed> for Damage {
    fn from(_: Malformed) -> Self {
        Self::Malformed
    }
}
