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

use super::{
    accept,
    driver::{Browser, ENTER, TAB},
    expect_peace,
    pages::expect_no_barriers,
};

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

/// How the operator works.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum By {
    Pointer,
    Keyboard,
    /// Without script, somebody loads the page again.
    PointerWithoutScript,
}

impl By {
    /// Presses the link or button with this text.
    fn press(self, browser: &Browser, text: &str) {
        browser.find_text(text);
        if self != Self::Keyboard {
            return wait_for(text, || browser.find_text(text).try_click().then_some(()));
        }
        let is_reached = || browser.run("return document.activeElement.textContent").as_str().unwrap().contains(text);
        for _ in 0..100 {
            browser.press(TAB);
            if browser.run("return document.activeElement.matches('a, button')") == true && is_reached() {
                return browser.press(ENTER);
            }
        }
        panic!("the keyboard does not reach {text:?}");
    }

    fn wait_for_text(self, browser: &Browser, text: &str) {
        wait_for(&format!("{text:?} on {}", browser.url()), || {
            if self == Self::PointerWithoutScript {
                browser.open(&browser.url());
            }
            browser.text().contains(text).then_some(())
        });
    }
}

/// A rollout breaks mail on the open Overview. The operator finds the reason, and fixes it, with four presses.
fn story(by: By) {
    let (mut held, browser) = (Held::start(), Browser::start());
    held.enter(&browser);
    if by == By::PointerWithoutScript {
        browser.forbid_script();
        browser.open(&held.origin);
    } else {
        browser.wait_for_text("Live");
    }
    browser.run("window.mark = true");
    held.wait_for_progress("rollout from \"legacy\" to \"intermediate\"");
    by.wait_for_text(&browser, "Mail is stuck on 1 of 1 connector.");
    held.wait_for_progress("an incident has opened: ");
    let is_reloaded = by == By::PointerWithoutScript;
    assert_eq!(browser.run("return window.mark === true"), !is_reloaded, "{by:?}");

    by.press(&browser, "onprem: ");
    by.wait_for_text(&browser, "Who fails and who does not");
    let page = browser.text();
    for part in ["intermediate", "legacy", "Open for ", "Rollout of intermediate to 50%"] {
        assert!(page.contains(part), "{part}: {page}");
    }
    by.press(&browser, "Roll back to 0%");
    by.wait_for_text(&browser, "Retry: ");
    by.press(&browser, " now");
    // Mail goes on arriving: if much more waits by now, the console asks once more.
    if browser.url().ends_with("/queue/retry") {
        by.press(&browser, "Retry ");
    }
    by.wait_for_text(&browser, "Closed");
    held.wait_for_progress("no-shared-cipher has closed (mail-flows)");
    held.wait_for_progress("no message is waiting; press Ctrl-C to end the case");
    by.press(&browser, "Overview");
    by.wait_for_text(&browser, "Mail is flowing.");
    expect_peace(&browser, &held.origin);
    let folder = held.config.parent().unwrap().to_owned();
    assert_eq!(held.interrupt(), Some(0));
    assert!(!folder.exists(), "{} is left", folder.display());
}

#[test]
fn the_story_by_pointer() {
    story(By::Pointer);
}

#[test]
fn the_story_by_keyboard() {
    story(By::Keyboard);
}

#[test]
fn the_story_without_script() {
    story(By::PointerWithoutScript);
}

/// Those that have something to show only while mail is stuck.
#[test]
fn pages_of_a_broken_case_are_free_of_barriers() {
    let (held, browser) = (Held::start(), Browser::start());
    held.enter(&browser);
    held.wait_for_incident(&browser);
    let found = |selector: &str| browser.find(selector).attribute("href").unwrap();
    let incident = found("#overview-incidents a");
    browser.open(&format!("{}trace", held.origin));
    let message = found("main a[href^='/messages/']");
    let paths = [
        "/",
        &incident,
        "/incidents",
        "/queue",
        "/queue/list?connector=onprem",
        "/trace",
        &message,
        "/rollout",
        "/nodes",
    ];
    for path in paths {
        expect_no_barriers(&browser, &format!("{}{}", held.origin.trim_end_matches('/'), path));
    }
    expect_peace(&browser, &held.origin);
}
