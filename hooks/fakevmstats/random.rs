// SPDX-License-Identifier: Apache-2.0
//! Numbers for show: cheap, different each time, nothing to guard a secret with.

use std::hash::{BuildHasher, Hasher, RandomState};

/// A generator of the SplitMix64 kind.
pub(super) struct Random(u64);

impl Random {
    /// One with a seed of the system's.
    pub(super) fn new() -> Self {
        Self(RandomState::new().build_hasher().finish())
    }

    /// A number from 0 to `most`, both included.
    pub(super) fn up_to(&mut self, most: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        // The high half of the product: a fraction of the range, without a division.
        let scaled = (u128::from(mixed) * (u128::from(most) + 1)) >> 64;
        u64::try_from(scaled).unwrap_or(most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_are_reached_and_not_passed() {
        let mut random = Random::new();
        let drawn: Vec<u64> = (0..1000).map(|_| random.up_to(3)).collect();
        for value in 0..=3 {
            assert!(drawn.contains(&value));
        }
        assert!(drawn.iter().all(|&value| value <= 3));
        assert_eq!(random.up_to(0), 0);
        random.up_to(u64::MAX);
    }
}
