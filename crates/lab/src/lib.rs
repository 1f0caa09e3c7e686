//! The lab: mail servers that fail as real devices do, each a real TCP and TLS server on loopback.
//!
//! ```no_run
//! use gatepost_lab::{Device, Options, Server};
//!
//! let server = Server::start(Device::Rc4Only, Options::default())?;
//! println!("deliver to 127.0.0.1:{}", server.port());
//! server.become_device(Device::StartTlsNotOffered)?; // as one repairs an appliance
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! Beside the devices it runs foreign mail servers: [`exim::Exim`], and whatever else [`peers::Peers`] holds.
//!
//! It shares no code with the product: a fault in common would hide from every test. Each server has a thread for each
//! connection, and ends with all of them when it is dropped. What varies between two devices of a kind (the words of
//! the banner, when exactly it gives up) follows from [`Options::seed`].

mod certificate;
mod device;
pub mod exim;
pub mod namespace;
pub mod peers;
mod random;
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
