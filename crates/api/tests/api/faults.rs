//! The API's faults of the project's catalogue (F100–F125) over HTTP; `docs/running/faults.md` says which tests show the others.

mod callers;
mod changes;
mod fixture;
mod naming;
mod neighbours;
mod outages;
mod restores;
mod standbys;
