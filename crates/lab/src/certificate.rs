//! The lab's certificate authority, and the certificates that its devices show.

use openssl::{
    asn1::Asn1Time,
    bn::BigNum,
    error::ErrorStack,
    hash::MessageDigest,
    pkey::{PKey, Private},
    rsa::Rsa,
    x509::{
        X509, X509Name, X509NameBuilder,
        extension::{BasicConstraints, SubjectAlternativeName},
    },
};

use crate::{Device, random::Random};

/// A certificate with its key.
#[derive(Clone)]
pub struct Identity {
    pub(crate) certificate: X509,
    pub(crate) key: PKey<Private>,
}

impl Identity {
    /// RSA with 2048 bits, for a server of that name, from a new authority.
    pub fn for_host(name: &str) -> std::io::Result<Self> {
        Ok(Authority::new(Random::new(1))?.identity_of(Device::Healthy, name)?)
    }

    /// The certificate that `device` shows for that name, and the certificate of its authority, in PEM.
    pub fn shown_by(device: Device, name: &str) -> std::io::Result<(Self, Vec<u8>)> {
        let mut authority = Authority::new(Random::new(1))?;
        Ok((authority.identity_of(device, name)?, authority.certificate().to_pem()?))
    }

    pub fn certificate_pem(&self) -> Vec<u8> {
        self.certificate.to_pem().unwrap_or_default()
    }

    pub fn key_pem(&self) -> Vec<u8> {
        self.key.private_key_to_pem_pkcs8().unwrap_or_default()
    }
}

/// The content of a certificate.
struct Says<'a> {
    name: &'a str,
    /// Days from today.
    valid_days: std::ops::Range<i64>,
    digest: MessageDigest,
    authority: bool,
}

/// Signs the certificates of one server.
pub(crate) struct Authority {
    identity: Identity,
    random: Random,
}

const DAY_SECONDS: i64 = 24 * 3600;

impl Authority {
    pub(crate) fn new(mut random: Random) -> Result<Self, ErrorStack> {
        let key = new_key()?;
        // Two authorities must also have different names.
        let name = format!("Gatepost lab authority {}", random.between(1, 1_000_000));
        let says = Says { name: &name, valid_days: -400..3650, digest: MessageDigest::sha256(), authority: true };
        let certificate = sign(&says, &key, None, &mut random)?;
        Ok(Self { identity: Identity { certificate, key }, random })
    }

    pub(crate) fn certificate(&self) -> &X509 {
        &self.identity.certificate
    }

    /// The certificate that `device` shows for `host_name`.
    pub(crate) fn identity_of(&mut self, device: Device, host_name: &str) -> Result<Identity, ErrorStack> {
        let mut says = Says { name: host_name, valid_days: -1..90, digest: MessageDigest::sha256(), authority: false };
        match device {
            Device::CertificateExpired => says.valid_days = -90..-3,
            Device::CertificateWrongName => says.name = "www.hosting-company.test",
            Device::CertificateSha1 => says.digest = MessageDigest::sha1(),
            _ => {}
        }
        let key = new_key()?;
        let issuer = (device != Device::CertificateSelfSigned).then_some(&self.identity);
        let certificate = sign(&says, &key, issuer, &mut self.random)?;
        Ok(Identity { certificate, key })
    }
}

/// RSA, because cipher suites with RC4 use it for the key exchange.
fn new_key() -> Result<PKey<Private>, ErrorStack> {
    PKey::from_rsa(Rsa::generate(2048)?)
}

/// Without `issuer`, it signs itself.
fn sign(
    says: &Says<'_>,
    key: &PKey<Private>,
    issuer: Option<&Identity>,
    random: &mut Random,
) -> Result<X509, ErrorStack> {
    let subject = name(says.name)?;
    let mut builder = X509::builder()?;
    builder.set_version(2)?;
    let serial = BigNum::from_dec_str(&random.between(1, 1 << 60).to_string())?.to_asn1_integer()?;
    builder.set_serial_number(&serial)?;
    builder.set_subject_name(&subject)?;
    builder.set_issuer_name(issuer.map_or(&subject, |issuer| issuer.certificate.subject_name()))?;
    builder.set_pubkey(key)?;
    let not_before = at(says.valid_days.start)?;
    let not_after = at(says.valid_days.end)?;
    builder.set_not_before(&not_before)?;
    builder.set_not_after(&not_after)?;
    if says.authority {
        builder.append_extension(BasicConstraints::new().critical().ca().build()?)?;
    } else {
        let context = builder.x509v3_context(None, None);
        let alternative = SubjectAlternativeName::new().dns(says.name).build(&context)?;
        builder.append_extension(alternative)?;
    }
    builder.sign(issuer.map_or(key, |issuer| &issuer.key), says.digest)?;
    Ok(builder.build())
}

fn name(common_name: &str) -> Result<X509Name, ErrorStack> {
    let mut name = X509NameBuilder::new()?;
    name.append_entry_by_text("CN", common_name)?;
    Ok(name.build())
}

fn at(days_from_now: i64) -> Result<Asn1Time, ErrorStack> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Asn1Time::from_unix(now.as_secs() as i64 + days_from_now * DAY_SECONDS)
}
