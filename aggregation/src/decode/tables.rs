use crate::wire::{EXPLICIT_HASH_KEY_TABLE, Field, Fields, Malformed, PARTITION_KEY_TABLE};

/// Where the texts of both tables are in the body.
#[derive(Clone, Debug)]
pub(super) struct Tables {
    /// Partition keys, then explicit hash keys.
    spans: Spans,
    partition_keys: u32,
    explicit_hash_keys: u32,
}

/// Small tables need no allocation: with eight places an aggregate that needs one has at least five records.
#[derive(Clone, Debug)]
enum Spans {
    Inline([Span; 8]),
    Heap(Box<[Span]>),
}

/// A piece of a body. Positions fit 32 bits, as [`Payload::parse`](super::Payload::parse) sees to.
#[derive(Clone, Copy, Debug, Default)]
struct Span {
    start: u32,
    len: u32,
}

impl Tables {
    /// Finds the tables in a body that has been read before and holds that many entries. The walk ends with the last entry, so it is
    /// short where the tables precede the records.
    pub(super) fn find(body: &[u8], partition_keys: u32, explicit_hash_keys: u32) -> Result<Self, Malformed> {
        let count = partition_keys as usize + explicit_hash_keys as usize;
        let mut spans = Spans::with_len(count);
        let places = spans.as_mut_slice();
        let (mut next_key, mut next_hash_key, mut missing) = (0, partition_keys as usize, count);
        let mut fields = Fields::new(body);
        while missing > 0 {
            let next = match fields.read()? {
                Some(Field::Bytes(PARTITION_KEY_TABLE, text)) => Some((&mut next_key, text)),
                Some(Field::Bytes(EXPLICIT_HASH_KEY_TABLE, text)) => Some((&mut next_hash_key, text)),
                Some(_) => None,
                None => return Err(Malformed),
            };
            if let Some((place, text)) = next {
                // What was read last ends where the unread begins.
                let end = body.len() - fields.rest().len();
                places[*place] = Span { start: (end - text.len()) as u32, len: text.len() as u32 };
                *place += 1;
                missing -= 1;
            }
        }
        Ok(Self { spans, partition_keys, explicit_hash_keys })
    }

    /// How many entries both tables have. They are numbered from 0, partition keys first.
    pub(super) const fn len(&self) -> u32 {
        self.partition_keys + self.explicit_hash_keys
    }

    /// The entry of a partition key that a record points to.
    pub(super) const fn partition_key(index: u64) -> u32 {
        index as u32
    }

    /// The entry of an explicit hash key that a record points to.
    pub(super) const fn explicit_hash_key(&self, index: u64) -> u32 {
        self.partition_keys + index as u32
    }

    pub(super) fn entry<'a>(&self, body: &'a [u8], entry: u32) -> &'a [u8] {
        self.spans.as_slice()[entry as usize].of(body)
    }

    pub(super) fn explicit_hash_keys<'a>(&self, body: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        let all = self.partition_keys as usize + self.explicit_hash_keys as usize;
        self.spans.as_slice()[self.partition_keys as usize..all].iter().map(|span| span.of(body))
    }
}

impl Spans {
    fn with_len(len: usize) -> Self {
        let inline = [Span::default(); 8];
        if len <= inline.len() { Self::Inline(inline) } else { Self::Heap(vec![Span::default(); len].into()) }
    }

    fn as_slice(&self) -> &[Span] {
        match self {
            Self::Inline(spans) => spans,
            Self::Heap(spans) => spans,
        }
    }

    fn as_mut_slice(&mut self) -> &mut [Span] {
        match self {
            Self::Inline(spans) => spans,
            Self::Heap(spans) => spans,
        }
    }
}

impl Span {
    fn of(self, body: &[u8]) -> &[u8] {
        &body[self.start as usize..][..self.len as usize]
    }
}
