//! What surrounds a handler, over real sockets: bounds, headers, languages, the envelope, and an end that loses no request.

mod bounds;
mod envelope;
mod fixture;
mod headers;
mod in_flight;
mod records;
mod stopping;
