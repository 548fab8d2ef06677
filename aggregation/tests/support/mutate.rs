//! Damage of the kinds that parsers fall for, drawn from a seeded generator.

use bytes::Bytes;
use fastrand::Rng;
use kinesis_aggregation::messages::seal;
use prost::encoding::encode_varint;

/// Data made from one of the corpus: usually an aggregate with a changed body and a digest that is right again, because a wrong digest
/// ends the reading before it begins; sometimes the bytes as they are after the change.
pub(crate) fn mutant(rng: &mut Rng, corpus: &[Bytes]) -> Bytes {
    let data = &corpus[rng.usize(..corpus.len())];
    let is_whole = data.len() > 20 && data.starts_with(b"\xF3\x89\x9A\xC2");
    let mut bytes = if is_whole { data[4..data.len() - 16].to_vec() } else { data.to_vec() };
    for _ in 0..rng.usize(1..=4) {
        change(rng, &mut bytes, corpus);
    }
    if rng.u8(..16) == 0 { [data, bytes.as_slice()].concat().into() } else { seal(&bytes) }
}

fn change(rng: &mut Rng, bytes: &mut Vec<u8>, corpus: &[Bytes]) {
    // Headers and lengths are mostly near the start, or the end, of what matters.
    let at = match rng.u8(..4) {
        0 => rng.usize(..=bytes.len().min(16)),
        1 => bytes.len() - rng.usize(..=bytes.len().min(40)),
        _ => rng.usize(..=bytes.len()),
    };
    let end = at + rng.usize(..=(bytes.len() - at).min(64));
    match rng.u8(..10) {
        0 if at < bytes.len() => bytes[at] ^= 1 << rng.u8(..8),
        1 if at < bytes.len() => bytes[at] = rng.u8(..),
        2 if at < bytes.len() => bytes[at] = bytes[at].wrapping_add(1),
        3 => bytes.truncate(at),
        4 => drop(bytes.drain(at..end)),
        5 => {
            let copy = bytes[at..end].to_vec();
            bytes.splice(at..at, copy);
        }
        6 => {
            let other = &corpus[rng.usize(..corpus.len())];
            let from = rng.usize(..=other.len());
            let piece = other[from..from + rng.usize(..=(other.len() - from).min(64))].to_vec();
            bytes.splice(at..at, piece);
        }
        7 => {
            let mut number = Vec::new();
            encode_varint(rng.u64(..) >> rng.u32(..64), &mut number);
            bytes.splice(at..at, number);
        }
        8 => {
            // A field key of any number and type; groups open and close by it.
            let number = [1, 2, 3, 4, 5, 15, 16, 2047][rng.usize(..8)];
            let mut key = Vec::new();
            encode_varint(number << 3 | rng.u64(..8), &mut key);
            bytes.splice(at..at, key);
        }
        _ => bytes.insert(at, [0x00, 0x01, 0x7F, 0x80, 0xFF, 0x0A, 0x12, 0x1A][rng.usize(..8)]),
    }
}
