//! The server at the other end of a case, and its repair.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use anyhow::Context as _;
use lab::{Device, Options, Server, exim::Exim};

use super::scenario::Scenario;

pub(crate) enum Destination {
    Exim(Box<Exim>),
    Device(Server),
}

impl Destination {
    /// Starts it; `folder` is the case's.
    pub(crate) fn start(scenario: &Scenario, folder: &Path) -> anyhow::Result<Self> {
        if scenario.foreign
            && let Some(exim) = start_exim(folder)?
        {
            return Ok(exim);
        }
        // Certificates are for a name, and this one leads here on every machine.
        let options = Options { host_name: "localhost".to_owned(), connections_max: 0, ..Options::default() };
        let server = Server::start(scenario.device, options).context("failed to start the faulty device")?;
        fs::write(folder.join("authority.pem"), server.authority_pem())?;
        Ok(Self::Device(server))
    }

    /// As a connector's host.
    pub(crate) fn host(&self) -> String {
        match self {
            Self::Exim(exim) => exim.address().to_string(),
            Self::Device(server) => format!("localhost:{}", server.port()),
        }
    }

    /// What it is, for people.
    pub(crate) fn is(&self) -> String {
        match self {
            Self::Exim(_) => "Exim with GnuTLS, set to TLS 1.0 with RC4 only".to_owned(),
            Self::Device(server) => format!("the lab's device {}", server.device().name()),
        }
    }

    pub(crate) fn repair(&mut self, repaired: Device) -> anyhow::Result<()> {
        match self {
            Self::Exim(exim) => exim.restart_without_tls().context("failed to start Exim anew")?,
            Self::Device(server) => server.become_device(repaired).context("failed to repair the device")?,
        }
        Ok(())
    }
}

/// `None` where this machine has no Exim that would do.
fn start_exim(folder: &Path) -> anyhow::Result<Option<Destination>> {
    let program = std::env::current_exe()?;
    // Beside the binary as cargo builds it, ./test unpacks foreign servers.
    let unpacked = program.parent().and_then(Path::parent).map(|target| target.join("peers/root"));
    let Some(peers) = Exim::find(&unpacked.unwrap_or_default()) else { return Ok(None) };
    let folder = folder.join("exim");
    fs::create_dir(&folder)?;
    // Exim becomes a user of its own.
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o755))?;
    let exim = Exim::start_with_rc4_only(peers, &folder).context("failed to start Exim as the destination")?;
    Ok(Some(Destination::Exim(Box::new(exim))))
}
