//! Reads the handshake messages that are sent in plaintext. Reading is lenient: it skips an extension that does not
//! parse, and keeps the entries of a list before the place where the list is cut.

use super::{
    Certificate, CipherSuite, ClientHello, KeyExchange, ServerHello, WireVersion, reader::Reader,
    suite::SuiteKeyExchange, text::printable,
};

pub(super) const CLIENT_HELLO: u8 = 1;
pub(super) const SERVER_HELLO: u8 = 2;
pub(super) const CERTIFICATE: u8 = 11;
pub(super) const SERVER_KEY_EXCHANGE: u8 = 12;
pub(super) const CERTIFICATE_REQUEST: u8 = 13;
pub(super) const SERVER_HELLO_DONE: u8 = 14;

const SERVER_NAME: u16 = 0;
const SUPPORTED_GROUPS: u16 = 10;
const SIGNATURE_ALGORITHMS: u16 = 13;
const PRE_SHARED_KEY: u16 = 41;
pub(super) const SUPPORTED_VERSIONS: u16 = 43;
const KEY_SHARE: u16 = 51;

/// RFC 8446 section 4.1.3: the random of a ServerHello that is a HelloRetryRequest.
const RETRY_RANDOM: [u8; 32] = [
    0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91, 0xc2, 0xa2, 0x11,
    0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
];

/// Maximum number of entries kept from one list in a hello. No client sends more, and the history stores them all.
const LIST_MAX: usize = 200;
/// The longest host name (RFC 1035 section 2.3.4).
const SERVER_NAME_BYTES_MAX: usize = 255;

/// RFC 8701: 0x0a0a, 0x1a1a and so on mean nothing.
fn is_grease(number: u16) -> bool {
    number & 0x0f0f == 0x0a0a && number >> 8 == number & 0xff
}

/// TLS_EMPTY_RENEGOTIATION_INFO_SCSV (RFC 5746) and TLS_FALLBACK_SCSV (RFC 7507) are signals, not cipher suites.
fn is_signal(number: u16) -> bool {
    matches!(number, 0x00ff | 0x5600)
}

fn meaningful(numbers: Reader<'_>) -> impl Iterator<Item = u16> {
    numbers.numbers().filter(|&number| !is_grease(number)).take(LIST_MAX)
}

fn suites(numbers: impl Iterator<Item = u16>) -> Vec<CipherSuite> {
    numbers.filter(|&number| !is_signal(number)).map(CipherSuite).collect()
}

/// Type and content of each extension. A message may end before the list of extensions.
fn extensions<'a>(reader: &mut Reader<'a>) -> impl Iterator<Item = (u16, Reader<'a>)> + use<'a> {
    let mut list = reader.vector16().unwrap_or(Reader::new(&[]));
    std::iter::from_fn(move || Some((list.u16()?, list.vector16()?)))
}

/// RFC 8446 section 4.1.2, RFC 5246 section 7.4.1.2.
pub(super) fn client_hello(body: &[u8]) -> Option<ClientHello> {
    let mut reader = Reader::new(body);
    let legacy_version = WireVersion(reader.u16()?);
    let _random = reader.bytes(32)?;
    let _session = reader.vector8()?;
    let cipher_suites = suites(meaningful(reader.vector16()?));
    let _compression = reader.vector8()?;
    let mut hello = ClientHello {
        versions: vec![legacy_version],
        cipher_suites,
        extensions: Vec::new(),
        server_name: None,
        groups: Vec::new(),
        signature_algorithms: Vec::new(),
        length_bytes: body.len() as u32 + 4,
    };
    let extensions = extensions(&mut reader).filter(|(number, _)| !is_grease(*number));
    for (number, content) in extensions.take(LIST_MAX) {
        hello.extensions.push(number);
        // Skip an extension that does not parse: the next one may.
        let _ = client_extension(&mut hello, number, content);
    }
    Some(hello)
}

fn client_extension(hello: &mut ClientHello, number: u16, mut content: Reader<'_>) -> Option<()> {
    match number {
        // RFC 6066 section 3: a list. Host name (type 0) is the only type that exists.
        SERVER_NAME => {
            let mut list = content.vector16()?;
            if list.u8()? == 0 {
                let name = list.vector16()?.rest();
                hello.server_name = Some(printable(name.get(..SERVER_NAME_BYTES_MAX).unwrap_or(name)));
            }
        }
        SUPPORTED_GROUPS => hello.groups = meaningful(content.vector16()?).collect(),
        SIGNATURE_ALGORITHMS => hello.signature_algorithms = meaningful(content.vector16()?).collect(),
        SUPPORTED_VERSIONS => {
            hello.versions = meaningful(content.vector8()?).map(WireVersion).collect();
            hello.versions.sort_unstable_by(|one, other| other.cmp(one));
        }
        _ => {}
    }
    Some(())
}

/// RFC 5246 appendix E.2: a hello in the form of SSL 2.0. A cipher suite has three bytes; for TLS the first one is 0.
pub(super) fn ssl2_client_hello(body: &[u8]) -> Option<ClientHello> {
    let mut reader = Reader::new(body);
    let _type = reader.u8()?;
    let version = WireVersion(reader.u16()?);
    let suites_length = reader.u16()?;
    let _session_and_challenge_length = reader.bytes(4)?;
    let specs = reader.bytes(suites_length.into())?.chunks_exact(3);
    let numbers = specs.filter(|spec| spec[0] == 0).map(|spec| u16::from_be_bytes([spec[1], spec[2]])).take(LIST_MAX);
    Some(ClientHello {
        versions: vec![version],
        cipher_suites: suites(numbers),
        extensions: Vec::new(),
        server_name: None,
        groups: Vec::new(),
        signature_algorithms: Vec::new(),
        length_bytes: body.len() as u32,
    })
}

/// What a ServerHello says.
pub(super) enum ServerAnswer {
    /// HelloRetryRequest: the client must send its hello again.
    Retry,
    Hello {
        hello: ServerHello,
        /// The server resumes the session that the client named by its pre-shared key.
        resumed: bool,
    },
}

/// RFC 8446 section 4.1.3, RFC 5246 section 7.4.1.3.
pub(super) fn server_hello(body: &[u8]) -> Option<ServerAnswer> {
    let mut reader = Reader::new(body);
    let legacy_version = WireVersion(reader.u16()?);
    if reader.bytes(32)? == RETRY_RANDOM {
        return Some(ServerAnswer::Retry);
    }
    let _session = reader.vector8()?;
    let cipher_suite = CipherSuite(reader.u16()?);
    let _compression = reader.u8()?;
    let mut hello = ServerHello { version: legacy_version, cipher_suite, key_exchange: None, retried: false };
    let mut resumed = false;
    for (number, mut content) in extensions(&mut reader) {
        match number {
            SUPPORTED_VERSIONS => hello.version = content.u16().map_or(hello.version, WireVersion),
            KEY_SHARE => hello.key_exchange = content.u16().map(KeyExchange::Group),
            PRE_SHARED_KEY => resumed = true,
            _ => {}
        }
    }
    Some(ServerAnswer::Hello { hello, resumed })
}

/// RFC 5246 section 7.4.3, RFC 8422 section 5.4, RFC 4279 and RFC 5489 (with a PSK, its hint comes first).
pub(super) fn server_key_exchange(suite: CipherSuite, body: &[u8]) -> Option<KeyExchange> {
    use SuiteKeyExchange as Kx;
    let mut reader = Reader::new(body);
    let kind = suite.key_exchange();
    if matches!(kind, Kx::DhePsk | Kx::EcdhePsk) {
        reader.vector16()?;
    }
    match kind {
        Kx::Ecdhe | Kx::EcdhAnonymous | Kx::EcdhePsk => {
            const NAMED_CURVE: u8 = 3;
            (reader.u8()? == NAMED_CURVE).then_some(())?;
            reader.u16().map(KeyExchange::Group)
        }
        Kx::Dhe | Kx::DhAnonymous | Kx::DhePsk => {
            Some(KeyExchange::DiffieHellman { prime_bits: bit_length(reader.vector16()?.rest()) })
        }
        _ => None,
    }
}

/// Number of bits of a number whose highest byte comes first.
pub(super) fn bit_length(number: &[u8]) -> u32 {
    let leading = number.iter().take_while(|&&byte| byte == 0).count();
    let number = number.get(leading..).unwrap_or_default();
    number.first().map_or(0, |&first| number.len() as u32 * 8 - first.leading_zeros())
}

/// RFC 5246 section 7.4.2. Skips a certificate that does not parse.
pub(super) fn certificates(body: &[u8]) -> Vec<Certificate> {
    let mut list = Reader::new(body).vector24().unwrap_or(Reader::new(&[]));
    let entries = std::iter::from_fn(|| list.vector24());
    Certificate::parse_chain(entries.map(|der| der.rest()))
}
