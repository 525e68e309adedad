//! The access audit: that evidence is complete, in its own school's database, bounded while it waits, and never altered.

mod bounds;
mod delivery;
mod evidence;
mod fixture;
mod partitions;
