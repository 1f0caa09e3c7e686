//! Foreign programs, from target/peers, where `./test` unpacks them, or installed on this machine. They run on
//! loopback, in their own folders, and not as system services.

use std::{
    fs, io,
    os::unix::fs::{MetadataExt, chown},
    path::{Path, PathBuf},
    process::Command,
};

/// Users and groups that the programs require, even if this machine does not have them.
const USERS: [(&str, u32); 3] = [("postfix", 4201), ("Debian-exim", 4203), ("nsd", 4204)];
const GROUPS: [(&str, u32); 4] = [("postfix", 4201), ("postdrop", 4202), ("Debian-exim", 4203), ("nsd", 4204)];

/// A file tree with foreign programs.
#[derive(Clone, Debug)]
pub struct Peers {
    root: PathBuf,
}

impl Peers {
    /// Programs unpacked below `root`.
    pub fn at(root: &Path) -> io::Result<Self> {
        Ok(Self { root: root.canonicalize()? })
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Programs installed on this machine find their libraries and users themselves.
    fn is_installed(&self) -> bool {
        self.root == Path::new("/")
    }

    fn library(&self, name: &str) -> String {
        self.root.join("usr/lib/x86_64-linux-gnu").join(name).display().to_string()
    }

    pub fn has(&self, program: &str) -> bool {
        self.root.join(program).exists()
    }

    /// A command that finds its libraries, and ends with this process.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--"]).arg(self.root.join(program));
        if !self.is_installed() {
            const LIBRARIES: [&str; 5] = [
                "usr/lib/x86_64-linux-gnu",
                "lib/x86_64-linux-gnu",
                "usr/lib/postfix",
                // For Chromium.
                "usr/lib/x86_64-linux-gnu/nss",
                "usr/lib/x86_64-linux-gnu/pulseaudio",
            ];
            let libraries = LIBRARIES.map(|path| self.root.join(path).display().to_string());
            command.env("LD_LIBRARY_PATH", libraries.join(":"));
        }
        command
    }

    /// Environment variables that show a program its own users, and simulate switching to them if this process is not
    /// root. The lists of users are written into `folder`.
    pub fn users(&self, folder: &Path) -> io::Result<Vec<(&'static str, String)>> {
        if self.is_installed() {
            return Ok(Vec::new());
        }
        let (passwd, group) = lists();
        for (name, ours) in [("passwd", passwd), ("group", group)] {
            let system = fs::read_to_string(Path::new("/etc").join(name))?;
            fs::write(folder.join(name), instead(&ours, &system))?;
        }
        let file = |name: &str| folder.join(name).display().to_string();
        let mut preload = self.library("libnss_wrapper.so");
        let mut variables = vec![("NSS_WRAPPER_PASSWD", file("passwd")), ("NSS_WRAPPER_GROUP", file("group"))];
        if !is_root_of_all() {
            preload = format!("{preload}:{}", self.library("libuid_wrapper.so"));
            variables.extend([("UID_WRAPPER", "1".to_owned()), ("UID_WRAPPER_ROOT", "1".to_owned())]);
        }
        variables.push(("LD_PRELOAD", preload));
        Ok(variables)
    }

    /// Gives a file or folder to the user that a program switches to.
    pub fn give(&self, path: &Path, user: u32, group: u32) -> io::Result<()> {
        if is_root_of_all() { chown(path, Some(user), Some(group)) } else { Ok(()) }
    }
}

/// The id of a user or group as the program sees it. Without root, files cannot change their owner. All users then have
/// the current user's id, so that the programs own their files.
pub fn number(user: u32) -> u32 {
    if is_root_of_all() { user } else { fs::metadata("/proc/self").map_or(user, |metadata| metadata.uid()) }
}

/// The same for groups, except the group of Postfix's setgid programs, which must differ.
pub fn group_number(group: u32) -> u32 {
    const POSTDROP: u32 = 4202;
    if is_root_of_all() || group == POSTDROP {
        return group;
    }
    fs::metadata("/proc/self").map_or(group, |metadata| metadata.gid())
}

/// Lines of passwd(5) and group(5).
fn lists() -> (String, String) {
    let user = |&(name, id): &(&str, u32)| format!("{name}:x:{}:{}::/:/bin/false\n", number(id), group_number(id));
    let group = |&(name, id): &(&str, u32)| format!("{name}:x:{}:\n", group_number(id));
    (USERS.iter().map(user).collect(), GROUPS.iter().map(group).collect())
}

/// Lines of passwd(5) or group(5): ours, and the system's lines without our names and ids. If the same mail server is
/// also installed, its user has a different id from the owner of our files.
fn instead(ours: &str, system: &str) -> String {
    fn key(line: &str) -> (Option<&str>, Option<&str>) {
        let mut fields = line.split(':');
        (fields.next(), fields.nth(1))
    }
    let is_ours = |line: &&str| {
        let (name, number) = key(line);
        ours.lines().map(key).any(|(ours, its_number)| name == ours || number == its_number)
    };
    let others = system.lines().filter(|line| !is_ours(line)).map(|line| format!("{line}\n"));
    ours.to_owned() + &others.collect::<String>()
}

/// Lines of a configuration, such as `option = value`, in which `settings` replace lines for the same option. Exim
/// refuses an option that is set twice, and Postfix warns of it so often that its log daemon, which logs to itself, can
/// hang.
pub fn with_settings(lines: &str, settings: &str) -> String {
    let option = |line: &str| line.split([' ', '=']).next().unwrap_or_default().to_owned();
    let is_set = |line: &&str| settings.lines().any(|setting| option(setting) == option(line));
    let kept: String = lines.lines().filter(|line| !is_set(line)).map(|line| format!("{line}\n")).collect();
    kept + settings
}

/// True if this process runs as root. A process owns its own files in /proc (proc(5)).
pub fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|metadata| metadata.uid() == 0)
}

/// True if this process runs as root and can switch to other users. In a user namespace there may be none
/// (user_namespaces(7)).
pub(crate) fn is_root_of_all() -> bool {
    let map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    is_root() && map.lines().any(|line| line.split_whitespace().last().is_some_and(|count| count != "1"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_of_installed_servers_give_way() {
        let system = "root:x:0:0:root:/root:/bin/bash\npostfix:x:101:102::/var/spool/postfix:/usr/sbin/nologin\n\
                      someone:x:4203:4203::/:/bin/sh\n+::::::\n";
        let ours = "postfix:x:4201:4201::/:/bin/false\nDebian-exim:x:4203:4203::/:/bin/false\n";
        let users = instead(ours, system);
        let of = |name: &str| users.lines().filter(|line| line.starts_with(name)).collect::<Vec<_>>();
        assert_eq!(of("postfix:"), ["postfix:x:4201:4201::/:/bin/false"]);
        assert_eq!(of("root:"), ["root:x:0:0:root:/root:/bin/bash"]);
        assert_eq!(of("someone:"), [""; 0]);
    }
}
