//! Load and drain for benchmarks: with STARTTLS, which Postfix's smtp-source and smtp-sink do not support, and at a fixed
//! rate, which smtp-source does not support either.
//!
//! ```text
//! load sink   ADDRESS:PORT VERSION CERTIFICATE KEY
//! load source ADDRESS:PORT SECURITY SESSIONS MESSAGES BYTES PER-CONNECTION
//! load paced  ADDRESS:PORT SECURITY SESSIONS MESSAGES BYTES PER-CONNECTION RATE
//! ```
//!
//! SECURITY is `none` or the only TLS version, 1.2 or 1.3. Sessions are never resumed: each connection pays for its
//! handshake, as connections from the internet do.

mod paced;
mod sink;
mod source;
mod wire;

use openssl::ssl::{SslFiletype, SslMethod, SslOptions};

use wire::{Client, Result};

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["sink", address, version, certificate, key] => {
            let mut context = wire::context(SslMethod::tls_server(), version)?;
            context.set_certificate_chain_file(certificate)?;
            context.set_private_key_file(key, SslFiletype::PEM)?;
            context.set_options(SslOptions::NO_TICKET);
            sink::run(address, &context.build())
        }
        ["source", address, security, sessions, messages, bytes, per_connection] => {
            let client = Client::new(address, security, bytes.parse()?)?;
            source::run(client, sessions.parse()?, messages.parse()?, per_connection.parse()?)
        }
        ["paced", address, security, sessions, messages, bytes, per_connection, rate] => {
            let client = Client::new(address, security, bytes.parse()?)?;
            let pace = paced::Pace::new(messages.parse()?, rate.parse()?);
            paced::run(client, pace, sessions.parse()?, per_connection.parse()?)
        }
        _ => Err("usage: load sink|source|paced …; the first lines of its source name the arguments".into()),
    }
}
