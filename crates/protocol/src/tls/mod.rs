//! TLS as the gateway speaks of it: which versions and ciphers a policy allows.

mod policy;

pub use policy::{TlsPolicy, TlsVersion};
