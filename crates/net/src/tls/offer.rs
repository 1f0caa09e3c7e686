//! The offer of a policy: the ClientHello that a node sends under it, parsed from its bytes as if it had been received.

use std::{
    io::{self, Read, Write},
    time::Duration,
};

use openssl::ssl::HandshakeError;
use protocol::tls::{ClientHello, Observer, Side, TlsPolicy, TlsVersion};

use super::{TlsError, clear_errors, connector::under, load_providers};

/// The receiver of the ClientHello, which never answers.
#[derive(Default)]
struct Sink(Vec<u8>);

impl Read for Sink {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::ErrorKind::WouldBlock.into())
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// `None`: OpenSSL makes no ClientHello under this policy. The versions come from the policy, because a ClientHello
/// without TLS 1.3 names only its newest version.
pub fn offer(policy: &TlsPolicy) -> Result<Option<ClientHello>, TlsError> {
    load_providers()?;
    let ssl = under(policy)?.build().configure()?.into_ssl("mail.example")?;
    let stopped = ssl.connect(Sink::default());
    clear_errors();
    let Err(HandshakeError::WouldBlock(waiting)) = stopped else { return Ok(None) };
    let mut observer = Observer::default();
    observer.observe(Side::Client, &waiting.get_ref().0, Duration::ZERO);
    let allowed = |version: &TlsVersion| (policy.minimum..=policy.maximum).contains(version);
    let versions = TlsVersion::ALL.into_iter().filter(allowed).map(TlsVersion::on_the_wire).rev().collect();
    Ok(observer.into_facts().client_hello.map(|hello| ClientHello { versions, ..hello }))
}

#[cfg(test)]
mod tests {
    use protocol::tls::{CipherSuite, WireVersion};

    use super::*;

    #[test]
    fn a_policy_offers_what_it_allows() {
        let hello = |policy: TlsPolicy| offer(&policy).unwrap().unwrap();
        let (modern, legacy) = (hello(TlsPolicy::modern()), hello(TlsPolicy::legacy()));
        assert_eq!(modern.versions, [WireVersion::TLS13, WireVersion::TLS12]);
        assert_eq!(legacy.versions.len(), 4);
        let rc4_sha = CipherSuite(0x0005);
        assert!(legacy.cipher_suites.contains(&rc4_sha) && !modern.cipher_suites.contains(&rc4_sha));
        assert!(modern.cipher_suites.iter().all(|suite| legacy.cipher_suites.contains(suite)), "{modern:?}");
        assert!(modern.groups.iter().all(|group| legacy.groups.contains(group)));
        let old = TlsPolicy { maximum: TlsVersion::Tls12, ..TlsPolicy::legacy() };
        assert_eq!(hello(old).versions, [WireVersion::TLS12, WireVersion::TLS11, WireVersion::TLS10]);
    }
}
