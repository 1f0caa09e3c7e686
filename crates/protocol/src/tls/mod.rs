//! TLS as the gateway speaks of it: which versions and ciphers a policy allows, and what was seen of a handshake.

mod alert;
mod certificate;
mod describe;
mod facts;
mod key_exchange;
mod message;
mod observer;
mod openssl_name;
mod policy;
mod reader;
pub mod record;
pub mod schannel;
mod strictest;
mod suite;
mod text;
mod version;

pub use facts::{
    Alert, Certificate, CertificateFault, ClientHello, Ended, Ending, HandshakeFacts, KeyExchange, ServerHello, Side,
};
pub use observer::Observer;
pub use policy::{TlsPolicy, TlsVersion};
pub use suite::{Bulk, CipherSuite, Mac, SuiteKeyExchange};
pub use version::WireVersion;
