//! Pure decisions about deliveries: route, schedule, retries, notices. No I/O, no clock and no randomness: the caller
//! passes the time and random numbers.

pub mod backoff;
pub mod notice;
pub mod route;
pub mod schedule;
pub mod verdict;
pub mod waiting;
