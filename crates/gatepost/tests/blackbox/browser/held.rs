//! `gatepost case run rc4-queue --hold`: the story that Gatepost was made for, as an operator lives it.

use std::{
    cell::RefCell,
    io::{BufRead, BufReader},
    path::PathBuf,
    process::{Child, ChildStderr, Command, Stdio},
    sync::mpsc::{Receiver, channel},
    thread,
};

use crate::support::wait_for;

use super::{accept, driver::Browser, expect_peace};

/// A case that runs, and what it has printed.
pub(super) struct Held {
    process: Child,
    link: String,
    /// Of the console.
    pub(super) origin: String,
    config: PathBuf,
    progress: Receiver<String>,
    printed: RefCell<Vec<String>>,
}

impl Held {
    pub(super) fn start() -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gatepost"));
        command.args(["case", "run", "rc4-queue", "--hold"]).stdin(Stdio::null());
        let mut process = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let progress = lines(process.stderr.take().unwrap());
        let mut output = BufReader::new(process.stdout.take().unwrap()).lines();
        let mut next = |before: &str| {
            let line = output.next().expect("a line of the case").unwrap();
            line.strip_prefix(before).unwrap_or_else(|| panic!("{line:?} does not begin with {before:?}")).to_owned()
        };
        let link = next("Choose a password for the user operator, and look: ");
        let origin = link[..link.find("/invite/").unwrap()].to_owned() + "/";
        let config = next("For commands: export GATEPOST_CONFIG=").into();
        Self { process, link, origin, config, progress, printed: RefCell::default() }
    }

    pub(super) fn enter(&self, browser: &Browser) {
        accept(browser, &self.link);
    }

    pub(super) fn wait_for_incident(&self, browser: &Browser) {
        browser.wait_for_text("Mail is stuck on 1 of 1 connector.");
    }

    fn gatepost(&self, arguments: &[&str]) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gatepost"));
        let output = command.arg("--config").arg(&self.config).args(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// Waits until the case prints this.
    fn wait_for_progress(&self, text: &str) {
        wait_for(&format!("the case to print {text:?}"), || {
            let mut printed = self.printed.borrow_mut();
            printed.extend(self.progress.try_iter());
            printed.iter().any(|line| line.contains(text)).then_some(())
        });
    }

    fn interrupt(&mut self) -> Option<i32> {
        let sent = Command::new("kill").args(["-INT", &self.process.id().to_string()]).status().unwrap();
        assert!(sent.success());
        wait_for("the case to end", || self.process.try_wait().unwrap()).code()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn lines(stderr: ChildStderr) -> Receiver<String> {
    let (sender, receiver) = channel();
    thread::spawn(move || BufReader::new(stderr).lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
    receiver
}

#[test]
fn a_rollout_breaks_mail_on_the_open_page_and_rolling_back_fixes_it() {
    let (mut held, browser) = (Held::start(), Browser::start());
    held.enter(&browser);
    browser.wait_for_text("Mail is flowing.");
    browser.wait_for_text("Live");
    browser.run("window.mark = true");
    held.wait_for_progress("rollout from \"legacy\" to \"intermediate\"");
    held.wait_for_incident(&browser);
    held.wait_for_progress("an incident has opened: ");
    held.gatepost(&["rollout", "set", "--from", "legacy", "--to", "intermediate", "--percent", "0"]);
    held.gatepost(&["queue", "retry", "--connector", "onprem"]);
    browser.wait_for_text("Mail is flowing.");
    assert_eq!(browser.run("return window.mark"), true);
    held.wait_for_progress("no-shared-cipher has closed (mail-flows)");
    held.wait_for_progress("no message is waiting; press Ctrl-C to end the case");
    expect_peace(&browser, &held.origin);
    let folder = held.config.parent().unwrap().to_owned();
    assert_eq!(held.interrupt(), Some(0));
    assert!(!folder.exists(), "{} is left", folder.display());
}
