//! Attempts from each kind of source.

pub mod capture;
pub mod dsn;
pub mod protocol_log;
pub mod rows;
pub mod store;
pub mod tls_report;

/// Of an address as a source has it; `None` where it has none.
fn domain(address: &str) -> Option<&str> {
    address.rsplit_once('@').map(|(_, domain)| domain).filter(|domain| !domain.is_empty())
}
