//! The console in Chromium, as people use it: by pointer, by keyboard, on a small screen, without script.
//!
//! Each test checks at its end that no page has asked for anything elsewhere, and that none has complained, such as of a
//! violation of its security policy.

mod driver;
mod held;
mod live;
mod pages;

use driver::Browser;

use crate::support::{Node, free_port, node::Setup};

/// A node with a console, and with incidents that open after a second.
struct Console {
    node: Node,
    port: u16,
}

impl Console {
    /// Mail goes to this port of 127.0.0.1.
    fn to_port(destination: u16) -> Self {
        let port = free_port();
        Self { node: Self::setup(destination, port).start(), port }
    }

    fn setup(destination: u16, port: u16) -> Setup {
        Node::to_port(destination).retry("schedule = [\"1h\"]\n").more(&format!(
            "[console]\nlisten = [\"127.0.0.1:{port}\"]\n\n\
             [watch]\nmessages = 1\noldest = \"1s\"\noldest_named = \"1s\"\ninterval = \"1s\"\n"
        ))
    }

    /// Opens the Overview as an administrator.
    fn enter(&self, browser: &Browser) {
        let invited = self.node.json(&["user", "invite", "ana", "--role", "administrator"]);
        accept(browser, invited["url"].as_str().unwrap());
    }

    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }
}

const PASSWORD: &str = "correct horse battery";

/// Accepts an invitation. The Overview opens.
fn accept(browser: &Browser, link: &str) {
    browser.open(link);
    browser.find("input[name=password]").type_in(PASSWORD);
    browser.find("input[name=repeated]").type_in(PASSWORD);
    browser.find("main button").click();
    browser.find(".menu");
}

/// No page has asked for anything that is not at this address, and none has complained.
fn expect_peace(browser: &Browser, origin: &str) {
    // Chromium has pages of its own, such as that of a new tab.
    let is_strange = |url: &String| !url.starts_with(origin) && !url.starts_with("chrome://") && url != "about:blank";
    let strange: Vec<_> = browser.requests().into_iter().filter(is_strange).collect();
    assert!(strange.is_empty(), "pages asked for {strange:#?}");
    let complaints = browser.complaints();
    assert!(complaints.is_empty(), "pages complained: {complaints:#?}");
}
