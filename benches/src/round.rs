// SPDX-License-Identifier: Apache-2.0
//! Rounds: in each one every participant gets one short slice, in shuffled order. A machine that gets
//! slower or faster meanwhile does so for all of them, so what is compared are slices of one round.

use crate::error::BenchError;
use crate::participant::{Participant, Slice, Work};
use crate::stats::Spread;
use std::time::{Duration, Instant};

/// How long and how often.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Effort {
    pub(crate) rounds: usize,
    /// How long one slice should take.
    pub(crate) slice: Duration,
}

/// The slices of all rounds: `rounds[r][p]` is that of participant `p`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rounds(Vec<Vec<Slice>>);

impl Rounds {
    /// Figures of one participant over the rounds.
    pub(crate) fn spread(&self, of: usize, figure: impl Fn(&Slice) -> f64) -> Option<Spread> {
        Spread::of(self.0.iter().filter_map(|round| round.get(of)).map(figure).collect())
    }

    /// The ratio of two participants' figures, taken round by round.
    pub(crate) fn ratio(&self, of: usize, to: usize, figure: impl Fn(&Slice) -> f64) -> Option<Spread> {
        let pairs = self.0.iter().filter_map(|round| Some((round.get(of)?, round.get(to)?)));
        Spread::of(pairs.map(|(a, b)| figure(a) / figure(b)).collect())
    }
}

/// Runs rounds. Each member is a participant, by number, and its work.
pub(crate) fn measure(
    participants: &mut [Participant],
    members: &[(usize, Work)],
    effort: Effort,
    dice: &mut Dice,
) -> Result<Rounds, BenchError> {
    // The first event meets cold caches, so it tells how many go into a slice, and does not count.
    let mut events = Vec::new();
    for (who, work) in members {
        participants[*who].run(work, work.threads)?;
        let started = Instant::now();
        participants[*who].run(work, work.threads)?;
        // Each thread fires one event more, before its clock starts.
        let one = started.elapsed().as_secs_f64() / (2 * work.threads) as f64;
        let fitting = (effort.slice.as_secs_f64() / one).round() as usize;
        events.push(fitting.clamp(work.threads, 20_000));
    }
    let mut rounds = Vec::with_capacity(effort.rounds);
    for _ in 0..effort.rounds {
        let mut round: Vec<Option<Slice>> = vec![None; members.len()];
        for index in dice.shuffled(members.len()) {
            let (who, work) = &members[index];
            round[index] = Some(participants[*who].run(work, events[index])?);
        }
        rounds.push(round.into_iter().flatten().collect());
    }
    Ok(Rounds(rounds))
}

/// Random order; any numbers that do not follow the machine's own rhythm will do.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new() -> Self {
        let seed = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Self(seed.as_nanos() as u64 | 1)
    }

    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) as usize % n
    }

    pub(crate) fn shuffled(&mut self, n: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..n).collect();
        for last in (1..n).rev() {
            order.swap(last, self.below(last + 1));
        }
        order
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shuffling_loses_nobody() {
        let mut dice = Dice::new();
        for n in 0..20 {
            let mut order = dice.shuffled(n);
            order.sort_unstable();
            assert_eq!(order, (0..n).collect::<Vec<_>>());
        }
    }

    #[test]
    fn ratios_are_taken_round_by_round() {
        let slice = |ns| Slice { event_ns: ns, events_per_second: 1.0, read_bytes: 0.0 };
        // The machine halves its speed in the second round: the ratio does not notice.
        let rounds = Rounds(vec![vec![slice(10.0), slice(20.0)], vec![slice(20.0), slice(40.0)]]);
        let r = rounds.ratio(0, 1, |s| s.event_ns).unwrap();
        assert_eq!((r.median, r.p10, r.p90), (0.5, 0.5, 0.5));
    }
}
