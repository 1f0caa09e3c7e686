//! Attempts from each kind of source.

pub mod store;
