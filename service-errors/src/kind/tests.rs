use super::*;

/// One code of each kind, apart from the table, so that a change of the table is seen.
#[test]
fn each_kind_has_its_recovery() {
    use Recovery::{NeedsAction, Never, Soon};
    for (code, kind, recovery) in [
        ("ProvisionedThroughputExceededException", Kind::Throttled, Soon),
        ("KMSThrottlingException", Kind::Throttled, Soon),
        ("LimitExceededException", Kind::ControlLimit, Soon),
        ("InternalFailure", Kind::ServiceFault, Soon),
        ("RequestTimeout", Kind::ServiceFault, Soon),
        ("ResourceInUseException", Kind::InUse, Soon),
        ("ExpiredIteratorException", Kind::Expired, Soon),
        ("ExpiredNextTokenException", Kind::Expired, Soon),
        ("RequestTimeTooSkewed", Kind::Clock, Soon),
        ("ExpiredTokenException", Kind::Token, NeedsAction),
        ("UnrecognizedClientException", Kind::Credentials, NeedsAction),
        ("InvalidClientTokenId", Kind::Credentials, NeedsAction),
        ("AccessDeniedException", Kind::Access, NeedsAction),
        ("KMSDisabledException", Kind::Key, NeedsAction),
        ("KMSInvalidStateException", Kind::Key, NeedsAction),
        ("ResourceNotFoundException", Kind::NotFound, NeedsAction),
        ("ValidationException", Kind::Argument, Never),
        ("InvalidArgumentException", Kind::Argument, Never),
        ("SerializationException", Kind::Argument, Never),
        ("ConditionalCheckFailedException", Kind::Condition, Never),
    ] {
        assert_eq!((Kind::of_code(code, Some(400)), kind.recovery()), (kind, recovery), "{code}");
    }
}

/// What the AWS SDK for Rust, for JavaScript and for Java call throttling, passing and clock skew passes soon here too.
#[test]
fn what_the_sdks_try_again_passes_soon() {
    let throttling = [
        "BandwidthLimitExceeded",
        "EC2ThrottledException",
        "LimitExceededException",
        "PriorRequestNotComplete",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestThrottledException",
        "SlowDown",
        "ThrottledException",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
        "TransactionInProgressException",
    ];
    for code in throttling {
        assert!(Kind::of_code(code, Some(400)).is_throttle(), "{code}");
    }
    let clock = ["AuthFailure", "RequestExpired", "RequestInTheFuture", "RequestTimeTooSkewed"];
    for code in throttling.iter().chain(&clock).chain(&["RequestTimeout", "RequestTimeoutException"]) {
        assert_eq!(Kind::of_code(code, Some(400)).recovery(), Recovery::Soon, "{code}");
    }
}

#[test]
fn a_signature_of_another_time_is_the_clock_s_fault_and_any_other_the_keys() {
    let wrong = "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key";
    let old = "Signature expired: 20261130T110000Z is now earlier than 20261130T120000Z (20261130T120500Z - 5 min.)";
    let young = "Signature not yet current: 20261130T130000Z is still later than 20261130T120500Z";
    for code in ["InvalidSignatureException", "SignatureDoesNotMatch"] {
        assert_eq!(Kind::of(code, wrong, Some(403)), Kind::Credentials);
        assert_eq!(Kind::of(code, old, Some(403)), Kind::Clock);
        assert_eq!(Kind::of(code, young, Some(400)), Kind::Clock);
    }
    assert_eq!(Kind::of("AccessDeniedException", "the clock is right", Some(400)), Kind::Access);
}

#[test]
fn a_code_that_nobody_knows_is_judged_by_its_status_and_never_final() {
    for (status, kind) in [
        (Some(500), Kind::ServiceFault),
        (Some(503), Kind::ServiceFault),
        (Some(408), Kind::ServiceFault),
        (Some(429), Kind::Throttled),
        (Some(400), Kind::Unknown),
        (Some(403), Kind::Unknown),
        (Some(413), Kind::Unknown),
        (None, Kind::Unknown),
    ] {
        assert_eq!(Kind::of_code("SomethingNew", status), kind, "{status:?}");
        assert_eq!(Kind::of_code("", status), kind, "{status:?}");
        assert_ne!(kind.recovery(), Recovery::Never);
    }
    assert_eq!(Kind::of_code("KMSSomethingNew", Some(400)), Kind::Key);
}

#[test]
fn a_code_is_found_with_its_name_space_and_its_address() {
    let code = "com.amazonaws.dynamodb.v20120810#ResourceNotFoundException:http://internal.amazon.com/coral/";
    assert_eq!(Kind::of_code(code, None), Kind::NotFound);
}

#[test]
fn no_code_is_listed_twice() {
    for (place, (code, _)) in CODES.iter().enumerate() {
        assert!(CODES[place + 1..].iter().all(|(other, _)| other != code), "{code}");
    }
}

/// The page that people read says the same as the table.
#[test]
fn the_rules_page_lists_each_code_with_its_kind() {
    let page = include_str!("../../../docs/rules.md");
    let (_, section) = page.split_once("\n## Error codes\n").expect("the page has a section on error codes");
    let rows: Vec<_> =
        section.split("\n## ").next().unwrap_or_default().lines().filter(|line| line.starts_with("| `")).collect();
    for (code, kind) in CODES {
        let row =
            rows.iter().find(|row| row.contains(&format!("`{code}`"))).unwrap_or_else(|| panic!("no row for {code}"));
        assert!(row.starts_with(&format!("| `{kind:?}` |")), "{code} is in the row {row}");
        let passes = match kind.recovery() {
            Recovery::Soon => "| soon |",
            Recovery::NeedsAction => "| when somebody acts |",
            Recovery::Never => "| never |",
        };
        assert!(row.contains(passes), "{code} passes {passes}: {row}");
    }
    let listed: usize = rows.iter().map(|row| row.split('|').nth(2).unwrap_or_default().matches('`').count() / 2).sum();
    assert_eq!(listed, CODES.len(), "the page lists codes that the table does not have");
}
