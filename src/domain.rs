//! What a school is, what it needs next and why. Pure: no clock, no I/O, no client types.
