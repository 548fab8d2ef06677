use bytes::Bytes;
use bytestring::ByteString;
use hashbrown::HashMap;

use super::tables::Tables;
use crate::text::lossy;

/// Turns the entries of an aggregate's tables into texts.
///
/// The rule that bounds the work: what costs more than a constant is done once per entry, never once per record. A hostile aggregate
/// points a hundred thousand records of six bytes at one key of a megabyte.
#[derive(Clone, Debug, Default)]
pub(super) struct Texts {
    /// The entries longer than [`SHORT`] that were used so far.
    long: HashMap<u32, ByteString>,
    /// Made at the first use of an entry that is not UTF-8.
    replaced: Option<Replaced>,
}

/// The entries that are not UTF-8, with U+FFFD for what is not.
#[derive(Clone, Debug)]
struct Replaced {
    /// All the texts, one behind the other. One buffer, because an allocation for each would be many times as large as its entry.
    texts: Bytes,
    /// Which entry, and where its text begins and ends in `texts`. In order of the entries.
    places: Box<[(u32, u32, u32)]>,
}

impl Texts {
    /// The text of an entry, as a slice of the body when it is UTF-8.
    pub(super) fn get(&mut self, body: &Bytes, tables: &Tables, entry: u32) -> ByteString {
        let bytes = tables.entry(body, entry);
        let is_long = bytes.len() > SHORT;
        if is_long && let Some(text) = self.long.get(&entry) {
            return text.clone();
        }
        let text = ByteString::try_from(body.slice_ref(bytes))
            .unwrap_or_else(|_| self.replaced.get_or_insert_with(|| Replaced::of(body, tables)).text(entry));
        if is_long {
            self.long.insert(entry, text.clone());
        }
        text
    }
}

impl Replaced {
    fn of(body: &[u8], tables: &Tables) -> Self {
        let is_broken = |entry: &u32| str::from_utf8(tables.entry(body, *entry)).is_err();
        // Counted first: a vector that grows would hold up to twice as much.
        let broken = || (0..tables.len()).filter(is_broken);
        let mut places = Vec::with_capacity(broken().count());
        let mut texts = String::new();
        for entry in broken() {
            let start = texts.len() as u32;
            texts.push_str(&lossy(tables.entry(body, entry)));
            places.push((entry, start, texts.len() as u32));
        }
        Self { texts: texts.into_bytes().into(), places: places.into() }
    }

    fn text(&self, entry: u32) -> ByteString {
        let place = self.places.binary_search_by_key(&entry, |(entry, ..)| *entry);
        let (_, start, end) = self.places[place.expect("every entry that is not UTF-8 has a place")];
        let text = self.texts.slice(start as usize..end as usize);
        ByteString::try_from(text).expect("a text and its ends are UTF-8")
    }
}

/// Entries up to this length are checked at every use, which costs less than looking them up. Most keys are shorter.
const SHORT: usize = 64;
