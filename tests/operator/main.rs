//! The operator as users run it: a real process against a real API server and real PostgreSQL.
