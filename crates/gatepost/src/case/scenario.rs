//! The cases: the RC4 queue, and a short case for each faulty device.

use std::{net::SocketAddr, time::Duration};

use anyhow::bail;
use lab::Device;

/// One case.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Scenario {
    pub name: String,
    /// One line for people.
    pub story: String,
    pub device: Device,
    /// True if the destination is a foreign mail server, if this machine has one.
    pub foreign: bool,
    pub nodes: usize,
    pub messages: usize,
    /// Time between two messages.
    pub pace: Duration,
    /// Approximate time between two attempts of a deferred message.
    pub retry: Duration,
    /// Time between the last message and the repair.
    pub patience: Duration,
    /// The device after the repair.
    pub repaired: Device,
    /// Settings of the connector, TOML.
    pub connector: &'static str,
    /// Old and new TLS policy, and the share of the fleet in percent.
    pub rollout: Option<(&'static str, &'static str, u8)>,
    /// True if [rollout] self_defence is on.
    pub defended: bool,
    /// Bytes of each message.
    pub message_bytes: usize,
    /// Id of the cause in the catalogue.
    pub cause: Option<&'static str>,
    /// URL of a PostgreSQL server that the nodes share; otherwise a store in the case's folder.
    pub store: Option<String>,
    /// Address of the first node's console, if the case is held for people.
    pub console: Option<SocketAddr>,
}

/// Time between two attempts in the original incident of the RC4 queue (2015).
pub(crate) const STORY_RETRY: Duration = Duration::from_secs(15 * 60);

pub(crate) const RC4_QUEUE: &str = "rc4-queue";

impl Scenario {
    pub(crate) fn all() -> Vec<Self> {
        let faulty = Device::ALL.into_iter().filter(|device| *device != Device::Healthy);
        let stories = [Self::rc4_queue(), Self::delivered_without_tls(), Self::local_tls_credentials()];
        stories.into_iter().chain(faulty.map(Self::of_device)).collect()
    }

    pub(crate) fn find(name: &str) -> anyhow::Result<Self> {
        let all = Self::all();
        let names = || all.iter().map(|scenario| scenario.name.as_str()).collect::<Vec<_>>().join(", ");
        match all.iter().find(|scenario| scenario.name == name) {
            Some(scenario) => Ok(scenario.clone()),
            None => bail!("unknown case \"{name}\"; cases are: {}", names()),
        }
    }

    /// The same case with [rollout] self_defence on.
    pub(crate) fn defended(&self) -> anyhow::Result<Self> {
        if self.rollout.is_none() {
            bail!("the case \"{}\" has no rollout, so --defended does not apply; use it with {RC4_QUEUE}", self.name);
        }
        Ok(Self { defended: true, ..self.clone() })
    }

    /// The same case at a pace that people can follow.
    pub(crate) fn held(self, console: SocketAddr) -> Self {
        let (pace, retry) = (Duration::from_millis(250), Duration::from_secs(20));
        Self { console: Some(console), pace, retry, ..self }
    }

    /// A time of the story, shortened as its retries are.
    pub(crate) fn shortened(&self, time: Duration) -> Duration {
        time.mul_f64(self.retry.as_secs_f64() / STORY_RETRY.as_secs_f64())
    }

    fn rc4_queue() -> Self {
        Self {
            name: RC4_QUEUE.to_owned(),
            story: "half of the nodes have RC4 turned off, and the destination supports nothing else".to_owned(),
            device: Device::Rc4Only,
            foreign: true,
            nodes: 4,
            messages: 200,
            pace: Duration::from_millis(100),
            retry: Duration::from_secs(5),
            patience: Duration::from_secs(2),
            repaired: Device::StartTlsNotOffered,
            connector: "tls_policy = \"legacy\"\n",
            // TLS 1.0 stays on, so that only RC4 is missing.
            rollout: Some(("legacy", "intermediate", 50)),
            defended: false,
            message_bytes: 2000,
            cause: Device::Rc4Only.cause(),
            store: None,
            console: None,
        }
    }

    /// Nothing waits, and nobody notices.
    fn delivered_without_tls() -> Self {
        Self {
            name: "delivered-without-tls".to_owned(),
            story: "the TLS handshake fails, and the connector allows plaintext then".to_owned(),
            connector: "on_handshake_failure = \"plaintext\"\n",
            cause: Some("delivered-without-tls"),
            ..Self::of_device(Device::Tls10Only)
        }
    }

    /// The destination requires a client certificate, and this side has not renewed its own.
    fn local_tls_credentials() -> Self {
        Self {
            name: "local-tls-credentials".to_owned(),
            story: "the client certificate of the connector has expired".to_owned(),
            connector: "tls_certificate = \"client.pem\"\ntls_key = \"client.key\"\n",
            cause: Some("local-tls-credentials"),
            ..Self::of_device(Device::ClientCertificateRequired)
        }
    }

    fn of_device(device: Device) -> Self {
        let connector = match device {
            // The TLS version is shared, so that only the cipher suite is missing.
            Device::AesThenSilence | Device::Rc4Only => "tls_policy = \"intermediate\"\n",
            // A connection that stays open resumes nothing.
            Device::TicketsRefused => "messages_per_connection = 1\n",
            Device::StartTlsDemanded => "tls = \"none\"\n",
            Device::StartTlsMasked | Device::StartTlsNotOffered => "tls = \"require\"\n",
            Device::CertificateExpired
            | Device::CertificateSelfSigned
            | Device::CertificateWrongName
            | Device::CertificateSha1 => "tls = \"verify\"\ntls_authorities = \"authority.pem\"\n",
            _ => "",
        };
        Self {
            name: device.name().to_owned(),
            story: format!("the destination {}", device.does()),
            device,
            foreign: false,
            nodes: 2,
            messages: 20,
            pace: Duration::from_millis(100),
            retry: Duration::from_secs(2),
            patience: Duration::from_secs(4),
            repaired: Device::Healthy,
            connector,
            rollout: None,
            defended: false,
            // A kernel may hold 4 MiB of what a client has sent.
            message_bytes: if device == Device::LargeMessagesStall { 6_000_000 } else { 2000 },
            cause: device.cause(),
            store: None,
            console: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_case_is_found_by_its_name() {
        for scenario in Scenario::all() {
            assert_eq!(Scenario::find(&scenario.name).unwrap(), scenario);
        }
        let error = Scenario::find("rc4").unwrap_err().to_string();
        assert!(
            error.starts_with(
                "unknown case \"rc4\"; cases are: rc4-queue, delivered-without-tls, local-tls-credentials, "
            ),
            "{error}"
        );
    }
}
