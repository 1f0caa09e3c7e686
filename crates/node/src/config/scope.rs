//! Whose each setting is once the fleet has a configuration: the node's own, which stays in its file, or the fleet's,
//! which `gatepost config apply` sets for all nodes. The only place that says so.
//!
//! A setting is the node's own if it is about its machine (addresses, files, memory, disk, name servers), if it takes
//! effect only after a restart, or if it is a secret or may contain one. Everything else is policy, and the fleet's. A
//! connector is one thing: the paths in it are the fleet's, and the files are on each machine.

use serde_json::Value as Json;
use toml::{Table, Value};

use super::check::{SCHEMA, has_type};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Scope {
    Node,
    Fleet,
}

use Scope::{Fleet, Node};

/// A section of the file.
enum Section {
    All(Scope),
    /// Setting by setting.
    Divided(&'static [(&'static str, Scope)]),
}

use Section::{All, Divided};

const SECTIONS: [(&str, Section); 19] = [
    ("node", All(Node)),
    ("store", All(Node)),
    (
        "inbound",
        Divided(&[
            ("listen", Node),
            ("proxy_from", Node),
            ("size_max", Fleet),
            ("recipients_max", Fleet),
            ("line_max", Fleet),
            ("errors_max", Fleet),
            ("junk_commands_max", Fleet),
            ("connections_max", Node),
            ("connections_per_client_max", Fleet),
            ("client_prefix_ipv4", Node),
            ("client_prefix_ipv6", Node),
            ("session_max", Fleet),
            ("command_timeout", Fleet),
            ("data_timeout", Fleet),
            ("data_rate_min", Fleet),
            ("content_memory_max", Node),
            ("hops_max", Fleet),
            ("starttls", Fleet),
            ("tls_certificate", Node),
            ("tls_key", Node),
        ]),
    ),
    ("accepted_domain", All(Fleet)),
    ("connector", All(Fleet)),
    ("internet", All(Fleet)),
    ("tls_policy", All(Fleet)),
    ("retry", All(Fleet)),
    ("rollout", All(Fleet)),
    ("notices", All(Fleet)),
    ("dns", All(Node)),
    ("log", All(Node)),
    ("protocol_log", All(Node)),
    ("history", All(Fleet)),
    (
        "watch",
        Divided(&[
            ("messages", Fleet),
            ("oldest", Fleet),
            ("oldest_named", Fleet),
            ("interval", Fleet),
            // Many services put a token into the URL.
            ("webhook", Node),
            ("secret_file", Node),
            ("tls_authorities", Node),
        ]),
    ),
    ("console", All(Node)),
    ("api", All(Node)),
    ("metrics", All(Node)),
    ("api_token", All(Node)),
];

/// Whose the setting at that path is. What this version does not know is the fleet's: only there may a newer version
/// have put it.
pub(super) fn of(path: &[&str]) -> Scope {
    let Some((key, rest)) = path.split_first() else { return Node };
    match SECTIONS.iter().find(|(section, _)| section == key) {
        None => Fleet,
        Some((_, All(scope))) => *scope,
        Some((_, Divided(settings))) => match rest.first() {
            None => Node,
            Some(key) => settings.iter().find(|(setting, _)| setting == key).map_or(Fleet, |(_, scope)| *scope),
        },
    }
}

/// Sections with settings that are secrets or may contain one, such as a token in a URL, and those settings; none: all of
/// them. The change log has no values of these.
const SECRETS: [(&str, &[&str]); 3] = [("store", &[]), ("watch", &["webhook", "secret_file"]), ("api_token", &[])];

/// The settings whose values may be shown, and those that may be secret.
pub(super) fn parts_by_secrecy(file: &Table) -> (Table, Table) {
    let (mut open, mut secret) = (Table::new(), Table::new());
    for (section, value) in file {
        match (SECRETS.iter().find(|(name, _)| name == section), value) {
            (None, value) => drop(open.insert(section.clone(), value.clone())),
            (Some((_, keys)), Value::Table(table)) if !keys.is_empty() => {
                let is_secret = |key: &String| keys.contains(&key.as_str());
                for (part, wanted) in [(&mut open, false), (&mut secret, true)] {
                    let own = table.iter().filter(|(key, _)| is_secret(key) == wanted);
                    let own: Table = own.map(|(key, value)| (key.clone(), value.clone())).collect();
                    part.insert(section.clone(), Value::Table(own));
                }
            }
            (Some(_), value) => drop(secret.insert(section.clone(), value.clone())),
        }
    }
    (open, secret)
}

fn is_divided(section: &str) -> bool {
    SECTIONS.iter().any(|(name, scope)| *name == section && matches!(scope, Divided(_)))
}

/// The settings of that scope, as far as the file has them.
pub(super) fn part(file: &Table, scope: Scope) -> Table {
    let mut part = Table::new();
    for (section, value) in file {
        match value {
            Value::Table(table) if is_divided(section) => {
                let own = table.iter().filter(|(key, _)| of(&[section, key]) == scope);
                let own: Table = own.map(|(key, value)| (key.clone(), value.clone())).collect();
                if !own.is_empty() {
                    part.insert(section.clone(), Value::Table(own));
                }
            }
            _ if of(&[section]) == scope => {
                part.insert(section.clone(), value.clone());
            }
            _ => {}
        }
    }
    part
}

/// The node's own settings of one file, and the fleet's of the other.
pub(super) fn merged(own: &Table, fleet: &Table) -> Table {
    let mut merged = part(own, Node);
    for (section, value) in part(fleet, Fleet) {
        match (merged.get_mut(&section), value) {
            (Some(Value::Table(here)), Value::Table(there)) => here.extend(there),
            (_, value) => drop(merged.insert(section, value)),
        }
    }
    merged
}

/// Where the file has settings of that scope: sections, and settings of divided sections.
pub(super) fn places(file: &Table, scope: Scope) -> Vec<Vec<String>> {
    let places = part(file, scope).into_iter().flat_map(|(section, value)| match value {
        Value::Table(table) if is_divided(&section) => {
            table.into_iter().map(|(key, _)| vec![section.clone(), key]).collect()
        }
        _ => vec![vec![section]],
    });
    places.collect()
}

/// The setting at that path as people read it: `[retry] expire`, `connector "onprem" timeouts.banner`, `[[connector]]`.
/// `file` has the names of connectors and the like.
pub(super) fn name(path: &[&str], file: &Table) -> String {
    let Some((section, rest)) = path.split_first() else { return String::new() };
    let index = rest.first().and_then(|index| index.parse::<usize>().ok());
    let entry = index.and_then(|index| file.get(*section)?.as_array()?.get(index)?.get("name")?.as_str());
    match entry {
        Some(entry) => named(&entry_name(section, entry), rest.get(1..).unwrap_or_default()),
        None => named(&header(section), rest),
    }
}

/// Without indexes: the setting is enough.
fn named(first: &str, rest: &[&str]) -> String {
    let keys: Vec<&str> = rest.iter().copied().filter(|key| key.parse::<usize>().is_err()).collect();
    if keys.is_empty() { first.to_owned() } else { format!("{first} {}", keys.join(".")) }
}

pub(super) fn entry_name(section: &str, entry: &str) -> String {
    format!("{section} {entry:?}")
}

/// `[retry]`, or `[[connector]]` where the file may have several.
pub(super) fn header(section: &str) -> String {
    let schema: &Json = &SCHEMA["properties"][section];
    if has_type(schema, "array") { format!("[[{section}]]") } else { format!("[{section}]") }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn keys(schema: &Json) -> Vec<&str> {
        schema["properties"].as_object().into_iter().flatten().map(|(key, _)| key.as_str()).collect()
    }

    fn table(text: &str) -> Table {
        text.parse().unwrap()
    }

    /// A new setting has to be entered above.
    #[test]
    fn each_setting_is_the_node_s_or_the_fleet_s() {
        let sections: Vec<&str> = SECTIONS.iter().map(|(section, _)| *section).collect();
        assert_eq!(sections, keys(&SCHEMA));
        for (section, scope) in &SECTIONS {
            let Divided(settings) = scope else { continue };
            let mut decided: Vec<&str> = settings.iter().map(|(setting, _)| *setting).collect();
            let mut known = keys(&SCHEMA["properties"][section]);
            decided.sort_unstable();
            known.sort_unstable();
            assert_eq!(decided, known, "{section}");
        }
    }

    /// Every setting with its description, as the schema has them.
    fn described() -> Vec<(Vec<&'static str>, String)> {
        let mut all = Vec::new();
        for section in keys(&SCHEMA) {
            let schema = &SCHEMA["properties"][section];
            let settings = if has_type(schema, "array") { &schema["items"] } else { schema };
            for key in keys(settings) {
                let description = settings["properties"][key]["description"].as_str().unwrap_or_default();
                all.push((vec![section, key], description.to_owned()));
            }
        }
        all
    }

    /// Nodes follow without a restart, and no secret goes into the store.
    #[test]
    fn the_fleet_s_settings_need_no_restart_and_are_no_secrets() {
        for (path, description) in described() {
            let needs_restart =
                description.contains("Requires a restart") || description.contains("Requires a\nrestart");
            assert!(!needs_restart || of(&path) == Node, "{path:?}");
        }
        for secret in [
            ["store", "url"],
            ["store", "password_file"],
            ["store", "search_url"],
            ["watch", "webhook"],
            ["watch", "secret_file"],
            ["inbound", "tls_key"],
            ["api_token", "sha256"],
        ] {
            assert_eq!(of(&secret), Node, "{secret:?}");
        }
    }

    #[test]
    fn the_documents_say_the_same() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/fleet.md");
        let text = std::fs::read_to_string(path).unwrap();
        for (section, scope) in &SECTIONS {
            let row = text.lines().find(|line| line.starts_with(&format!("| `{}` |", header(section))));
            let row = row.unwrap_or_else(|| panic!("docs/fleet.md has no row for {section}"));
            let cells: Vec<&str> = row.split('|').map(str::trim).collect();
            let expected = |wanted| match scope {
                All(scope) => if *scope == wanted { "all" } else { "" }.to_owned(),
                Divided(settings) => {
                    let own = settings.iter().filter(|(_, scope)| *scope == wanted);
                    own.map(|(setting, _)| format!("`{setting}`")).collect::<Vec<_>>().join(", ")
                }
            };
            assert_eq!((cells[2], cells[3]), (expected(Fleet).as_str(), expected(Node).as_str()), "{section}");
        }
    }

    #[test]
    fn parts_are_told_apart() {
        let file = table(
            "[node]\nname = \"a\"\n[inbound]\nlisten = []\nsize_max = 1\n[watch]\nwebhook = \"w\"\n\
             [retry]\nexpire = \"1h\"\n[[connector]]\nname = \"c\"\n[future]\nx = 1\n",
        );
        let names = |scope| places(&file, scope).iter().map(|place| place.join(".")).collect::<Vec<_>>();
        assert_eq!(names(Node), ["inbound.listen", "node", "watch.webhook"]);
        assert_eq!(names(Fleet), ["connector", "future", "inbound.size_max", "retry"]);
        for (path, expected) in [
            (&["retry", "expire"][..], "[retry] expire"),
            (&["connector", "0", "hosts", "1"], "connector \"c\" hosts"),
            (&["connector", "0", "timeouts", "banner"], "connector \"c\" timeouts.banner"),
            (&["connector", "0"], "connector \"c\""),
            (&["connector"], "[[connector]]"),
            (&["inbound", "size_max"], "[inbound] size_max"),
        ] {
            assert_eq!(name(path, &file), expected);
        }
    }

    fn any_file() -> impl Strategy<Value = Table> {
        let setting = prop::sample::select(vec![
            "[node]\nname = ",
            "[store]\nurl = ",
            "[inbound]\nlisten = ",
            "[inbound]\nsize_max = ",
            "[inbound]\nhops_max = ",
            "[retry]\nexpire = ",
            "[watch]\nwebhook = ",
            "[watch]\noldest = ",
            "[history]\nkeep = ",
            "[future]\nsetting = ",
        ]);
        prop::collection::vec((setting, 0u8..4), 0..8).prop_map(|settings| {
            let mut file = Table::new();
            for (setting, value) in settings {
                for (section, value) in table(&format!("{setting}{value}")) {
                    match (file.get_mut(&section), value) {
                        (Some(Value::Table(here)), Value::Table(there)) => here.extend(there),
                        (_, value) => drop(file.insert(section, value)),
                    }
                }
            }
            file
        })
    }

    proptest! {
        #[test]
        fn a_merge_keeps_what_is_the_node_s_and_takes_the_rest(own in any_file(), fleet in any_file()) {
            let merged = merged(&own, &fleet);
            prop_assert_eq!(part(&merged, Node), part(&own, Node));
            prop_assert_eq!(part(&merged, Fleet), part(&fleet, Fleet));
            // Nothing is in both parts, and nothing is lost.
            prop_assert_eq!(super::merged(&own, &own), own);
        }
    }
}
