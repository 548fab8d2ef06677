//! Why a server does not start.

use std::io;

/// Why a server does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The address is wrong, taken, or not allowed.
    #[error("cannot listen on {address}")]
    Bind {
        /// The address that was asked for.
        address: String,
        /// What the operating system says.
        source: io::Error,
    },
    /// The tokio runtime has no I/O driver or no timer, or there is none; tokio's words.
    #[error("this runtime cannot serve: {0}")]
    Runtime(String),
    /// This setting has to be at least 1.
    #[error("{0} is 0: nothing could be served")]
    Zero(&'static str),
    /// Certificate and key are of no use.
    #[cfg(feature = "tls")]
    #[error("no TLS with this certificate and key")]
    Tls(#[source] Box<dyn std::error::Error + Send + Sync>),
}
