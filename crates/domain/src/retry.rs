//! When to retry. Every error has one class, and this table turns classes into waits.
//!
//! Must not read a clock or draw randomness: the caller brings the seed. No other code may choose the delay after a failure.

use std::time::Duration;

/// What kind of trouble an error is, decided once, where the error is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// May pass by itself: network, restart, time-out.
    Transient,
    /// Somebody else was faster or holds a lock; the next observation will find something else.
    Contended,
    /// We may not: password, privilege, RBAC. A person must act, but often does so elsewhere.
    Denied,
    /// What was asked for cannot be done as it stands.
    Invalid,
    /// Should never happen.
    Bug,
}

impl Class {
    /// The word used in metrics and logs.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Transient => "transient",
            Self::Contended => "contended",
            Self::Denied => "denied",
            Self::Invalid => "invalid",
            Self::Bug => "bug",
        }
    }
}

/// The wait before the next try after `attempts` failures in a row (1 for the first). `seed` spreads objects that failed together: up to
/// a quarter is taken off the wait, always the same quarter for the same seed and attempt.
#[must_use]
pub fn wait(class: Class, attempts: u32, seed: u64) -> Duration {
    let (first, most) = match class {
        Class::Contended => (Duration::from_millis(200), Duration::from_secs(10)),
        Class::Transient => (Duration::from_secs(1), Duration::from_mins(1)),
        Class::Denied => (Duration::from_secs(5), Duration::from_mins(5)),
        Class::Invalid | Class::Bug => (Duration::from_secs(10), Duration::from_mins(10)),
    };
    growing(first, most, attempts, seed)
}

/// A wait that doubles from `first` to `longest`, for the `times`th time in a row, shortened by up to a quarter as [`wait`] is.
#[must_use]
pub fn growing(first: Duration, longest: Duration, times: u32, seed: u64) -> Duration {
    let full = first.saturating_mul(2_u32.saturating_pow(times.saturating_sub(1))).min(longest);
    let spread = u32::try_from(mix(seed ^ u64::from(times)) % 256).unwrap_or(0);
    full.saturating_sub(full / 4 * spread / 256)
}

/// Finaliser of `SplitMix64` (Steele, Lea, Flood 2014): neighbouring inputs give unrelated outputs.
fn mix(seed: u64) -> u64 {
    let z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLASSES: [Class; 5] = [Class::Transient, Class::Contended, Class::Denied, Class::Invalid, Class::Bug];

    #[test]
    fn waits_grow_to_a_bound_and_never_overflow() {
        for class in CLASSES {
            let waits: Vec<_> = (1..40).map(|attempt| wait(class, attempt, 7)).collect();
            assert!(waits.windows(2).all(|pair| pair[1] >= pair[0].mul_f32(0.7)), "{class:?} {waits:?}");
            assert!(wait(class, u32::MAX, u64::MAX) <= Duration::from_mins(10));
            assert!(wait(class, 0, 0) > Duration::ZERO);
        }
    }

    #[test]
    fn objects_that_failed_together_come_back_apart() {
        let waits: std::collections::HashSet<_> = (0..100).map(|seed| wait(Class::Transient, 5, seed)).collect();
        assert!(waits.len() > 50, "{}", waits.len());
    }
}
