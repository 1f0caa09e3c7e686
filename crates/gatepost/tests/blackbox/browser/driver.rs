//! Chromium without a window, driven over WebDriver. It reaches nothing but this machine, and notes each request and each
//! violation of a page's security policy.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Stdio},
    time::Duration,
};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{foreign::peers, free_port, wait_for};

/// Slow, because other tests run beside it.
const PATIENCE: Duration = Duration::from_secs(60);
/// W3C WebDriver's name for a reference to an element.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// Keys that have no character.
pub(crate) const ENTER: &str = "\u{e007}";
pub(crate) const TAB: &str = "\u{e004}";
pub(crate) const ESCAPE: &str = "\u{e00c}";

/// How a page is shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Screen {
    pub width: u32,
    pub is_dark: bool,
}

pub(crate) const SCREENS: [Screen; 4] = [
    Screen { width: 1280, is_dark: false },
    Screen { width: 1280, is_dark: true },
    Screen { width: 375, is_dark: false },
    Screen { width: 375, is_dark: true },
];

pub(crate) struct Browser {
    driver: Child,
    port: u16,
    session: String,
    /// Profile, fonts and logs.
    folder: TempDir,
}

impl Browser {
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = free_port();
        let fonts = folder.path().join("fonts.conf");
        fs::write(&fonts, fonts_of(peers().root(), folder.path())).unwrap();
        let log = fs::File::create(folder.path().join("driver.log")).unwrap();
        let mut command = peers().command("usr/bin/chromedriver");
        command.arg(format!("--port={port}")).env("FONTCONFIG_FILE", fonts).env("HOME", folder.path());
        command.env_remove("DISPLAY").env_remove("DBUS_SESSION_BUS_ADDRESS");
        let driver = command.stdout(log.try_clone().unwrap()).stderr(log).stdin(Stdio::null()).spawn().unwrap();
        let mut browser = Self { driver, port, session: String::new(), folder };
        wait_for("chromedriver", || TcpStream::connect(("127.0.0.1", port)).ok());
        let session = browser.call("POST", "/session", &capabilities(peers().root(), browser.folder.path()));
        browser.session = session["sessionId"].as_str().expect("a session of chromedriver").to_owned();
        browser.watch_security_policy();
        browser.show_as(SCREENS[0]);
        // Those of the browser's own first page.
        browser.requests();
        browser
    }

    /// Violations go to the console of the page, where [`Browser::complaints`] finds them.
    fn watch_security_policy(&self) {
        let script = "addEventListener('securitypolicyviolation', (event) => console.error('security policy: ' + \
            event.violatedDirective + ' ' + event.blockedURI + ' ' + event.sourceFile + ':' + event.lineNumber));";
        self.devtools("Page.addScriptToEvaluateOnNewDocument", json!({ "source": script }));
    }

    pub(crate) fn open(&self, url: &str) {
        self.post("url", json!({ "url": url }));
    }

    pub(crate) fn url(&self) -> String {
        self.get("url").as_str().unwrap().to_owned()
    }

    pub(crate) fn title(&self) -> String {
        self.get("title").as_str().unwrap().to_owned()
    }

    /// Waits for an element.
    pub(crate) fn find(&self, selector: &str) -> Element<'_> {
        self.find_by("css selector", selector)
    }

    /// Waits for the link, button or field label with this text.
    pub(crate) fn find_text(&self, text: &str) -> Element<'_> {
        assert!(!text.contains('"'), "{text}");
        let named = format!("[contains(normalize-space(.), \"{text}\")]");
        self.find_by("xpath", &format!("//a{named} | //button{named} | //summary{named} | //label{named}"))
    }

    fn find_by(&self, using: &str, value: &str) -> Element<'_> {
        let ids = wait_for(&format!("{value} on {}", self.url()), || {
            let found = self.post("elements", json!({ "using": using, "value": value }));
            Some(found.as_array()?.clone()).filter(|found| !found.is_empty())
        });
        Element { browser: self, id: ids[0][ELEMENT].as_str().unwrap().to_owned() }
    }

    pub(crate) fn has(&self, selector: &str) -> bool {
        let found = self.post("elements", json!({ "using": "css selector", "value": selector }));
        !found.as_array().unwrap().is_empty()
    }

    /// What a person reads on the page.
    pub(crate) fn text(&self) -> String {
        // Another page may just have taken its place.
        wait_for("the text of a page", || self.find("body").try_text())
    }

    /// Waits until the page shows a text, without loading it again.
    pub(crate) fn wait_for_text(&self, text: &str) {
        wait_for(&format!("{text:?} on {}, which shows:\n{}", self.url(), self.text()), || {
            self.text().contains(text).then_some(())
        });
    }

    /// Types into what has the focus.
    pub(crate) fn press(&self, keys: &str) {
        let actions: Vec<Value> = keys
            .chars()
            .flat_map(|key| [json!({ "type": "keyDown", "value": key }), json!({ "type": "keyUp", "value": key })])
            .collect();
        self.post("actions", json!({ "actions": [{ "type": "key", "id": "keyboard", "actions": actions }] }));
    }

    /// Runs a function's body in the page; its result.
    pub(crate) fn run(&self, script: &str) -> Value {
        self.post("execute/sync", json!({ "script": script, "args": [] }))
    }

    /// As [`Browser::run`], but the last argument is a function that takes the result.
    fn run_later(&self, script: &str) -> Value {
        self.post("execute/async", json!({ "script": script, "args": [] }))
    }

    /// A command of Chromium's own protocol.
    pub(crate) fn devtools(&self, command: &str, parameters: Value) -> Value {
        self.post("goog/cdp/execute", json!({ "cmd": command, "params": parameters }))
    }

    pub(crate) fn show_as(&self, screen: Screen) {
        let size = json!({ "width": screen.width, "height": 900, "deviceScaleFactor": 1, "mobile": false });
        self.devtools("Emulation.setDeviceMetricsOverride", size);
        let scheme = if screen.is_dark { "dark" } else { "light" };
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        self.devtools("Emulation.setEmulatedMedia", json!({ "features": features }));
    }

    /// As with script forbidden in the settings. It holds from the next page on.
    pub(crate) fn forbid_script(&self) {
        self.devtools("Emulation.setScriptExecutionDisabled", json!({ "value": true }));
    }

    /// Opens another tab and switches to it.
    pub(crate) fn new_tab(&self) -> Tab {
        let tab = self.post("window/new", json!({ "type": "tab" }));
        let tab = Tab(tab["handle"].as_str().unwrap().to_owned());
        self.switch(&tab);
        self.watch_security_policy();
        tab
    }

    pub(crate) fn this_tab(&self) -> Tab {
        Tab(self.get("window").as_str().unwrap().to_owned())
    }

    pub(crate) fn switch(&self, tab: &Tab) {
        self.post("window", json!({ "handle": tab.0 }));
    }

    pub(crate) fn close_tab(&self) {
        self.call("DELETE", &format!("/session/{}/window", self.session), &Value::Null);
    }

    /// The whole page as PNG.
    pub(crate) fn screenshot(&self) -> Vec<u8> {
        let parameters = json!({ "format": "png", "captureBeyondViewport": true });
        let png = self.devtools("Page.captureScreenshot", parameters);
        data_encoding::BASE64.decode(png["data"].as_str().unwrap().as_bytes()).unwrap()
    }

    /// True if the page is wider than the window.
    pub(crate) fn scrolls_sideways(&self) -> bool {
        self.run("return document.documentElement.scrollWidth > innerWidth").as_bool().unwrap()
    }

    /// What axe-core finds on the page: rule, help and the elements.
    pub(crate) fn barriers(&self) -> Vec<String> {
        let axe = fs::read_to_string(axe()).unwrap();
        self.devtools("Runtime.evaluate", json!({ "expression": axe }));
        let found = self.run_later(
            "const done = arguments[0]; axe.run({ resultTypes: ['violations'] }).then((result) => done(result.violations\
             .map((rule) => rule.id + ': ' + rule.help + ': ' + rule.nodes.map((node) => node.target + ' ' + \
             node.failureSummary).join('; '))), (error) => done(['axe failed: ' + error]))",
        );
        serde_json::from_value(found).unwrap()
    }

    /// The addresses that pages have asked for since the last call.
    pub(crate) fn requests(&self) -> Vec<String> {
        let messages = self.log("performance").into_iter().map(|text| serde_json::from_str::<Value>(&text).unwrap());
        let sent = messages.filter(|message| message["message"]["method"] == "Network.requestWillBeSent");
        sent.map(|message| message["message"]["params"]["request"]["url"].as_str().unwrap().to_owned()).collect()
    }

    /// What pages have written to their console since the last call, such as violations of their security policy.
    pub(crate) fn complaints(&self) -> Vec<String> {
        self.log("browser")
    }

    fn log(&self, kind: &str) -> Vec<String> {
        let log = self.post("se/log", json!({ "type": kind }));
        log.as_array().unwrap().iter().map(|entry| entry["message"].as_str().unwrap().to_owned()).collect()
    }

    fn get(&self, path: &str) -> Value {
        self.call("GET", &format!("/session/{}/{path}", self.session), &Value::Null)
    }

    fn post(&self, path: &str, body: Value) -> Value {
        self.call("POST", &format!("/session/{}/{path}", self.session), &body)
    }

    fn call(&self, method: &str, path: &str, body: &Value) -> Value {
        let (status, value) = self.try_call(method, path, body);
        assert_eq!(status, 200, "{method} {path} {body}: {value:#}");
        value
    }

    fn try_call(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n",
            self.port,
            body.len()
        );
        stream.write_all(&[head.as_bytes(), body.as_bytes()].concat()).unwrap();
        answer(stream)
    }
}

/// Status and value of an answer. chromedriver keeps the connection open.
fn answer(stream: TcpStream) -> (u16, Value) {
    let mut reader = BufReader::new(stream);
    let (mut head, mut length) = (String::new(), 0);
    while !head.ends_with("\r\n\r\n") {
        let mut line = String::new();
        assert!(reader.read_line(&mut line).unwrap() > 0, "chromedriver has ended");
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        head += &line;
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, serde_json::from_slice::<Value>(&body).unwrap()["value"].take())
}

impl Drop for Browser {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = fs::read_to_string(self.folder.path().join("driver.log")).unwrap_or_default();
            let end = log.len().saturating_sub(4000);
            eprintln!("the end of chromedriver's log:\n{}", log.get(end..).unwrap_or_default());
        }
        // Ends Chromium, too.
        if let Ok(mut stream) = TcpStream::connect(("127.0.0.1", self.port)) {
            let _ = write!(stream, "DELETE /session/{} HTTP/1.1\r\nHost: localhost\r\n\r\n", self.session);
            let _ = stream.set_read_timeout(Some(Duration::from_secs(5)));
            let _ = stream.read(&mut [0; 1]);
        }
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Tab(String);

/// An element of the page that is open.
pub(crate) struct Element<'a> {
    browser: &'a Browser,
    id: String,
}

impl Element<'_> {
    /// False: the page has just put another element in its place.
    pub(crate) fn try_click(&self) -> bool {
        let path = format!("/session/{}/element/{}/click", self.browser.session, self.id);
        self.browser.try_call("POST", &path, &json!({})).0 == 200
    }

    pub(crate) fn click(&self) {
        self.browser.post(&format!("element/{}/click", self.id), json!({}));
    }

    pub(crate) fn type_in(&self, text: &str) {
        self.browser.post(&format!("element/{}/value", self.id), json!({ "text": text }));
    }

    fn try_text(&self) -> Option<String> {
        let path = format!("/session/{}/element/{}/text", self.browser.session, self.id);
        let (status, text) = self.browser.try_call("GET", &path, &Value::Null);
        (status == 200).then(|| text.as_str().unwrap().to_owned())
    }

    pub(crate) fn text(&self) -> String {
        self.browser.get(&format!("element/{}/text", self.id)).as_str().unwrap().to_owned()
    }

    pub(crate) fn attribute(&self, name: &str) -> Option<String> {
        self.browser.get(&format!("element/{}/attribute/{name}", self.id)).as_str().map(str::to_owned)
    }
}

fn capabilities(root: &Path, folder: &Path) -> Value {
    let arguments = [
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--disable-dev-shm-usage",
        "--hide-scrollbars",
        // Names other than this machine's lead nowhere, whatever a page may try.
        "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
    ];
    let profile = format!("--user-data-dir={}", folder.join("profile").display());
    let arguments: Vec<_> = arguments.into_iter().map(str::to_owned).chain([profile]).collect();
    json!({ "capabilities": { "alwaysMatch": {
        "browserName": "chrome",
        "timeouts": { "script": 60_000, "pageLoad": 60_000 },
        "goog:loggingPrefs": { "performance": "ALL", "browser": "ALL" },
        "goog:chromeOptions": { "binary": root.join("usr/lib/chromium/chromium"), "args": arguments },
    } } })
}

/// Only the fonts that were unpacked with the browser, so that pages look the same on every machine.
fn fonts_of(root: &Path, folder: &Path) -> String {
    format!(
        "<?xml version=\"1.0\"?><!DOCTYPE fontconfig SYSTEM \"fonts.dtd\"><fontconfig><dir>{}/usr/share/fonts</dir>\
         <cachedir>{}/fonts</cachedir></fontconfig>",
        root.display(),
        folder.display()
    )
}

fn axe() -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/peers/axe/axe_playwright_python/axe.min.js");
    assert!(path.exists(), "{} is missing; run ./test, which unpacks it", path.display());
    path
}
