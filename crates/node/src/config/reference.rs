//! `gatepost config reference`: every setting with its documentation, type and default, as a valid configuration file.
//!
//! Invariants: the unchanged output means the defaults. A line that begins with `#` and no space is a setting. Without
//! the `#` it sets the default, or the example of a required key.

use std::fmt::Write;

use serde_json::Value;

use super::check::{SCHEMA, choices, has_type};

/// Longest line, in characters.
const COLUMNS_MAX: usize = 100;

const HEAD: &str = "All settings of gatepost.toml with their defaults. To change a setting, remove its # and edit the value.\n\n\
    Durations are numbers with a unit, such as \"500ms\", \"90s\", \"15m\", \"24h\", \"5d\" or \"1h30m\". Sizes are \
    \"64KiB\", \"50MiB\", \"1GiB\", or a number of bytes. Relative paths start at the folder of this file. To reload \
    the configuration of a running node, send it SIGHUP. If the file has errors, the node reports them and keeps the \
    old configuration.";

/// The reference, as TOML.
pub fn reference() -> String {
    let mut output = String::new();
    comment(&mut output, HEAD);
    for (key, schema) in properties(&SCHEMA) {
        output.push('\n');
        match has_type(schema, "array") {
            true => table(&mut output, &format!("[[{key}]]"), key, &schema["items"], "#"),
            false => table(&mut output, &format!("[{key}]"), key, schema, ""),
        }
    }
    output
}

/// One table. `mark` comes before its header: `#` if the table must not exist by default.
fn table(output: &mut String, header: &str, path: &str, schema: &Value, mark: &str) {
    comment(output, description(schema));
    put(output, format_args!("{mark}{header}"));
    let (tables, settings): (Vec<_>, Vec<_>) = properties(schema).partition(|(_, schema)| has_type(schema, "object"));
    for (key, setting_schema) in settings {
        let required = schema["required"].as_array().is_some_and(|keys| keys.iter().any(|required| required == key));
        output.push('\n');
        setting(output, key, setting_schema, required);
    }
    for (key, schema) in tables {
        output.push('\n');
        let path = format!("{path}.{key}");
        table(output, &format!("[{path}]"), &path, schema, mark);
    }
}

fn setting(output: &mut String, key: &str, schema: &Value, required: bool) {
    comment(output, description(schema));
    for choice in schema["oneOf"].as_array().into_iter().flatten() {
        if let Some(name) = choice["const"].as_str() {
            comment(output, &format!("\"{name}\": {}", description(choice)));
        }
    }
    let example = &schema["examples"][0];
    let necessity = if required { ", required" } else { "" };
    comment(output, &format!("Type: {}{necessity}.", type_name(schema)));
    match (&schema["default"], required) {
        (_, true) => put(output, format_args!("#{key} = {}", toml(example))),
        (Value::Null, false) => comment(output, &format!("Unset; for example: {key} = {}", toml(example))),
        (default, false) => put(output, format_args!("#{key} = {}", toml(default))),
    }
}

fn properties(schema: &Value) -> impl Iterator<Item = (&String, &Value)> {
    schema["properties"].as_object().into_iter().flatten()
}

fn description(schema: &Value) -> &str {
    schema["description"].as_str().unwrap_or_default()
}

fn type_name(schema: &Value) -> String {
    let choices = choices(schema);
    if !choices.is_empty() {
        return format!("one of \"{}\"", choices.join("\", \""));
    }
    if has_type(schema, "array") {
        return format!("list of {}", type_name(&schema["items"]));
    }
    let plain = match schema["format"].as_str() {
        Some("duration") => "duration",
        Some("deadline") => "duration or \"never\"",
        Some("size") => "size",
        Some("network") => "address or address/prefix length",
        Some("rate") => "messages/s, messages/min or messages/h",
        Some("path") => "path",
        Some("domain") => "domain",
        Some("host") => "host or host:port",
        Some("host-name") => "host name",
        Some("socket-address") => "address:port",
        Some("webhook") => "URL",
        _ if has_type(schema, "boolean") => "true or false",
        _ if has_type(schema, "integer") => return format!("integer, {} or more", schema["minimum"]),
        _ => "string",
    };
    plain.to_owned()
}

/// A JSON value as TOML on one line.
fn toml(value: &Value) -> String {
    toml::Value::try_from(value).map(|value| value.to_string()).unwrap_or_default()
}

/// Writes `text` as comment lines. An empty line separates paragraphs.
fn comment(output: &mut String, text: &str) {
    for (index, paragraph) in text.split("\n\n").enumerate() {
        if index > 0 {
            output.push_str("#\n");
        }
        let mut line = String::from("#");
        for word in paragraph.split_whitespace() {
            if line.chars().count() + 1 + word.chars().count() > COLUMNS_MAX {
                put(output, format_args!("{line}"));
                line = String::from("#");
            }
            line.push(' ');
            line.push_str(word);
        }
        put(output, format_args!("{line}"));
    }
}

fn put(output: &mut String, line: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _ = writeln!(output, "{line}");
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::{AcceptedDomain, ApiScope, ApiToken, Config, Connector, Hosts, NamedPolicy, Version};
    use super::*;

    fn parse(text: &str) -> Config {
        Config::parse(text, Path::new("gatepost.toml")).unwrap_or_else(|errors| panic!("{errors}\n{text}"))
    }

    fn uncommented(text: &str) -> String {
        let line = |line: &str| match line.strip_prefix('#') {
            Some(setting) if !setting.starts_with(' ') => format!("{setting}\n"),
            _ => format!("{line}\n"),
        };
        text.lines().map(line).collect()
    }

    #[test]
    fn the_reference_in_the_documents_is_this_one() {
        let documents = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/gatepost.toml");
        let written = std::fs::read_to_string(documents).unwrap();
        assert_eq!(written, reference(), "write it again: gatepost config reference > docs/reference/gatepost.toml");
    }

    #[test]
    fn as_it_is_it_means_the_defaults() {
        assert_eq!(parse(&reference()), parse(""));
    }

    #[test]
    fn uncommented_it_says_the_defaults() {
        let config: Config = toml::from_str(&uncommented(&reference())).unwrap();
        let connector = Connector {
            name: "onprem".to_owned(),
            hosts: Hosts::SmartHosts(vec!["127.0.0.1:2600".parse().unwrap()]),
            ..Connector::default()
        };
        let domain = AcceptedDomain { name: "onprem.test".to_owned(), connector: "onprem".to_owned() };
        let policy = NamedPolicy { name: "no-rc4".to_owned(), minimum: Version::Tls10, ..NamedPolicy::default() };
        let token = ApiToken {
            name: "monitoring".to_owned(),
            sha256: "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855".to_owned(),
            scopes: vec![ApiScope::Trace, ApiScope::Metrics],
        };
        let expected = Config {
            accepted_domains: vec![domain],
            connectors: vec![connector],
            tls_policies: vec![policy],
            api_tokens: vec![token],
            ..Config::default()
        };
        assert_eq!(config, expected);
        parse(&uncommented(&reference()));
    }

    #[test]
    fn every_setting_is_documented() {
        fn walk(path: &str, schema: &Value) {
            for (key, schema) in properties(schema) {
                let path = format!("{path}.{key}");
                assert!(key == "timeouts" || !description(schema).is_empty() || !schema["items"].is_null(), "{path}");
                let answered = !schema["default"].is_null() || !schema["examples"].is_null();
                assert!(answered, "{path} has neither default nor example");
                assert!(schema["anyOf"].is_null(), "{path} has its schema deeper, where no check finds it");
                walk(&path, schema);
                walk(&path, &schema["items"]);
            }
        }
        walk("", &SCHEMA);
    }

    #[test]
    fn lines_fit() {
        for line in reference().lines() {
            assert!(line.chars().count() <= COLUMNS_MAX && line.trim_end() == line, "{line}");
        }
    }
}
