/// Returns whether the service accepts this as a stream: a name of 1 to 128 letters, digits, `_`, `.` and `-`, or the ARN of a stream.
///
/// Source: the API reference of Kinesis, `StreamName` and `StreamARN`.
///
/// ```
/// use kinesis_service_errors::is_stream;
///
/// assert!(is_stream("clicks") && is_stream("arn:aws:kinesis:eu-west-1:123456789012:stream/clicks"));
/// assert!(!is_stream("my clicks") && !is_stream("arn:aws:kinesis:eu-west-1:123456789012:stream/clicks/consumer/x:1"));
/// ```
pub fn is_stream(text: &str) -> bool {
    if !text.starts_with("arn:") {
        return is_name(text);
    }
    let fields: Vec<&str> = text.splitn(6, ':').collect();
    let [_, partition, "kinesis", region, account, stream] = fields[..] else { return false };
    let is_account = account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit());
    !partition.is_empty() && !region.is_empty() && is_account && stream.strip_prefix("stream/").is_some_and(is_name)
}

fn is_name(text: &str) -> bool {
    (1..=128).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_arns_of_streams_are_accepted() {
        let arn = "arn:aws-cn:kinesis:cn-north-1:123456789012:stream/a.B-9_";
        assert!(["c", "a.B-9_", &"n".repeat(128), arn, "arn"].iter().all(|text| is_stream(text)));
    }

    #[test]
    fn anything_else_is_refused() {
        let refused = [
            "",
            "two words",
            "clicks\n",
            "clicks/2",
            "strömung",
            &"n".repeat(129),
            "arn:aws:kinesis:eu-west-1:123456789012:clicks",
            "arn:aws:kinesis:eu-west-1:123456789012:stream/",
            "arn:aws:kinesis:eu-west-1:12345:stream/clicks",
            "arn:aws:dynamodb:eu-west-1:123456789012:table/clicks",
            "arn:aws:kinesis:eu-west-1:123456789012:stream/clicks/consumer/app:1700000000",
            "https://kinesis.eu-west-1.amazonaws.com",
        ];
        assert_eq!(refused.iter().filter(|text| is_stream(text)).collect::<Vec<_>>(), Vec::<&&str>::new());
    }
}
