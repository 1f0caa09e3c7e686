//! The destination of a case, and its repair.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use anyhow::Context as _;
use lab::{Device, Options, Server, exim::Exim};

use super::scenario::Scenario;

pub(crate) enum Destination {
    Exim(Box<Exim>),
    Device(Server),
}

impl Destination {
    /// Starts the destination; `folder` is the folder of the case.
    pub(crate) fn start(scenario: &Scenario, folder: &Path) -> anyhow::Result<Self> {
        if scenario.foreign
            && let Some(exim) = start_exim(folder)?
        {
            return Ok(exim);
        }
        // A certificate needs a host name, and localhost resolves to this machine everywhere.
        let options = Options { host_name: "localhost".to_owned(), connections_max: 0, ..Options::default() };
        let server = Server::start(scenario.device, options).context("failed to start the faulty device")?;
        fs::write(folder.join("authority.pem"), server.authority_pem())?;
        if scenario.device == Device::ClientCertificateRequired {
            let client = server.expired_client_identity("gateway.test")?;
            fs::write(folder.join("client.pem"), client.certificate_pem())?;
            fs::write(folder.join("client.key"), client.key_pem())?;
        }
        Ok(Self::Device(server))
    }

    /// The host, as a connector names it.
    pub(crate) fn host(&self) -> String {
        match self {
            Self::Exim(exim) => exim.address().to_string(),
            Self::Device(server) => format!("localhost:{}", server.port()),
        }
    }

    /// A description for people.
    pub(crate) fn is(&self) -> String {
        match self {
            Self::Exim(_) => "Exim with GnuTLS, limited to TLS 1.0 with RC4".to_owned(),
            Self::Device(server) => format!("the lab's device {}", server.device().name()),
        }
    }

    pub(crate) fn repair(&mut self, repaired: Device) -> anyhow::Result<()> {
        match self {
            Self::Exim(exim) => exim.restart_without_tls().context("failed to restart Exim")?,
            Self::Device(server) => server.become_device(repaired).context("failed to repair the device")?,
        }
        Ok(())
    }
}

/// `None` if this machine has no suitable Exim.
fn start_exim(folder: &Path) -> anyhow::Result<Option<Destination>> {
    let program = std::env::current_exe()?;
    // ./test unpacks foreign servers next to the folder in which cargo builds the binary.
    let unpacked = program.parent().and_then(Path::parent).map(|target| target.join("peers/root"));
    let Some(peers) = Exim::find(&unpacked.unwrap_or_default()) else { return Ok(None) };
    let folder = folder.join("exim");
    fs::create_dir(&folder)?;
    // Exim changes to its own user, who must be able to read the folder.
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o755))?;
    let exim = Exim::start_with_rc4_only(peers, &folder).context("failed to start Exim as the destination")?;
    Ok(Some(Destination::Exim(Box::new(exim))))
}
