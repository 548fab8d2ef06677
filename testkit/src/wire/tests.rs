use serde::de::IgnoredAny;

use super::*;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Sample {
    text: String,
    number: i64,
    flag: bool,
    list: Vec<String>,
    blob: Blob,
    time: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    none: Option<String>,
}

fn sample() -> Sample {
    Sample {
        text: "clicks ü".to_owned(),
        number: -7,
        flag: true,
        list: vec!["a".to_owned(), String::new()],
        blob: Blob(Bytes::from_static(&[0, 255, 7])),
        time: Timestamp(Duration::from_millis(1_767_225_600_123)),
        none: None,
    }
}

/// `text` as CBOR with its length before it.
fn text(text: &str) -> Vec<u8> {
    match text.len() {
        short @ 0..=23 => [&[0x60 | short as u8], text.as_bytes()].concat(),
        long => [&[0x78, u8::try_from(long).unwrap()], text.as_bytes()].concat(),
    }
}

/// The sample as the AWS SDK for Java writes it: maps, lists and long strings have no length and end with a break.
fn as_java_writes_it() -> Vec<u8> {
    let mut body = vec![0xbf];
    body.extend([text("Text"), vec![0x7f], text("clicks "), text("ü"), vec![0xff]].concat());
    body.extend([text("Number"), vec![0x26]].concat());
    body.extend([text("Flag"), vec![0xf5]].concat());
    body.extend([text("List"), vec![0x9f], text("a"), text(""), vec![0xff]].concat());
    body.extend([text("Blob"), vec![0x43, 0, 255, 7]].concat());
    body.extend([text("Time"), vec![0xc1, 0x1b]].concat());
    body.extend(1_767_225_600_123_u64.to_be_bytes());
    body.extend([text("Unknown"), vec![0xbf], text("x"), vec![0xc1, 0xf6], vec![0xff]].concat());
    body.push(0xff);
    body
}

#[test]
fn the_request_chooses_its_format() {
    let wire = |service, kind: Option<&'static str>| {
        let headers = kind.map(|kind| (header::CONTENT_TYPE, HeaderValue::from_static(kind)));
        Wire::of(service, &headers.into_iter().collect())
    };
    assert_eq!(wire(Service::Kinesis, Some("application/x-amz-cbor-1.1")), Wire::Cbor11);
    assert_eq!(wire(Service::Kinesis, Some("application/x-amz-json-1.1")), Wire::Json11);
    assert_eq!(wire(Service::Kinesis, None), Wire::Json11);
    assert_eq!(wire(Service::DynamoDb, Some("application/x-amz-cbor-1.1")), Wire::Json10);
}

#[test]
fn what_is_written_is_read_again_in_both_formats() {
    for wire in [Wire::Json10, Wire::Json11, Wire::Cbor11] {
        assert_eq!(wire.parse::<Sample>(&wire.answer(sample())), Ok(sample()), "{wire:?}");
    }
}

#[test]
fn bytes_and_times_have_their_own_form_in_each_format() {
    let json: serde_json::Value = serde_json::from_slice(&Wire::Json11.answer(sample())).unwrap();
    assert_eq!((json["Blob"].as_str(), json["Time"].as_f64()), (Some("AP8H"), Some(1_767_225_600.123)));
    assert_eq!(json.get("None"), None);

    let cbor = Wire::Cbor11.answer(sample());
    let holds = |part: Vec<u8>| cbor.windows(part.len()).any(|window| window == part);
    assert!(holds([text("Blob"), vec![0x43, 0, 255, 7]].concat()), "{cbor:x?}");
    let millis = 1_767_225_600_123_u64.to_be_bytes();
    assert!(holds([text("Time"), vec![0xc1, 0x1b], millis.to_vec()].concat()), "{cbor:x?}");
}

#[test]
fn reads_what_the_sdk_for_java_writes() {
    assert_eq!(Wire::Cbor11.parse::<Sample>(&as_java_writes_it()), Ok(sample()));
}

#[test]
fn a_time_in_cbor_needs_no_tag_but_bears_no_other() {
    let parse = |bytes: &[u8]| Wire::Cbor11.parse::<Timestamp>(bytes).ok().map(|time| time.0.as_millis());
    assert_eq!(parse(&[0x19, 0x03, 0xe8]), Some(1000));
    assert_eq!(parse(&[0xc1, 0x19, 0x03, 0xe8]), Some(1000));
    assert_eq!(parse(&[0xc1, 0xf9, 0x63, 0xd0]), Some(1000), "a float");
    assert_eq!(parse(&[0xc0, 0x19, 0x03, 0xe8]), None, "tag 0");
    assert_eq!(parse(&[0xc1, 0x20]), None, "before 1970");
    assert_eq!(parse(&[0xc1, 0x63, b'n', b'o', b'w']), None);
}

#[test]
fn a_large_blob_comes_through() {
    let large = Blob(Bytes::from(vec![7; 1 << 20]));
    assert_eq!(Wire::Cbor11.parse::<Blob>(&Wire::Cbor11.answer(&large)), Ok(large));
}

#[test]
fn a_refusal_is_readable_in_both_formats() {
    #[derive(Debug, PartialEq, Deserialize)]
    struct Body {
        __type: String,
        message: String,
    }
    let refusal = Refusal::not_found("Stream clicks not found.".to_owned());
    for wire in [Wire::Json10, Wire::Json11, Wire::Cbor11] {
        let body: Body = wire.parse(&wire.refusal(refusal.code, &refusal.message)).unwrap();
        assert_eq!((body.__type.as_str(), body.message.as_str()), (refusal.code, refusal.message.as_str()));
    }
}

#[test]
fn damaged_cbor_is_a_serialization_exception() {
    let code = |body: &[u8]| Wire::Cbor11.parse::<Sample>(body).map_err(|refusal| refusal.code);
    let whole = as_java_writes_it();
    for end in 0..whole.len() {
        assert_eq!(code(&whole[..end]), Err("SerializationException"), "cut at {end}");
    }
    assert_eq!(code(&[whole.as_slice(), &[0xf6]].concat()), Err("SerializationException"), "more behind it");
    for body in ["", "{}", "\u{0}"] {
        assert_eq!(code(body.as_bytes()), Err("SerializationException"), "{body:?}");
    }
    for deep in [0x81, 0xa1, 0xc1, 0xd8, 0x9f, 0xbf] {
        let refused = Wire::Cbor11.parse::<IgnoredAny>(&vec![deep; 1 << 20]).map(drop);
        assert_eq!(refused.map_err(|refusal| refusal.code), Err("SerializationException"), "{deep:x}");
    }
    // Lengths that no body has.
    for huge in [0x5b, 0x7b, 0x9b, 0xbb] {
        assert_eq!(code(&[[huge].as_slice(), &[0xff; 8], b"x"].concat()), Err("SerializationException"));
    }
}

#[test]
fn no_damage_makes_the_parser_panic() {
    let whole = as_java_writes_it();
    let mut rng = fastrand::Rng::with_seed(7);
    for _ in 0..50_000 {
        let mut body = whole.clone();
        for _ in 0..rng.usize(1..4) {
            let at = rng.usize(..body.len());
            body[at] = rng.u8(..);
        }
        if let Err(refusal) = Wire::Cbor11.parse::<Sample>(&body) {
            assert_eq!(refusal.code, "SerializationException");
        }
    }
}
