//! Finds all faults of a file at once, each with its place.
//!
//! First the document is compared with the schema of [`Config`]: unknown and missing keys, wrong types, bad values.
//! Then the names in it are checked: references to nothing, and duplicates.

use std::{collections::HashSet, net::SocketAddr, ops::Range, sync::LazyLock};

use insight::units::{ByteSize, Deadline, Duration, Rate};
use protocol::tls::TlsPolicy;
use schemars::generate::SchemaSettings;
use serde_json::Value;
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};
use trace::NextStep;

use super::{
    error::Fault,
    hosts::{self, SmartHost},
    network::Network,
    place::get,
    settings::{Config, INTERNET, NamedPolicy},
    spelling::{hint, hint_among},
};

/// Schema of the whole file, without references between its parts.
pub(super) static SCHEMA: LazyLock<Value> = LazyLock::new(|| {
    let settings = SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
    settings.into_generator().into_root_schema_for::<Config>().to_value()
});

pub(super) fn check(text: &str) -> Vec<Fault> {
    // Report only the first syntax error: the others mostly follow from it.
    let document = match DeTable::parse(text) {
        Ok(document) => document,
        Err(error) => return vec![Fault::from(error)],
    };
    let mut walk = Walk { faults: Vec::new() };
    walk.table(&SCHEMA, document.get_ref(), 0..0);
    walk.faults.extend(check_names(document.get_ref()));
    walk.faults.extend(check_certificates(document.get_ref()));
    walk.faults.extend(check_api(document.get_ref()));
    walk.faults.extend(check_watch(document.get_ref()));
    walk.faults.extend(check_store(document.get_ref()));
    // OpenSSL can check a policy only if all its types are right.
    if walk.faults.is_empty() {
        walk.faults.extend(check_policies(document.get_ref()));
    }
    walk.faults
}

struct Walk {
    faults: Vec<Fault>,
}

impl Walk {
    fn fault(&mut self, span: Range<usize>, message: impl Into<String>) {
        self.faults.push(Fault::new(span, message));
    }

    /// `span` is the place to report when a key is missing.
    fn table(&mut self, schema: &Value, table: &DeTable<'_>, span: Range<usize>) {
        let Some(properties) = schema["properties"].as_object() else {
            return;
        };
        for (key, value) in table.iter() {
            match properties.get(key.get_ref().as_ref()) {
                Some(schema) => self.value(schema, value, key.get_ref()),
                None => {
                    let hint = hint(key.get_ref(), "keys here are:", properties.keys().map(String::as_str));
                    self.fault(key.span(), format!("unknown key \"{}\"; {hint}", key.get_ref()));
                }
            }
        }
        for key in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            if get(table, key).is_none() {
                self.fault(span.clone(), format!("the key \"{key}\" is missing"));
            }
        }
    }

    fn value(&mut self, schema: &Value, value: &Spanned<DeValue<'_>>, key: &str) {
        let span = value.span();
        match value.get_ref() {
            DeValue::Table(table) if has_type(schema, "object") => self.table(schema, table, span),
            DeValue::Array(items) if has_type(schema, "array") => {
                if (items.len() as u64) < schema["minItems"].as_u64().unwrap_or(0) {
                    self.fault(span, format!("{key} must not be empty"));
                }
                for item in items.iter() {
                    let alone = items.len() == 1 && item.get_ref().as_str() == Some(hosts::MX);
                    match item.get_ref() {
                        DeValue::String(_) if alone && schema["items"]["format"] == "host" => {}
                        DeValue::String(text)
                            if has_type(&schema["items"], "string") && choices(&schema["items"]).is_empty() =>
                        {
                            self.text(&schema["items"], text, item.span(), key);
                        }
                        _ => self.value(&schema["items"], item, &format!("each entry of {key}")),
                    }
                }
            }
            DeValue::String(text) if !choices(schema).is_empty() => {
                let choices = choices(schema);
                if !choices.iter().any(|choice| choice == text) {
                    let hint = hint(text, "allowed values are:", choices.into_iter());
                    self.fault(span, format!("{key} cannot be \"{text}\"; {hint}"));
                }
            }
            DeValue::String(text) if has_type(schema, "string") => self.text(schema, text, span, key),
            DeValue::Integer(number) if has_type(schema, "integer") => match schema["format"].as_str() {
                Some("size") => self.text(schema, number.as_str(), span, key),
                _ => self.integer(schema, number, span, key),
            },
            DeValue::Boolean(_) if has_type(schema, "boolean") => {}
            other => {
                self.fault(span, format!("{key} must be {}, not {}", expected(schema), article(other.type_str())));
            }
        }
    }

    fn text(&mut self, schema: &Value, text: &str, span: Range<usize>, key: &str) {
        if let Some(fault) = schema["format"].as_str().and_then(|format| check_text(format, text).err()) {
            self.fault(span, format!("{key}: {fault}"));
        }
    }

    fn integer(&mut self, schema: &Value, number: &toml::de::DeInteger<'_>, span: Range<usize>, key: &str) {
        let minimum = schema["minimum"].as_i64().unwrap_or(0);
        let maximum = schema["maximum"].as_i64().unwrap_or(i64::from(u32::MAX));
        match i64::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) if (minimum..=maximum).contains(&number) => {}
            _ => self.fault(span, format!("{key} must be between {minimum} and {maximum}")),
        }
    }
}

/// Checks a text by the schema's `format`.
fn check_text(format: &str, text: &str) -> Result<(), String> {
    match format {
        "duration" => text.parse::<Duration>().map(drop),
        "deadline" => text.parse::<Deadline>().map(drop),
        "size" => text.parse::<ByteSize>().map(drop),
        "rate" => text.parse::<Rate>().map(drop),
        "host" => text.parse::<SmartHost>().map(drop),
        "network" => text.parse::<Network>().map(drop),
        "socket-address" => text
            .parse::<SocketAddr>()
            .map(drop)
            .map_err(|_| format!("\"{text}\" is not an address:port, such as \"127.0.0.1:2525\" or \"[::1]:2525\"")),
        "domain" if !is_domain(text) => Err(format!("\"{text}\" is not a domain, such as \"example.org\"")),
        // Empty means the default, which comes from the machine or from another setting.
        "host-name" if !text.is_empty() && !hosts::is_host_name(text) => {
            Err(format!("\"{text}\" is not a host name, such as \"mail.example.org\""))
        }
        "name" if text.chars().any(char::is_control) => Err("a name must not contain control characters".to_owned()),
        "sha256" if !(text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())) => {
            Err(format!("not a SHA-256 of 64 hexadecimal digits; create a token with: {}", NextStep::ApiToken))
        }
        "origin" if !hosts::is_origin(text) => Err(format!(
            "\"{text}\" is not a URL such as \"https://gatepost.example.org\", without a path and without the usual port; http:// is \
             allowed for this machine only"
        )),
        "webhook" => net::webhook::Url::parse(text).map(drop),
        "postgres" => store::PostgresSettings::new(text).map(drop).map_err(|error| error.to_string()),
        "bodies" => store::BodyPlace::parse(text).map(drop).map_err(|error| error.to_string()),
        "s3-endpoint" => store::Origin::parse(text).map(drop).map_err(|error| error.to_string()),
        "path" if text.is_empty() => Err("a path must not be empty".to_owned()),
        _ => Ok(()),
    }
}

/// A domain name, with `*.` before it for all its subdomains, but not an address literal.
fn is_domain(text: &str) -> bool {
    let name = text.strip_prefix("*.").unwrap_or(text);
    !name.starts_with('[') && hosts::is_host_name(name)
}

/// A name that other parts of the file may refer to.
struct Named<'a> {
    name: &'a str,
    span: Range<usize>,
}

/// The strings under `key` in all tables of the array `array`.
fn names<'a>(document: &'a DeTable<'_>, array: &str, key: &str) -> Vec<Named<'a>> {
    tables(document, array).filter_map(|table| get(table, key)).filter_map(named).collect()
}

fn named<'a>(value: &'a Spanned<DeValue<'_>>) -> Option<Named<'a>> {
    Some(Named { name: value.get_ref().as_str()?, span: value.span() })
}

fn check_names(document: &DeTable<'_>) -> Vec<Fault> {
    let mut connectors = names(document, "connector", "name");
    let mut domains = names(document, "accepted_domain", "name");
    let mut faults = Vec::new();
    for Named { name, span } in &connectors {
        if name.is_empty() {
            faults.push(Fault::new(span.clone(), "a connector's name must not be empty"));
        } else if *name == INTERNET {
            faults.push(Fault::new(
                span.clone(),
                "the name \"internet\" is reserved for the built-in connector; choose another name",
            ));
        }
    }
    faults.extend(duplicates("connector", &mut connectors, |name| name.to_owned()));
    faults.extend(duplicates("accepted domain", &mut domains, protocol::smtp::address::domain_key));

    let mut references = names(document, "accepted_domain", "connector");
    let notices = get(document, "notices").and_then(|notices| get(notices.get_ref().as_table()?, "connector"));
    references.extend(notices.and_then(named));
    for Named { name, span } in references {
        let known = || connectors.iter().map(|connector| connector.name).filter(|name| *name != INTERNET);
        if name != INTERNET && !known().any(|connector| connector == name) {
            let hint = match connectors.is_empty() {
                true => "the file has no [[connector]]; add one".to_owned(),
                false => hint(name, "connectors are:", known()),
            };
            faults.push(Fault::new(span, format!("unknown connector \"{name}\"; {hint}")));
        }
    }
    faults.extend(check_policy_names(document));
    faults
}

/// The built-in policy that is never weaker than what was meant.
const MODERN: &str = "modern";

fn check_policy_names(document: &DeTable<'_>) -> Vec<Fault> {
    let built_in = TlsPolicy::built_in().map(|policy| policy.name);
    let mut policies = names(document, "tls_policy", "name");
    let mut faults = Vec::new();
    for Named { name, span } in &policies {
        if name.is_empty() {
            faults.push(Fault::new(span.clone(), "a TLS policy's name must not be empty"));
        } else if built_in.iter().any(|policy| policy == name) {
            faults
                .push(Fault::new(span.clone(), format!("the TLS policy \"{name}\" is built in; choose another name")));
        }
    }
    faults.extend(duplicates("TLS policy", &mut policies, |name| name.to_owned()));
    let known = || built_in.iter().map(String::as_str).chain(policies.iter().map(|policy| policy.name));
    for Named { name, span } in names(document, "connector", "tls_policy") {
        if !known().any(|policy| policy == name) {
            // Never suggest a policy of the file: it may be weaker than the one that was meant.
            let hint = hint_among(name, "TLS policies are:", known(), [MODERN].into_iter());
            faults.push(Fault::new(span, format!("unknown TLS policy \"{name}\"; {hint}")));
        }
    }
    faults
}

/// Removes names that are already in use, with a fault for each.
fn duplicates(what: &str, names: &mut Vec<Named<'_>>, key: impl Fn(&str) -> String) -> Vec<Fault> {
    let mut seen = HashSet::new();
    let repeated = names.extract_if(.., |named| !seen.insert(key(named.name)));
    repeated
        .map(|Named { name, span }| {
            Fault::new(span, format!("{what} \"{name}\" is defined twice; remove or rename one"))
        })
        .collect()
}

/// A certificate needs its key, and a key needs its certificate.
fn check_certificates(document: &DeTable<'_>) -> Vec<Fault> {
    let inbound = get(document, "inbound").and_then(|inbound| inbound.get_ref().as_table());
    inbound.into_iter().chain(tables(document, "connector")).filter_map(check_certificate).collect()
}

fn check_certificate(table: &DeTable<'_>) -> Option<Fault> {
    match (get(table, "tls_certificate"), get(table, "tls_key")) {
        (Some(certificate), None) => Some(Fault::new(certificate.span(), "tls_certificate requires tls_key; set both")),
        (None, Some(key)) => Some(Fault::new(key.span(), "tls_key requires tls_certificate; set both")),
        (Some(_), Some(_)) | (None, None) => None,
    }
}

/// Users on other machines need a token with a scope that the address serves.
fn check_api(document: &DeTable<'_>) -> Vec<Fault> {
    let mut tokens = names(document, "api_token", "name");
    let mut faults = duplicates("API token", &mut tokens, |name| name.to_owned());
    type IsWanted = fn(&str) -> bool;
    // Without scopes, a token reads all that there is.
    let has_scope = |token: &DeTable<'_>, is_wanted: IsWanted| match get(token, "scopes") {
        Some(scopes) => {
            let scopes = scopes.get_ref().as_array().into_iter().flatten();
            scopes.filter_map(|scope| scope.get_ref().as_str()).any(is_wanted)
        }
        None => true,
    };
    let sections: [(_, _, IsWanted); 2] = [
        ("api", "a scope other than metrics", |scope| scope != "metrics"),
        ("metrics", "the scope metrics", |scope| scope == "metrics"),
    ];
    for (section, what, is_wanted) in sections {
        if tables(document, "api_token").any(|token| has_scope(token, is_wanted)) {
            continue;
        }
        let listen = get(document, section).and_then(|table| get(table.get_ref().as_table()?, "listen"));
        let addresses = listen.and_then(|listen| listen.get_ref().as_array()).into_iter().flatten().filter_map(named);
        let is_open =
            |address: &Named<'_>| address.name.parse().is_ok_and(|address: SocketAddr| !address.ip().is_loopback());
        faults.extend(addresses.filter(is_open).map(|address| {
            let message = format!(
                "{} is not a loopback address and requires an [[api_token]] with {what}; create one with: {}",
                address.name,
                NextStep::ApiToken
            );
            Fault::new(address.span, message)
        }));
    }
    faults
}

/// The webhook's calls are always signed.
fn check_watch(document: &DeTable<'_>) -> Option<Fault> {
    let watch = get(document, "watch")?.get_ref().as_table()?;
    match (get(watch, "webhook"), get(watch, "secret_file")) {
        (Some(webhook), None) => Some(Fault::new(webhook.span(), "webhook requires secret_file; set both")),
        (None, Some(file)) => Some(Fault::new(file.span(), "secret_file requires webhook; set both")),
        (Some(_), Some(_)) | (None, None) => None,
    }
}

/// The other keys say how to reach the server that url names.
fn check_store(document: &DeTable<'_>) -> Vec<Fault> {
    let Some(store) = get(document, "store").and_then(|store| store.get_ref().as_table()) else { return Vec::new() };
    if get(store, "url").is_some() {
        return check_bodies(store);
    }
    let others = store
        .iter()
        .filter(|(key, _)| SCHEMA["properties"]["store"]["properties"].get(key.get_ref().as_ref()).is_some());
    others.map(|(key, _)| Fault::new(key.span(), format!("{} requires url; set both", key.get_ref()))).collect()
}

/// Keys that say more of the place of bodies require one, and those of S3 a bucket.
fn check_bodies(store: &DeTable<'_>) -> Vec<Fault> {
    let mut faults = Vec::new();
    let place = get(store, "bodies").and_then(|place| place.get_ref().as_str());
    let is_s3 = place.is_some_and(|place| place.starts_with("s3://"));
    let mut needs = |key: &str, is_met: bool, what: &str| {
        if let Some(value) = get(store, key).filter(|_| !is_met) {
            faults.push(Fault::new(value.span(), format!("{key} requires {what}; set both")));
        }
    };
    needs("bodies_above", place.is_some(), "bodies");
    for key in ["bodies_endpoint", "bodies_region", "bodies_key_file", "bodies_ca_file"] {
        needs(key, is_s3, "bodies with an S3 bucket");
    }
    needs("bodies", !is_s3 || get(store, "bodies_key_file").is_some(), "bodies_key_file, as it names an S3 bucket");
    if let Some(above) = get(store, "bodies_above") {
        let size = match above.get_ref() {
            DeValue::String(text) => text.parse::<ByteSize>().ok(),
            DeValue::Integer(number) => number.as_str().parse::<ByteSize>().ok(),
            _ => None,
        };
        if size.is_some_and(|size| size.bytes() > store::INLINE_BODY_BYTES_MAX as u64) {
            let message = "bodies_above is at most 256KiB: larger bodies are written before their size is known";
            faults.push(Fault::new(above.span(), message));
        }
    }
    faults
}

/// Checks that OpenSSL supports each policy.
fn check_policies(document: &DeTable<'_>) -> Vec<Fault> {
    tables(document, "tls_policy").flat_map(check_policy).collect()
}

fn check_policy(table: &DeTable<'_>) -> Vec<Fault> {
    let text = |key: &str| get(table, key).and_then(|value| value.get_ref().as_str());
    let version = |key: &str| text(key).and_then(|text| serde_json::from_value(Value::from(text)).ok());
    let mut policy = NamedPolicy::default();
    policy.minimum = version("minimum").unwrap_or(policy.minimum);
    policy.maximum = version("maximum").unwrap_or(policy.maximum);
    for (key, setting) in
        [("ciphers", &mut policy.ciphers), ("suites", &mut policy.suites), ("groups", &mut policy.groups)]
    {
        if let Some(text) = text(key) {
            text.clone_into(setting);
        }
    }
    let level = get(table, "security_level").and_then(|level| level.get_ref().as_integer());
    policy.security_level = level.and_then(|level| level.as_str().parse().ok()).unwrap_or(policy.security_level);
    let place = |setting: &str| get(table, setting).or_else(|| get(table, "name")).map_or(0..0, Spanned::span);
    let faults = net::tls::check_policy(&policy.policy()).into_iter();
    faults.map(|fault| Fault::new(place(fault.setting), format!("{}: {}", fault.setting, fault.message))).collect()
}

/// The tables of an array of tables. Other values are skipped.
fn tables<'a, 'i>(document: &'a DeTable<'i>, array: &str) -> impl Iterator<Item = &'a DeTable<'i>> {
    let tables = get(document, array).and_then(|array| array.get_ref().as_array());
    tables.into_iter().flat_map(|tables| tables.iter()).filter_map(|table| table.get_ref().as_table())
}

/// True if the schema allows values of that JSON type.
pub(super) fn has_type(schema: &Value, name: &str) -> bool {
    match &schema["type"] {
        Value::Array(names) => names.iter().any(|value| value == name),
        value => value == name,
    }
}

/// The texts that an enumeration allows. Empty for any other schema.
pub(super) fn choices(schema: &Value) -> Vec<&str> {
    let plain = schema["enum"].as_array().into_iter().flatten();
    let described = schema["oneOf"].as_array().into_iter().flatten();
    let described = described.flat_map(|choice| match &choice["enum"] {
        Value::Array(names) => names.iter().collect(),
        _ => vec![&choice["const"]],
    });
    plain.chain(described).filter_map(Value::as_str).collect()
}

/// The expected value of a schema in the file, as the continuation of "must be".
fn expected(schema: &Value) -> String {
    let choices = choices(schema);
    if !choices.is_empty() {
        return format!("one of \"{}\"", choices.join("\", \""));
    }
    let plain = match schema["format"].as_str() {
        Some("duration") => "a duration such as \"15m\"",
        Some("deadline") => "a duration such as \"4h\", or \"never\"",
        Some("size") => "a size such as \"50MiB\" or a number of bytes",
        Some("rate") => "a rate such as \"600/min\"",
        _ if has_type(schema, "object") => "a table",
        _ if has_type(schema, "array") && schema["items"]["type"] == "object" => "an array of tables: [[…]]",
        _ if has_type(schema, "array") => "an array of strings",
        _ if has_type(schema, "boolean") => "true or false",
        _ if has_type(schema, "integer") => "an integer",
        _ => "a string",
    };
    plain.to_owned()
}

fn article(type_name: &str) -> String {
    let article = if type_name.starts_with(['a', 'i', 'o']) { "an" } else { "a" };
    format!("{article} {type_name}")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// The errors for `text`, each without the quoted line and the file's name.
    fn messages(text: &str) -> Vec<String> {
        let errors = match Config::parse(text, Path::new("f")) {
            Ok(config) => panic!("no error in:\n{text}\n{config:?}"),
            Err(errors) => errors.to_string(),
        };
        errors.lines().filter_map(|line| line.strip_prefix("f:")).map(str::to_owned).collect()
    }

    #[test]
    fn every_fault_has_its_message() {
        let connector = "[[connector]]\nname = \"onprem\"\nhosts = [\"mx\"]\n";
        let table: &[(&str, &[&str])] = &[
            // syntax
            ("[node\n", &["1:6: unclosed table, expected `]`"]),
            ("[node]\nname = \"a\"\nname = \"b\"\n", &["3:1: duplicate key"]),
            // keys
            (
                "[inbuond]\n",
                &["1:2: unknown key \"inbuond\"; did you mean \"inbound\"? keys here are: \
                node, store, inbound, accepted_domain, connector, internet, tls_policy, retry, rollout, notices, dns, log, protocol_log, history, watch, console, api, metrics, api_token"],
            ),
            ("[dns]\nx = 1\n", &["2:1: unknown key \"x\"; keys here are: servers, timeout"]),
            ("[[connector]]\nname = \"a\"\n", &["1:1: the key \"hosts\" is missing"]),
            ("[[accepted_domain]]\n", &["1:1: the key \"name\" is missing", "1:1: the key \"connector\" is missing"]),
            // types
            ("node = 1\n", &["1:8: node must be a table, not an integer"]),
            ("connector = 1\n", &["1:13: connector must be an array of tables: [[…]], not an integer"]),
            ("connector = [\"a\"]\n", &["1:14: each entry of connector must be a table, not a string"]),
            ("[node]\nname = 3\n", &["2:8: name must be a string, not an integer"]),
            ("[inbound]\nstarttls = \"yes\"\n", &["2:12: starttls must be true or false, not a string"]),
            ("[inbound]\nhops_max = \"9\"\n", &["2:12: hops_max must be an integer, not a string"]),
            ("[inbound]\nlisten = \"a\"\n", &["2:10: listen must be an array of strings, not a string"]),
            ("[inbound]\nlisten = [1]\n", &["2:11: each entry of listen must be a string, not an integer"]),
            (
                "[store]\nurl = \"postgres://g@db/g\"\ntls = true\n",
                &["3:7: tls must be one of \"verify\", \"none\", not a boolean"],
            ),
            (
                "[store]\nurl = \"postgres://g@db/g\"\ntls = \"require\"\n",
                &["3:7: tls cannot be \"require\"; allowed values are: verify, none"],
            ),
            ("[retry]\nexpire = 5\n", &["2:10: expire must be a duration such as \"15m\", not an integer"]),
            (
                "[inbound]\nsize_max = 1.5\n",
                &["2:12: size_max must be a size such as \"50MiB\" or a number of bytes, not a float"],
            ),
            // values
            ("[inbound]\nrecipients_max = 0\n", &["2:18: recipients_max must be between 1 and 4294967295"]),
            ("[inbound]\nerrors_max = 5000000000\n", &["2:14: errors_max must be between 1 and 4294967295"]),
            ("[inbound]\nlisten = []\n", &["2:10: listen must not be empty"]),
            ("[retry]\nschedule = []\n", &["2:12: schedule must not be empty"]),
            (
                "[retry]\nschedule = [\"15m\", \"x\"]\n",
                &["2:20: schedule: \"x\" is not a duration; use a form such as \
                \"500ms\", \"90s\", \"15m\", \"1h30m\" or \"5d\""],
            ),
            ("[retry]\nexpire = \"0s\"\n", &["2:10: expire: a duration must be longer than zero"]),
            (
                "[retry]\ndelay_notice = \"nevr\"\n",
                &["2:16: delay_notice: \"nevr\" is not a duration; use a form such as \"500ms\", \
                \"90s\", \"15m\", \"1h30m\" or \"5d\", or \"never\""],
            ),
            (
                "[inbound]\nsize_max = \"50MB\"\n",
                &["2:12: size_max: \"50MB\" is not a size; use a form such as \"64KiB\", \"50MiB\", \
                \"1GiB\" or a number of bytes"],
            ),
            (
                "[inbound]\nsize_max = -1\n",
                &["2:12: size_max: \"-1\" is not a size; use a form such as \"64KiB\", \"50MiB\", \
                \"1GiB\" or a number of bytes"],
            ),
            (
                "[inbound]\nlisten = [\"localhost:25\"]\n",
                &["2:11: listen: \"localhost:25\" is not an address:port, \
                such as \"127.0.0.1:2525\" or \"[::1]:2525\""],
            ),
            (
                "[node]\nhostname = \"a b\"\n",
                &["2:12: hostname: \"a b\" is not a host name, such as \"mail.example.org\""],
            ),
            ("[node]\nname = \"a\\nb\"\n", &["2:8: name: a name must not contain control characters"]),
            ("[node]\ndata = \"\"\n", &["2:8: data: a path must not be empty"]),
            (
                "[log]\nlevel = \"inof\"\n",
                &["2:9: level cannot be \"inof\"; did you mean \"info\"? allowed values are: error, \
                warn, info, debug, trace"],
            ),
            ("[inbound]\ntls_key = \"k\"\n", &["2:11: tls_key requires tls_certificate; set both"]),
            ("[inbound]\ntls_certificate = \"c\"\n", &["2:19: tls_certificate requires tls_key; set both"]),
            ("[[connector]]\nname = \"a\"\nhosts = []\n", &["3:9: hosts must not be empty"]),
            (
                "[[connector]]\nname = \"a\"\nhosts = [\"mx\", \"::1\"]\n",
                &[
                    "3:10: hosts: \"mx\" must be the only entry: use [\"mx\"] or a list of smart hosts",
                    "3:16: hosts: write an IPv6 address in brackets: \"[::1]\"",
                ],
            ),
            (
                "[[connector]]\nname = \"a\"\nhosts = [\"mx\"]\nport = 70000\nrate = \"x\"\n",
                &[
                    "4:8: port must be between 1 and 65535",
                    "5:8: rate: \"x\" is not a rate; use a form such as \"10/s\", \"600/min\" or \"5000/h\"",
                ],
            ),
            (
                "[api]\nlisten = [\"127.0.0.1:1\", \"0.0.0.0:2580\"]\n",
                &[
                    "2:26: 0.0.0.0:2580 is not a loopback address and requires an [[api_token]] with a scope other than metrics; create one with: gatepost api token monitoring",
                ],
            ),
            (
                "[metrics]\nlisten = [\"127.0.0.1:1\", \"[::]:9464\"]\n",
                &[
                    "2:26: [::]:9464 is not a loopback address and requires an [[api_token]] with the scope metrics; create one with: gatepost api token monitoring",
                ],
            ),
            (
                "[[api_token]]\nname = \"a\"\nsha256 = \"12\"\n",
                &[
                    "3:10: sha256: not a SHA-256 of 64 hexadecimal digits; create a token with: gatepost api token monitoring",
                ],
            ),
            (
                &format!("[[api_token]]\nname = \"a\"\nsha256 = {:?}\nscopes = [\"metric\"]\n", "0".repeat(64)),
                &[
                    "4:11: each entry of scopes cannot be \"metric\"; did you mean \"metrics\"? allowed values are: look, trace, operate, administer, metrics",
                ],
            ),
            (
                "[internet]\nallow = [\"10.0.0.1/8\"]\n",
                &["2:10: allow: \"10.0.0.1/8\" is an address within a network; write \"10.0.0.0/8\""],
            ),
            // names
            ("[[connector]]\nname = \"\"\nhosts = [\"mx\"]\n", &["2:8: a connector's name must not be empty"]),
            (
                "[[connector]]\nname = \"internet\"\nhosts = [\"mx\"]\n",
                &["2:8: the name \"internet\" is reserved for the built-in connector; choose another name"],
            ),
            (
                "[notices]\nconnector = \"out\"\n",
                &["2:13: unknown connector \"out\"; the file has no [[connector]]; add one"],
            ),
            (&format!("{connector}{connector}"), &["5:8: connector \"onprem\" is defined twice; remove or rename one"]),
            (
                &format!("{connector}[[accepted_domain]]\nname = \"a.test\"\nconnector = \"onprm\"\n"),
                &["6:13: unknown connector \"onprm\"; connectors are: onprem"],
            ),
            (
                "[[accepted_domain]]\nname = \"a.test\"\nconnector = \"internet\"\n\
                [[accepted_domain]]\nname = \"A.TEST\"\nconnector = \"internet\"\n",
                &["5:8: accepted domain \"A.TEST\" is defined twice; remove or rename one"],
            ),
            (
                "[[accepted_domain]]\nname = \"a@b\"\nconnector = \"internet\"\n",
                &["2:8: name: \"a@b\" is not a domain, such as \"example.org\""],
            ),
            ("[watch]\nwebhook = \"https://a.test/\"\n", &["2:11: webhook requires secret_file; set both"]),
            ("[watch]\nsecret_file = \"s\"\n", &["2:15: secret_file requires webhook; set both"]),
            (
                "[watch]\nsecret_file = \"s\"\nwebhook = \"http://a.test/\"\n",
                &["3:11: webhook: http:// is allowed for this machine only; use https://"],
            ),
        ];
        for (text, expected) in table {
            assert_eq!(messages(text), *expected, "{text}");
        }
    }

    #[test]
    fn an_error_shows_the_line_and_a_caret() {
        let text = "[log]\n\tlevel = \"é\"   # loud\r\n";
        let errors = Config::parse(text, Path::new("gatepost.toml")).unwrap_err().to_string();
        let expected = "gatepost.toml:2:10: level cannot be \"é\"; allowed values are: error, warn, info, debug, trace\n\
            \x20 2 |  level = \"é\"   # loud\n\
            \x20   |          ^^^";
        assert_eq!(errors, expected);
    }

    #[test]
    fn an_unreadable_file_is_named() {
        let errors = Config::load(Path::new("/nonexistent/gatepost.toml")).unwrap_err().to_string();
        assert!(errors.starts_with("/nonexistent/gatepost.toml: failed to read the configuration: No such file"));
    }

    proptest::proptest! {
        #[test]
        fn foreign_text_never_panics(text in "(\\[{1,2}(node|connector|inbound)\\]{1,2}\n|[a-z]{1,5} = [\\[\"0-9a-zé]{1,9}\n|\\PC){0,20}") {
            if let Err(errors) = Config::parse(&text, Path::new("f")) {
                proptest::prop_assert!(!errors.to_string().is_empty());
            }
        }
    }
}
