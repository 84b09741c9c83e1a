// SPDX-License-Identifier: Apache-2.0
//! The header of an rpm, format 4: tagged values in an index and a store, as the RPM reference manual has it
//! ("Package format", "Header structure").

/// A value with its type.
enum Value {
    Int16(Vec<u16>),
    Int32(Vec<u32>),
    Text(String),
    Texts(Vec<String>),
    /// Translatable text, in the one language that there is.
    Translated(String),
    Bytes(Vec<u8>),
}

impl Value {
    /// The number of the type, and the alignment of its values.
    fn shape(&self) -> (u32, usize) {
        match self {
            Self::Int16(_) => (3, 2),
            Self::Int32(_) => (4, 4),
            Self::Text(_) => (6, 1),
            Self::Bytes(_) => (7, 1),
            Self::Texts(_) => (8, 1),
            Self::Translated(_) => (9, 1),
        }
    }

    fn count(&self) -> usize {
        match self {
            Self::Int16(v) => v.len(),
            Self::Int32(v) => v.len(),
            Self::Texts(v) => v.len(),
            Self::Bytes(v) => v.len(),
            Self::Text(_) | Self::Translated(_) => 1,
        }
    }

    fn write(&self, store: &mut Vec<u8>) {
        let text = |store: &mut Vec<u8>, text: &str| {
            store.extend_from_slice(text.as_bytes());
            store.push(0);
        };
        match self {
            Self::Int16(v) => v.iter().for_each(|n| store.extend_from_slice(&n.to_be_bytes())),
            Self::Int32(v) => v.iter().for_each(|n| store.extend_from_slice(&n.to_be_bytes())),
            Self::Text(t) | Self::Translated(t) => text(store, t),
            Self::Texts(v) => v.iter().for_each(|t| text(store, t)),
            Self::Bytes(v) => store.extend_from_slice(v),
        }
    }
}

/// A header that is being put together. Empty lists are left out, as the format knows none.
pub(super) struct Header {
    /// The tag of the region that covers everything.
    region: u32,
    values: Vec<(u32, Value)>,
}

/// The region of the header proper.
const IMMUTABLE: u32 = 63;
/// The region of the signature's header.
const SIGNATURES: u32 = 62;
const MAGIC: [u8; 8] = [0x8e, 0xad, 0xe8, 1, 0, 0, 0, 0];
/// Bytes of an entry of the index.
const ENTRY: usize = 16;
const BINARY: u32 = 7;

impl Header {
    pub(super) fn main() -> Self {
        Self { region: IMMUTABLE, values: Vec::new() }
    }

    pub(super) fn signature() -> Self {
        Self { region: SIGNATURES, values: Vec::new() }
    }

    fn add(&mut self, tag: u32, value: Value) -> &mut Self {
        if value.count() > 0 {
            self.values.push((tag, value));
        }
        self
    }

    pub(super) fn text(&mut self, tag: u32, text: &str) -> &mut Self {
        self.add(tag, Value::Text(clean(text)))
    }

    pub(super) fn translated(&mut self, tag: u32, text: &str) -> &mut Self {
        self.add(tag, Value::Translated(clean(text)))
    }

    pub(super) fn texts(&mut self, tag: u32, texts: impl IntoIterator<Item = String>) -> &mut Self {
        self.add(tag, Value::Texts(texts.into_iter().map(|t| clean(&t)).collect()))
    }

    pub(super) fn numbers(&mut self, tag: u32, numbers: impl IntoIterator<Item = u32>) -> &mut Self {
        self.add(tag, Value::Int32(numbers.into_iter().collect()))
    }

    pub(super) fn shorts(&mut self, tag: u32, numbers: impl IntoIterator<Item = u16>) -> &mut Self {
        self.add(tag, Value::Int16(numbers.into_iter().collect()))
    }

    pub(super) fn bytes(&mut self, tag: u32, bytes: &[u8]) -> &mut Self {
        self.add(tag, Value::Bytes(bytes.to_vec()))
    }

    /// The header as it is in the file, tags in order.
    pub(super) fn finish(mut self) -> Vec<u8> {
        self.values.sort_by_key(|(tag, _)| *tag);
        let mut index = Vec::new();
        let mut store = Vec::new();
        for (tag, value) in &self.values {
            let (kind, alignment) = value.shape();
            store.resize(store.len().next_multiple_of(alignment), 0);
            index.extend_from_slice(&entry(*tag, kind, word(store.len()), value.count()));
            value.write(&mut store);
        }
        // The region: its entry comes first, and points at a copy of itself behind everything, which says how
        // far back the index begins.
        let entries = self.values.len() + 1;
        let region = entry(self.region, BINARY, word(store.len()), ENTRY);
        let back = word(entries * ENTRY).wrapping_neg();
        store.extend_from_slice(&entry(self.region, BINARY, back, ENTRY));
        let mut whole = MAGIC.to_vec();
        whole.extend_from_slice(&word(entries).to_be_bytes());
        whole.extend_from_slice(&word(store.len()).to_be_bytes());
        whole.extend_from_slice(&region);
        whole.extend_from_slice(&index);
        whole.extend_from_slice(&store);
        whole
    }
}

fn entry(tag: u32, kind: u32, offset: u32, count: usize) -> [u8; ENTRY] {
    let mut entry = [0; ENTRY];
    for (place, number) in entry.chunks_exact_mut(4).zip([tag, kind, offset, word(count)]) {
        place.copy_from_slice(&number.to_be_bytes());
    }
    entry
}

/// Text ends at the first NUL, so there is none in it.
fn clean(text: &str) -> String {
    text.replace('\0', "")
}

/// Sizes of headers are far below four gigabytes: the format allows 256 MiB, and parcels are checked.
fn word(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_aligned_and_the_region_covers_all() {
        let mut header = Header::main();
        header.numbers(2000, [7]).text(1000, "ab").shorts(1500, [1, 2]).texts(1600, Vec::new());
        let bytes = header.finish();
        let number = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
        assert_eq!((number(8), number(12)), (4, 12 + 16));
        // Region, then tags in order; empty ones are not there.
        assert_eq!([16, 32, 48, 64].map(number), [63, 1000, 1500, 2000]);
        let store = 16 + 4 * 16;
        assert_eq!(&bytes[store..store + 12], b"ab\0\0\0\x01\0\x02\0\0\0\x07");
        assert_eq!(number(16 + 8), 12);
        assert_eq!(number(store + 12 + 8), (-64_i32).cast_unsigned());
    }
}
