//! Signatures of the Standard Webhooks specification: HMAC-SHA256 over id, time and body.

use openssl::{
    base64,
    error::ErrorStack,
    hash::MessageDigest,
    pkey::{PKey, Private},
    sign::Signer,
};

/// The shared secret. It is never shown.
pub struct Secret(PKey<Private>);

/// What is wrong with the secret, without any part of it.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    #[error("the secret is not base64; create one with: openssl rand -base64 32")]
    NotBase64,
    #[error("the secret has {0} bytes, but needs 24 to 64; create one with: openssl rand -base64 32")]
    Length(usize),
    #[error("OpenSSL: {0}")]
    OpenSsl(#[from] ErrorStack),
}

/// The prefix of secrets in the specification.
const PREFIX: &str = "whsec_";

impl Secret {
    /// Base64, with or without the prefix `whsec_`.
    pub fn parse(text: &str) -> Result<Self, SecretError> {
        let text = text.trim();
        let key =
            base64::decode_block(text.strip_prefix(PREFIX).unwrap_or(text)).map_err(|_| SecretError::NotBase64)?;
        if !(24..=64).contains(&key.len()) {
            return Err(SecretError::Length(key.len()));
        }
        Ok(Self(PKey::hmac(&key)?))
    }

    /// The value of `webhook-signature`.
    pub(super) fn sign(&self, id: &str, timestamp: i64, body: &str) -> Result<String, ErrorStack> {
        let mut signer = Signer::new(MessageDigest::sha256(), &self.0)?;
        let signature = signer.sign_oneshot_to_vec(format!("{id}.{timestamp}.{body}").as_bytes())?;
        Ok(format!("v1,{}", base64::encode_block(&signature)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification's own libraries.
    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    #[test]
    fn a_signature_is_that_of_the_specification_s_libraries() {
        let sign = |secret: &str| {
            let secret = Secret::parse(secret).unwrap();
            secret.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, "{\"test\": 2432232314}").unwrap()
        };
        assert_eq!(sign(SECRET), "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        assert_eq!(sign(&format!("{}\n", &SECRET[PREFIX.len()..])), sign(SECRET));
    }

    #[test]
    fn what_is_no_secret_is_refused_without_showing_it() {
        for (text, because) in [
            ("", "0 bytes"),
            ("whsec_", "0 bytes"),
            ("hunter2", "not base64"),
            ("whsec_aHVudGVyMg==", "7 bytes"),
            (&"QUFB".repeat(30), "90 bytes"),
        ] {
            let error = Secret::parse(text).map(|_| ()).unwrap_err().to_string();
            assert!(error.contains(because) && !error.contains("hunter2"), "{text}: {error}");
        }
    }
}
