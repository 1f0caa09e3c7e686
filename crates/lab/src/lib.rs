//! The lab: mail servers that fail as real devices do, each a real TCP and TLS server on loopback.
//!
//! ```no_run
//! use gatepost_lab::{Device, Options, Server};
//!
//! let server = Server::start(Device::Rc4Only, Options::default())?;
//! println!("deliver to 127.0.0.1:{}", server.port());
//! server.become_device(Device::StartTlsNotOffered)?; // as an administrator would repair an appliance
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! It also runs foreign servers: [`exim::Exim`], [`postgres::Cluster`], [`s3::SeaweedFs`], and the other programs in [`peers::Peers`].
//!
//! It shares no code with the product, because no test could find a shared fault. Each server has a thread for each
//! connection, and stops them all when it is dropped. The differences between two devices of a kind (the words of the
//! greeting, the exact timeouts) come from [`Options::seed`].

mod certificate;
mod device;
pub mod exim;
mod hello;
pub mod namespace;
pub mod peers;
pub mod postgres;
mod random;
pub mod s3;
mod sender;
mod server;
mod session;
mod shared;
mod tls;

pub use certificate::Identity;
pub use device::Device;
pub use sender::send;
pub use server::Server;
pub use shared::{Message, Options};
