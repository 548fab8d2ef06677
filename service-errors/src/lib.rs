//! What an error of Kinesis or DynamoDB means for the caller. Shared by `kinesis-producer` and `kinesis-consumer`, neither of which
//! depends on the other.
//!
//! Three surfaces meet the same services: PutRecords, the calls that read and list a stream, and the lease table. Each code is judged by
//! one table for all of them:
//!
//! ```
//! use kinesis_service_errors::{Kind, Recovery};
//!
//! let kind = Kind::of_code("ExpiredTokenException", Some(400));
//! assert_eq!((kind, kind.recovery()), (Kind::Token, Recovery::NeedsAction));
//! ```
//!
//! - [`Kind`]: what is wrong, and by [`Kind::recovery`] whether it passes soon, passes when somebody acts, or never passes.
//! - [`transmission`], and [`Departure`] for the cases that an error alone does not tell: whether the request can have left the machine.
//! - [`Address`]: where a call went, for an error that says so.
//! - [`is_stream`]: whether a text can name a stream, so that one that cannot is refused before a call.
//! - [`Causes`] and [`Foreign`]: how errors and texts of a service are shown.

mod address;
mod kind;
mod stream_name;
mod text;
mod transmission;

pub use self::address::Address;
pub use self::kind::{CODES, Kind, Recovery};
pub use self::stream_name::is_stream;
pub use self::text::{Causes, Foreign};
pub use self::transmission::{Departure, Transmission, transmission};
