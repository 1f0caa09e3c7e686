//! Fragments that change while people look.

use std::time::Duration;

use lab::{Device, Options, Server};

use super::{
    Console,
    driver::{Browser, Tab},
    expect_peace,
};
use crate::support::{free_port, http, swaks, wait_for};

const STUCK: &str = "Mail is stuck on 1 of 1 connector.";

const QUIET: &str = "No mail in the last hour.";
/// When all that waited was removed.
const GONE: &str = "Mail was accepted in the last hour, and none was delivered.";

/// A console with mail that does not leave.
fn stuck() -> (Console, Browser) {
    let (console, browser) = (Console::to_port(free_port()), Browser::start());
    console.enter(&browser);
    browser.wait_for_text("Live");
    (console, browser)
}

fn get_stuck(console: &Console) {
    swaks(console.node.port, &["--to", "user@onprem.test"]);
}

/// Removes all that waits.
fn get_rid(console: &Console) {
    console.node.json(&["queue", "remove", "--connector", "onprem", "--yes"]);
}

/// Marks the page, so that a reload can be seen.
fn mark(browser: &Browser) {
    browser.run("window.mark = true");
}

fn is_marked(browser: &Browser) -> bool {
    browser.run("return window.mark === true").as_bool().unwrap()
}

fn viewers(console: &Console) -> String {
    let (_, page) = http(console.port, "/metrics", &[]);
    let line = page.lines().find_map(|line| line.strip_prefix("gatepost_console_viewers ")).expect("the metric");
    line.to_owned()
}

#[test]
fn an_incident_appears_without_a_reload() {
    let (console, browser) = stuck();
    assert!(browser.text().contains(QUIET), "{}", browser.text());
    mark(&browser);
    get_stuck(&console);
    browser.wait_for_text(STUCK);
    wait_for("the number in the menu", || browser.find(".count").text().starts_with('1').then_some(()));
    assert!(is_marked(&browser));
    // It goes again, too.
    get_rid(&console);
    browser.wait_for_text(GONE);
    assert!(is_marked(&browser) && !browser.has(".count"));
    expect_peace(&browser, &console.url("/"));
}

#[test]
fn nothing_changes_under_a_selection() {
    let (console, browser) = stuck();
    browser.run("getSelection().selectAllChildren(document.querySelector('#overview-sentence'))");
    get_stuck(&console);
    browser.find(".count");
    assert!(browser.text().contains(QUIET), "{}", browser.text());
    browser.run("getSelection().removeAllRanges()");
    browser.wait_for_text(STUCK);
    expect_peace(&browser, &console.url("/"));
}

#[test]
fn fourteen_tabs_load_and_share_one_stream() {
    let (console, browser) = stuck();
    let first = browser.this_tab();
    let tabs: Vec<Tab> = (1..14)
        .map(|_| {
            let tab = browser.new_tab();
            browser.open(&console.url("/"));
            browser.wait_for_text("Live");
            tab
        })
        .collect();
    assert_eq!(viewers(&console), "1");
    get_stuck(&console);
    for tab in &tabs {
        browser.switch(tab);
        browser.wait_for_text(STUCK);
    }
    // Another tab takes over when the one with the stream closes.
    browser.switch(&first);
    browser.close_tab();
    browser.switch(&tabs[12]);
    wait_for("another tab to take over", || (viewers(&console) == "1").then_some(()));
    get_rid(&console);
    browser.wait_for_text(GONE);
    expect_peace(&browser, &console.url("/"));
}

#[test]
fn a_restart_of_the_node_is_shown_and_caught_up() {
    let (mut console, browser) = stuck();
    mark(&browser);
    console.node.kill();
    browser.wait_for_text("Not live since ");
    console.node.start();
    get_stuck(&console);
    browser.wait_for_text(STUCK);
    wait_for("the page to be live", || (browser.find("#live").text() == "Live").then_some(()));
    assert!(browser.find("#live").attribute("class").unwrap() == "live");
    let complaints = browser.complaints();
    let of_the_break = ["ERR_CONNECTION_REFUSED", "ERR_INCOMPLETE_CHUNKED_ENCODING", "ERR_CONNECTION_RESET"];
    let others: Vec<_> =
        complaints.iter().filter(|text| !of_the_break.iter().any(|known| text.contains(known))).collect();
    assert!(others.is_empty(), "{others:#?}");
}

/// A stream ends after a minute, and the page shows nothing of it.
#[test]
fn soak_a_stream_goes_on_after_its_end() {
    let (console, browser) = stuck();
    mark(&browser);
    std::thread::sleep(Duration::from_secs(60));
    get_stuck(&console);
    browser.wait_for_text(STUCK);
    assert!(is_marked(&browser));
    expect_peace(&browser, &console.url("/"));
}

#[test]
fn mail_that_flows_again_closes_the_incident_on_the_open_page() {
    let server = Server::start(Device::Tls10Only, Options::default()).unwrap();
    let (console, browser) = (Console::to_port(server.port()), Browser::start());
    console.enter(&browser);
    get_stuck(&console);
    browser.wait_for_text(STUCK);
    server.become_device(Device::Healthy).unwrap();
    console.node.run(&["queue", "retry", "--connector", "onprem"]);
    browser.wait_for_text("Mail is flowing.");
    expect_peace(&browser, &console.url("/"));
}
