//! A mail server that is stopped during an encrypted session may write its last reply without encryption, as Exim's
//! killed children do. This is the destination's fault, not this node's.

mod common;

use std::{
    io::{BufRead, BufReader, Write},
    net::{Ipv4Addr, TcpListener, TcpStream},
    thread,
};

use gatepost_net::{send::Connection, tls::TlsContext};
use openssl::{
    pkey::PKey,
    ssl::{Ssl, SslContext, SslMethod},
    x509::X509,
};
use protocol::{
    smtp::{FailureKind, Phase, Scope},
    tls::TlsPolicy,
};

fn speak(stream: TcpStream) -> Option<()> {
    let identity = lab::Identity::for_host("localhost").ok()?;
    let mut builder = SslContext::builder(SslMethod::tls_server()).ok()?;
    builder.set_certificate(X509::from_pem(&identity.certificate_pem()).ok()?.as_ref()).ok()?;
    builder.set_private_key(PKey::private_key_from_pem(&identity.key_pem()).ok()?.as_ref()).ok()?;
    let mut raw = stream.try_clone().ok()?;
    let mut line = String::new();
    raw.write_all(b"220 localhost ESMTP\r\n").ok()?;
    let mut plain = BufReader::new(stream);
    plain.read_line(&mut line).ok()?;
    raw.write_all(b"250-localhost\r\n250 STARTTLS\r\n").ok()?;
    plain.read_line(&mut line).ok()?;
    raw.write_all(b"220 go ahead\r\n").ok()?;
    let tls = Ssl::new(&builder.build()).ok()?.accept(plain.into_inner()).ok()?;
    let mut tls = BufReader::new(tls);
    tls.read_line(&mut line).ok()?;
    raw.write_all(b"421 localhost: forcibly terminated\r\n").ok()
}

#[tokio::test]
async fn plaintext_within_tls_is_the_destinations_fault() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let server = thread::spawn(move || speak(listener.accept().unwrap().0));
    let options = common::require(TlsPolicy::intermediate());
    let opened = Connection::open("localhost", address, &options, &TlsContext::default(), None).await;
    assert!(server.join().unwrap().is_some(), "the server said all it was to say");
    let failure = opened.err().expect("broken").0;
    assert_eq!(failure.phase, Phase::Ehlo, "{failure:?}");
    // OpenSSL's words depend on the version of TLS.
    assert!(matches!(failure.kind, FailureKind::TlsBroken { .. }), "{failure:?}");
    assert_eq!((failure.is_permanent(), failure.scope()), (false, Scope::Destination));
    assert!(failure.to_string().contains("the encrypted connection broke (bad record type)"), "{failure}");
}
