//! Reproducible randomness for tests that search: the same seed gives the same run. Must not make secrets.

use std::env;
use std::time::SystemTime;

/// `SplitMix64`: small, and the same everywhere for the same seed.
#[derive(Clone, Debug)]
pub struct Random(u64);

/// The seed of this run: `DAILYCARE_TEST_SEED`, or another one each time. A test prints it, so that a failure can be repeated.
#[must_use]
pub fn seed() -> u64 {
    let clock = || SystemTime::UNIX_EPOCH.elapsed().map_or(0, |now| u64::from(now.subsec_nanos()) ^ now.as_secs());
    env::var("DAILYCARE_TEST_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(clock)
}

impl Random {
    /// The sequence of this seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Any number.
    pub fn any(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`, which is not zero.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.any() % bound
    }

    /// One of a list that is not empty.
    pub fn pick<'t, T>(&mut self, list: &'t [T]) -> &'t T {
        let length = u64::try_from(list.len()).unwrap_or(u64::MAX);
        &list[usize::try_from(self.below(length)).unwrap_or_default()]
    }
}
