//! Private namespaces for tests, with networks and file systems that no other process sees (namespaces(7)). Root enters
//! them as root. Any other user first becomes root of a user namespace, if the kernel allows it.

use std::{
    env, io,
    process::{Command, ExitStatus},
};

use crate::peers::is_root;

const INSIDE: &str = "GATEPOST_TEST_IN_NAMESPACE";

/// unshare(1) into namespaces of these kinds, such as `--net`. The caller adds the program. Root creates no user
/// namespace, because this is not possible in a chroot.
pub fn unshare(kinds: &[&str]) -> Command {
    let mut command = Command::new("unshare");
    let user: &[&str] = if is_root() { &[] } else { &["--map-root-user"] };
    command.args(user).args(kinds).arg("--");
    command
}

/// Runs the calling test again in a network namespace. Returns `None` there, and outside its exit status.
pub fn run_in_own_network(test: &str) -> io::Result<Option<ExitStatus>> {
    if env::var_os(INSIDE).is_some() {
        return Ok(None);
    }
    let mut command = unshare(&["--net"]);
    command.arg(env::current_exe()?).args([test, "--exact", "--nocapture"]).env(INSIDE, "1");
    command.status().map(Some)
}
