//! The vocabulary of conditions: types and reasons.
