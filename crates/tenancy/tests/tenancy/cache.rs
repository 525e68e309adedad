//! The cache on a real server that is healthy, frozen, dead, empty, full, read-only or lied to: the answer is always the loader's.

mod fixture;
mod loads;
mod outages;
mod values;
