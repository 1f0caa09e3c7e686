//! dumpcap on loopback, writing to a file.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use crate::peers::{Peers, is_root};

const PROGRAM: &str = "usr/bin/dumpcap";

/// A running capture. It ends when it is dropped.
pub struct Dumpcap {
    file: PathBuf,
    child: Child,
}

impl Dumpcap {
    /// Packets of these ports only: whatever else goes over loopback would take the room. It needs root, or sudo.
    pub fn start(peers: &Peers, folder: &Path, ports: &[u16]) -> io::Result<Self> {
        let file = folder.join("capture.pcapng");
        let filter: Vec<String> = ports.iter().map(|port| format!("tcp port {port}")).collect();
        let log = folder.join("dumpcap.log");
        let mut child = command(peers)
            .args(["-q", "-i", "lo", "-f", &filter.join(" or "), "-w"])
            .arg(&file)
            .stdout(Stdio::null())
            .stderr(fs::File::create(&log)?)
            .spawn()?;
        let deadline = Instant::now() + Duration::from_secs(10);
        // The file's first block is written when the capture has begun.
        while !fs::metadata(&file).is_ok_and(|metadata| metadata.len() > 0) {
            if child.try_wait()?.is_some() || Instant::now() > deadline {
                let said = fs::read_to_string(&log).unwrap_or_default();
                return Err(io::Error::other(format!("dumpcap did not begin (it needs root, or sudo): {said}")));
            }
            thread::sleep(Duration::from_millis(20));
        }
        thread::sleep(Duration::from_millis(200));
        Ok(Self { file, child })
    }

    /// Ends it; the file with what was captured.
    pub fn stop(mut self) -> io::Result<PathBuf> {
        // Packets wait in the kernel for a while.
        thread::sleep(Duration::from_millis(1500));
        self.end()?;
        Ok(self.file.clone())
    }

    fn end(&mut self) -> io::Result<()> {
        let id = self.child.id().to_string();
        let mut kill = if is_root() { Command::new("kill") } else { sudo("kill") };
        kill.args(["-INT", &id]).status()?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Dumpcap {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|ended| ended.is_none()) {
            let _ = self.end();
        }
    }
}

fn sudo(program: &str) -> Command {
    let mut command = Command::new("sudo");
    command.args(["-n", program]);
    command
}

fn command(peers: &Peers) -> Command {
    let command = peers.command(PROGRAM);
    if is_root() {
        return command;
    }
    // Sniffing is root's; sudo forgets the libraries unless told.
    let libraries = command.get_envs().find(|(name, _)| *name == "LD_LIBRARY_PATH").and_then(|(_, value)| value);
    let mut sudo = sudo("env");
    sudo.arg(format!("LD_LIBRARY_PATH={}", libraries.unwrap_or_default().display()));
    sudo.arg(peers.root().join(PROGRAM));
    sudo
}
