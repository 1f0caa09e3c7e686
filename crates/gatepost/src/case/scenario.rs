//! What there is to play: the RC4 queue, and a short case for each faulty device.

use std::time::Duration;

use anyhow::bail;
use lab::Device;

/// One case.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Scenario {
    pub name: String,
    /// For people, in one line.
    pub story: String,
    pub device: Device,
    /// The destination is a foreign mail server, where there is one on this machine.
    pub foreign: bool,
    pub nodes: usize,
    pub messages: usize,
    /// From one message to the next.
    pub pace: Duration,
    /// What a deferred message waits until it is tried again, more or less.
    pub retry: Duration,
    /// How long the destination stays as it is when the last message is in.
    pub patience: Duration,
    /// What the device is when it is repaired.
    pub repaired: Device,
    /// Keys of the connector, TOML.
    pub connector: &'static str,
    /// From one TLS policy to another, with the share of the fleet.
    pub rollout: Option<(&'static str, &'static str, u8)>,
    /// The rollout defends itself.
    pub defended: bool,
    /// Bytes of each message.
    pub message_bytes: usize,
    /// Id of the cause in the catalogue.
    pub cause: Option<&'static str>,
}

/// What the story of the RC4 queue reported (2015): retries, and how long the drain took.
pub(crate) const STORY_RETRY: Duration = Duration::from_secs(15 * 60);

pub(crate) const RC4_QUEUE: &str = "rc4-queue";

impl Scenario {
    pub(crate) fn all() -> Vec<Self> {
        let faulty = Device::ALL.into_iter().filter(|device| *device != Device::Healthy);
        [Self::rc4_queue()].into_iter().chain(faulty.map(Self::of_device)).collect()
    }

    pub(crate) fn find(name: &str) -> anyhow::Result<Self> {
        let all = Self::all();
        let names = || all.iter().map(|scenario| scenario.name.as_str()).collect::<Vec<_>>().join(", ");
        match all.iter().find(|scenario| scenario.name == name) {
            Some(scenario) => Ok(scenario.clone()),
            None => bail!("unknown case \"{name}\"; cases are: {}", names()),
        }
    }

    /// The same with a rollout that defends itself.
    pub(crate) fn defended(&self) -> anyhow::Result<Self> {
        if self.rollout.is_none() {
            bail!(
                "there is no rollout in the case \"{}\" that could defend itself; there is one in {RC4_QUEUE}",
                self.name
            );
        }
        Ok(Self { defended: true, ..self.clone() })
    }

    fn rc4_queue() -> Self {
        Self {
            name: RC4_QUEUE.to_owned(),
            story: "half of the nodes have RC4 switched off, and the destination knows nothing else".to_owned(),
            device: Device::Rc4Only,
            foreign: true,
            nodes: 4,
            messages: 200,
            pace: Duration::from_millis(100),
            retry: Duration::from_secs(5),
            patience: Duration::from_secs(2),
            repaired: Device::StartTlsNotOffered,
            connector: "tls_policy = \"legacy\"\n",
            // TLS 1.0 stays: RC4 alone is taken away.
            rollout: Some(("legacy", "intermediate", 50)),
            defended: false,
            message_bytes: 2000,
            cause: Device::Rc4Only.cause(),
        }
    }

    fn of_device(device: Device) -> Self {
        let connector = match device {
            // A shared version, so that the cipher suite is what is missing.
            Device::AesThenSilence | Device::Rc4Only => "tls_policy = \"intermediate\"\n",
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
            message_bytes: if device == Device::LargeMessagesStall { 4_000_000 } else { 2000 },
            cause: device.cause(),
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
        assert!(error.starts_with("unknown case \"rc4\"; cases are: rc4-queue, rc4-only, "), "{error}");
    }
}
