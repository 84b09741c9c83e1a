// SPDX-License-Identifier: Apache-2.0
//! What a process wrote, bounded.

/// The head and the tail of a stream; what lies between is counted and dropped.
#[derive(Clone, Debug, Default)]
pub struct Captured {
    head: Vec<u8>,
    tail: Vec<u8>,
    half: usize,
    total: u64,
}

impl Captured {
    pub(crate) fn new(limit: usize) -> Self {
        Self { half: limit / 2, ..Self::default() }
    }

    pub(crate) fn push(&mut self, mut data: &[u8]) {
        self.total += data.len() as u64;
        let room = self.half - self.head.len();
        if room > 0 {
            let (now, rest) = data.split_at(room.min(data.len()));
            self.head.extend_from_slice(now);
            data = rest;
        }
        if data.len() >= self.half {
            self.tail.clear();
            data = &data[data.len() - self.half..];
        }
        self.tail.extend_from_slice(data);
        // Drop in big steps: shifting the tail for every few bytes would be quadratic.
        if self.tail.len() > 4 * self.half {
            self.tail.drain(..self.tail.len() - self.half);
        }
    }

    /// How many bytes were written in all.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// Whether nothing was written.
    pub fn is_empty(&self) -> bool {
        self.total == 0
    }

    /// How many bytes were dropped between head and tail.
    pub fn dropped(&self) -> u64 {
        self.total - (self.head.len() + self.kept_tail().len()) as u64
    }

    fn kept_tail(&self) -> &[u8] {
        &self.tail[self.tail.len().saturating_sub(self.half)..]
    }

    /// Head and tail, with one line between them that says how much is missing.
    pub fn bytes(&self) -> Vec<u8> {
        let mut all = self.head.clone();
        match self.dropped() {
            0 => {}
            n => all.extend_from_slice(format!("\n[... {n} bytes left out ...]\n").as_bytes()),
        }
        all.extend_from_slice(self.kept_tail());
        all
    }

    /// [`Captured::bytes`] as text; what is not UTF-8 is replaced.
    pub fn text(&self) -> String {
        match String::from_utf8(self.bytes()) {
            Ok(text) => text,
            Err(e) => String::from_utf8_lossy(e.as_bytes()).into_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_head_and_tail() {
        let mut c = Captured::new(8);
        c.push(b"abc");
        assert_eq!((c.text().as_str(), c.dropped()), ("abc", 0));
        c.push(b"defgh");
        assert_eq!((c.text().as_str(), c.dropped()), ("abcdefgh", 0));
        c.push(b"ij");
        assert_eq!((c.text().as_str(), c.dropped()), ("abcd\n[... 2 bytes left out ...]\nghij", 2));
        for _ in 0..1000 {
            c.push(b"0123456789");
        }
        assert!(c.text().ends_with("]\n6789"));
        assert_eq!((c.total(), c.dropped()), (10010, 10002));
        assert!(c.tail.len() <= 40);
    }

    #[test]
    fn whatever_the_pieces_the_same_is_kept() {
        let data: Vec<u8> = (0..=255).cycle().take(5000).collect();
        for piece in [1, 3, 64, 999, 5000] {
            let mut c = Captured::new(100);
            data.chunks(piece).for_each(|p| c.push(p));
            assert_eq!(c.head, data[..50]);
            assert_eq!(c.kept_tail(), &data[4950..]);
        }
    }
}
