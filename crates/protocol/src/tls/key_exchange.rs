//! Names and strengths of what keys are exchanged with (IANA "TLS Supported Groups").

use std::fmt;

use super::KeyExchange;

/// Number, name, bits of the curve or prime; for a hybrid those of its curve, for ML-KEM alone 0.
const GROUPS: [(u16, &str, u32); 31] = [
    (1, "sect163k1", 163),
    (3, "sect163r2", 163),
    (6, "sect233k1", 233),
    (7, "sect233r1", 233),
    (9, "sect283k1", 283),
    (10, "sect283r1", 283),
    (11, "sect409k1", 409),
    (12, "sect409r1", 409),
    (13, "sect571k1", 571),
    (14, "sect571r1", 571),
    (19, "secp192r1", 192),
    (21, "secp224r1", 224),
    (22, "secp256k1", 256),
    (23, "secp256r1", 256),
    (24, "secp384r1", 384),
    (25, "secp521r1", 521),
    (26, "brainpoolP256r1", 256),
    (27, "brainpoolP384r1", 384),
    (28, "brainpoolP512r1", 512),
    (29, "x25519", 255),
    (30, "x448", 448),
    (256, "ffdhe2048", 2048),
    (257, "ffdhe3072", 3072),
    (258, "ffdhe4096", 4096),
    (259, "ffdhe6144", 6144),
    (260, "ffdhe8192", 8192),
    (513, "MLKEM768", 0),
    (514, "MLKEM1024", 0),
    (4587, "SecP256r1MLKEM768", 256),
    (4588, "X25519MLKEM768", 255),
    (4589, "SecP384r1MLKEM1024", 384),
];

fn group(number: u16) -> Option<&'static (u16, &'static str, u32)> {
    GROUPS.iter().find(|(known, ..)| *known == number)
}

impl KeyExchange {
    /// As IANA writes it.
    pub fn group_name(number: u16) -> Option<&'static str> {
        group(number).map(|(_, name, _)| *name)
    }

    /// Bits of the curve or the prime; 0 where unknown.
    pub fn bits(self) -> u32 {
        match self {
            Self::Group(number) => group(number).map_or(0, |(.., bits)| *bits),
            Self::DiffieHellman { prime_bits } => prime_bits,
        }
    }

    /// A group of RFC 7919, whose numbers are 0x0100 to 0x01ff: a prime, no curve.
    pub fn is_finite_field(self) -> bool {
        matches!(self, Self::DiffieHellman { .. } | Self::Group(0x0100..=0x01ff))
    }
}

impl fmt::Display for KeyExchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Group(number) => match Self::group_name(*number) {
                Some(name) => f.write_str(name),
                None => write!(f, "group 0x{number:04x}"),
            },
            Self::DiffieHellman { prime_bits } => write!(f, "DHE {prime_bits} bits"),
        }
    }
}
