//! What a browser does for the tests of the console: it keeps cookies, and says where a form comes from.

use std::{
    collections::BTreeMap,
    io::{Read, Write},
    net::{Ipv4Addr, TcpStream},
};

use super::Node;

pub(crate) const PASSWORD: &str = "correct horse battery";

pub(crate) struct Browser {
    port: u16,
    cookies: BTreeMap<String, String>,
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Answer {
    /// The name in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }
}

impl Browser {
    /// At a console on this machine.
    pub(crate) fn at(port: u16) -> Self {
        Self { port, cookies: BTreeMap::new() }
    }

    pub(crate) fn get(&mut self, path: &str) -> Answer {
        self.get_as(path, &[])
    }

    pub(crate) fn get_as(&mut self, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.send("GET", path, headers, "")
    }

    /// Sends a form of the console's own page. It follows no redirect.
    pub(crate) fn post(&mut self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let origin = format!("http://127.0.0.1:{}", self.port);
        self.post_as(path, fields, &[("Origin", &origin)])
    }

    /// Sends a form with other headers about where it comes from.
    pub(crate) fn post_as(&mut self, path: &str, fields: &[(&str, &str)], headers: &[(&str, &str)]) -> Answer {
        let encode = |text: &str| -> String {
            let byte = |byte: u8| match byte.is_ascii_alphanumeric() {
                true => char::from(byte).to_string(),
                false => format!("%{byte:02X}"),
            };
            text.bytes().map(byte).collect()
        };
        let body: Vec<_> = fields.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect();
        let kind = ("Content-Type", "application/x-www-form-urlencoded");
        self.send("POST", path, &[headers, &[kind]].concat(), &body.join("&"))
    }

    /// The token in the forms of a page.
    pub(crate) fn token(&mut self, path: &str) -> String {
        let page = self.get(path).body;
        let (_, rest) = page.split_once("name=\"csrf\" value=\"").expect("a form with a token");
        rest.split_once('"').unwrap().0.to_owned()
    }

    pub(crate) fn send(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let mut request =
            format!("{method} {path} HTTP/1.1\r\nConnection: close\r\nContent-Length: {}\r\n", body.len());
        let host = format!("127.0.0.1:{}", self.port);
        let is_named = headers.iter().any(|(name, _)| *name == "Host");
        let host = [("Host", host.as_str())];
        for (name, value) in headers.iter().chain(host.iter().filter(|_| !is_named)) {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        let cookies: Vec<_> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        if !cookies.is_empty() {
            request.push_str(&format!("Cookie: {}\r\n", cookies.join("; ")));
        }
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        // A node may refuse what is too long before it has read all of it.
        let _ = stream.write_all(format!("\r\n{body}").as_bytes());
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        let answer = read(&String::from_utf8(answer).unwrap());
        for (_, cookie) in answer.headers.iter().filter(|(name, _)| name == "set-cookie") {
            let (name, value) = cookie.split(';').next().unwrap().split_once('=').unwrap();
            match value {
                "" => self.cookies.remove(name),
                value => self.cookies.insert(name.to_owned(), value.to_owned()),
            };
        }
        answer
    }
}

fn read(answer: &str) -> Answer {
    let (head, body) = answer.split_once("\r\n\r\n").expect("an answer with a head");
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let header = |line: &str| line.split_once(": ").map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()));
    Answer { status, headers: head.lines().skip(1).filter_map(header).collect(), body: body.to_owned() }
}

/// The path of the link that an invitation prints.
fn invite(node: &Node, name: &str, role: &str) -> String {
    let invited = node.json(&["user", "invite", name, "--role", role]);
    let url = invited["url"].as_str().unwrap();
    url[url.find("/invite/").unwrap()..].to_owned()
}

/// A browser in which that new user is logged in.
pub(crate) fn user(node: &Node, port: u16, name: &str, role: &str) -> Browser {
    let mut browser = Browser::at(port);
    let answer = browser.post(&invite(node, name, role), &[("password", PASSWORD), ("repeated", PASSWORD)]);
    assert_eq!((answer.status, answer.header("location")), (303, Some("/")), "{}", answer.body);
    browser
}
