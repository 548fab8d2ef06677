//! What a check says about a refused call.

use std::fmt::Debug;

use anyhow::{Result, bail, ensure};
use aws_sdk_kinesis::error::{ProvideErrorMetadata, SdkError};

/// The call was refused with this code; `|` stands between codes that the reference leaves open.
pub(super) fn refused<T: Debug, E, R>(answer: Result<T, SdkError<E, R>>, code: &str) -> Result<()>
where
    SdkError<E, R>: ProvideErrorMetadata + Debug,
{
    let error = match answer {
        Ok(answer) => bail!("expected {code}, but it was accepted: {}", short(&answer)),
        Err(error) => error,
    };
    let found = error.code().map_or_else(|| short(&error), str::to_owned);
    ensure!(
        code.split('|').any(|code| code == found),
        "expected {code}, not {found}: {}",
        error.message().unwrap_or("-")
    );
    Ok(())
}

/// The message of the refusal with this code.
pub(super) fn refusal<T: Debug, E, R>(answer: Result<T, SdkError<E, R>>, code: &str) -> Result<String>
where
    SdkError<E, R>: ProvideErrorMetadata + Debug,
{
    let message = answer.as_ref().err().and_then(|error| error.message().map(str::to_owned));
    refused(answer, code)?;
    Ok(message.unwrap_or_default())
}

/// At most a line of an answer or error that nobody expected.
fn short(value: &impl Debug) -> String {
    let text = format!("{value:?}");
    text.chars().take(300).collect()
}
