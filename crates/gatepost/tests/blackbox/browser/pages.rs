//! What holds for every page: no barriers, no sideways scrolling, small, the same without script.

use std::{env, fs, path::PathBuf};

use crate::support::{free_port, http};

use super::{
    Console,
    driver::{Browser, ENTER, ESCAPE, SCREENS, Screen, TAB},
    expect_peace,
};

/// Of the HTML, in bytes.
const PAGE_MAX: usize = 60 * 1024;
/// Of style and script together, in bytes.
const ASSETS_MAX: usize = 40 * 1024;

/// The addresses of the pages in the menu.
fn menu(browser: &Browser) -> Vec<String> {
    let links = browser.run("return [...document.querySelectorAll('.menu nav a')].map((link) => link.href)");
    serde_json::from_value(links).unwrap()
}

/// What is not there yet answers 404, and has no menu.
fn is_page(browser: &Browser) -> bool {
    browser.has(".menu")
}

#[test]
fn every_page_is_free_of_barriers_on_every_screen() {
    let (console, browser) = (Console::to_port(free_port()), Browser::start());
    console.enter(&browser);
    let pages = menu(&browser);
    assert_eq!(pages.len(), 8, "{pages:?}");
    for page in pages {
        browser.open(&page);
        if is_page(&browser) {
            expect_no_barriers(&browser, &page);
        }
    }
    browser.complaints();
}

/// axe-core finds nothing on the page, and it fits the smallest screen.
pub(super) fn expect_no_barriers(browser: &Browser, page: &str) {
    for screen in SCREENS {
        browser.show_as(screen);
        browser.open(page);
        let barriers = browser.barriers();
        assert!(barriers.is_empty(), "{page} on {screen:?}: {barriers:#?}");
    }
    browser.show_as(Screen { width: 320, is_dark: false });
    assert!(!browser.scrolls_sideways(), "{page} is wider than 320 px");
    browser.show_as(SCREENS[0]);
}

#[test]
fn a_page_is_small_and_needs_three_requests() {
    let (console, browser) = (Console::to_port(free_port()), Browser::start());
    console.enter(&browser);
    browser.requests();
    browser.open(&console.url("/"));
    browser.wait_for_text("Live");
    // The icon and the stream come later. They show nothing on the page.
    let is_first = |url: &String| !url.contains("/live?") && !url.ends_with(".svg");
    let first: Vec<_> = browser.requests().into_iter().filter(is_first).collect();
    assert_eq!(first.len(), 3, "{first:?}");
    let size = |url: &String| {
        let path = url.strip_prefix(&console.url("")).unwrap();
        http(console.port, path, &[]).1.len()
    };
    let assets: usize = first.iter().filter(|url| url.contains("/assets/")).map(size).sum();
    assert!((1000..ASSETS_MAX).contains(&assets), "style and script have {assets} bytes");
    let page = browser.run("return document.documentElement.outerHTML.length").as_u64().unwrap() as usize;
    assert!((1000..PAGE_MAX).contains(&page), "the page has {page} bytes");
    expect_peace(&browser, &console.url("/"));
}

#[test]
fn pages_work_without_script() {
    let (console, browser) = (Console::to_port(free_port()), Browser::start());
    console.enter(&browser);
    browser.forbid_script();
    browser.open(&console.url("/"));
    assert!(browser.text().contains("No mail in the last hour."), "{}", browser.text());
    // It reloads, and offers no keys.
    assert!(browser.has("noscript meta[http-equiv=refresh]") && browser.has("#open-keys[hidden]"));
    browser.find_text("Overview").click();
    assert_eq!(browser.url(), console.url("/"));
}

#[test]
fn keys_can_be_turned_off() {
    let (console, browser) = (Console::to_port(free_port()), Browser::start());
    console.enter(&browser);
    assert_eq!(browser.title(), "Overview · Gatepost");
    // The first key of the keyboard's way leads past the menu.
    browser.press(TAB);
    browser.press(ENTER);
    assert_eq!(browser.url(), console.url("/#main"));
    browser.press("?");
    browser.wait_for_text("Use these keys");
    assert!(browser.barriers().is_empty(), "{:#?}", browser.barriers());
    browser.find("#use-keys").click();
    browser.press(ESCAPE);
    browser.open(&console.url("/"));
    browser.press("?");
    assert!(!browser.has("dialog[open]"));
    // The button opens the list, too, and the keyboard reaches it.
    browser.run("document.querySelector('#open-keys').focus()");
    browser.press(ENTER);
    browser.find("dialog[open]");
    browser.find("#use-keys").click();
    browser.press(ESCAPE);
    browser.press("go");
    assert_eq!(browser.url(), console.url("/"));
    expect_peace(&browser, &console.url("/"));
}

/// `scripts/screenshots` looks at them.
#[test]
#[ignore = "makes pictures for people"]
fn screenshots() {
    let folder = PathBuf::from(env::var("GATEPOST_SCREENSHOTS").expect("GATEPOST_SCREENSHOTS names a folder"));
    fs::create_dir_all(&folder).unwrap();
    let held = super::held::Held::start();
    let browser = Browser::start();
    held.enter(&browser);
    held.wait_for_incident(&browser);
    for page in menu(&browser) {
        let name = page.trim_end_matches('/').rsplit('/').next().unwrap().to_owned();
        let name = if name.contains(':') { "overview".to_owned() } else { name };
        for screen in SCREENS {
            browser.show_as(screen);
            browser.open(&page);
            if !is_page(&browser) {
                break;
            }
            let shade = if screen.is_dark { "dark" } else { "light" };
            fs::write(folder.join(format!("{name}-{}-{shade}.png", screen.width)), browser.screenshot()).unwrap();
        }
    }
}
