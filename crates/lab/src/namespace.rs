//! Namespaces of a test's own, for networks and file systems that nobody else sees (namespaces(7)). Root enters them as
//! root; anybody else becomes root of a user namespace first, where the kernel allows it.

use std::{
    env, io,
    process::{Command, ExitStatus},
};

use crate::peers::is_root;

const INSIDE: &str = "GATEPOST_TEST_IN_NAMESPACE";

/// unshare(1) into namespaces of these kinds, such as `--net`; the program is yet to be added. Root makes no user namespace:
/// in a chroot none can be made.
pub fn unshare(kinds: &[&str]) -> Command {
    let mut command = Command::new("unshare");
    let user: &[&str] = if is_root() { &[] } else { &["--map-root-user"] };
    command.args(user).args(kinds).arg("--");
    command
}

/// Runs the calling test once more, in a network namespace. `None` there; outside, how it ended.
pub fn run_in_own_network(test: &str) -> io::Result<Option<ExitStatus>> {
    if env::var_os(INSIDE).is_some() {
        return Ok(None);
    }
    let mut command = unshare(&["--net"]);
    command.arg(env::current_exe()?).args([test, "--exact", "--nocapture"]).env(INSIDE, "1");
    command.status().map(Some)
}
