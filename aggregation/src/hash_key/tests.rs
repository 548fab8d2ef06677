use std::cmp::Ordering;

use super::{HashKey, HashKeyRange};

#[test]
fn a_partition_key_hashes_to_its_md5_read_big_endian() {
    assert_eq!(HashKey::of("pk1").as_u128(), 329_398_341_438_914_906_102_347_661_116_985_167_824);
    assert_eq!(HashKey::of("pk2").as_u128(), 122_875_064_651_314_509_700_510_597_659_732_835_739);
    assert_eq!(HashKey::of("a").as_u128(), 16_955_237_001_963_240_173_058_271_559_858_726_497);
}

#[test]
fn text_is_canonical_decimal_both_ways() {
    for text in ["0", "7", "10", "340282366920938463463374607431768211455"] {
        assert_eq!(text.parse::<HashKey>().map(|key| key.to_string()), Ok(text.to_owned()));
    }
    for text in
        ["", "00", "007", "+7", "-1", " 7", "7 ", "0x7", "undefined", "٣", "340282366920938463463374607431768211456"]
    {
        let error = text.parse::<HashKey>().expect_err("the service refuses it");
        assert_eq!(error.value(), text);
        let message = error.to_string();
        assert!(message.contains(&format!("{text:?}")), "names the value: {message}");
        assert!(message.contains("0..=340282366920938463463374607431768211455"), "names the limit: {message}");
    }
}

#[test]
fn the_wire_is_read_as_the_kcl_reads_it() {
    assert_eq!(HashKey::from_wire("007"), Some(HashKey::new(7)));
    assert_eq!(HashKey::from_wire("+7"), Some(HashKey::new(7)));
    for text in ["", "-130", "undefined", "1e3", "340282366920938463463374607431768211456"] {
        assert_eq!(HashKey::from_wire(text), None, "{text:?}");
    }
}

#[test]
fn both_ends_belong_to_a_range() {
    let range = HashKeyRange::new(HashKey::new(10), HashKey::new(20));
    let inside: Vec<u128> = (8..=22).filter(|&n| range.contains(HashKey::new(n))).collect();
    assert_eq!(inside, (10..=20).collect::<Vec<_>>());
    assert!(HashKeyRange::FULL.contains(HashKey::MIN) && HashKeyRange::FULL.contains(HashKey::MAX));
}

#[test]
fn ranges_are_compared_with_keys_and_each_other() {
    let range = |start, end| HashKeyRange::new(HashKey::new(start), HashKey::new(end));
    let low = range(10, 20);
    assert_eq!(low.compare(HashKey::new(9)), Ordering::Greater);
    assert_eq!(low.compare(HashKey::new(10)), Ordering::Equal);
    assert_eq!(low.compare(HashKey::new(20)), Ordering::Equal);
    assert_eq!(low.compare(HashKey::new(21)), Ordering::Less);

    assert!(low.is_followed_by(&range(21, 30)) && !low.is_followed_by(&range(22, 30)) && !low.is_followed_by(&low));
    assert!(!HashKeyRange::FULL.is_followed_by(&low), "nothing follows the end of the space");
    assert!(low.overlaps(&range(20, 30)) && !low.overlaps(&range(21, 30)) && !range(21, 30).overlaps(&low));
    assert!(low.covers(&range(10, 20)) && !low.covers(&range(10, 21)) && !low.covers(&range(9, 20)));
    assert_eq!(HashKeyRange::from(HashKey::new(15)).extended_to(HashKey::new(20)).extended_to(HashKey::new(10)), low);
    assert_eq!(HashKeyRange::parse("10", "20"), Ok(low));
    assert_eq!(low.to_string(), "10..=20");
    assert!(HashKeyRange::parse("10", "x").is_err());
}
