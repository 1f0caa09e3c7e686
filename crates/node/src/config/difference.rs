//! What differs between two configurations of the fleet, by the names of settings. A setting that is not there has its
//! default.

use std::{collections::BTreeSet, sync::LazyLock};

use serde_json::Value as Json;
use toml::{Table, Value};
use trace::change::{SettingChange, Settings};

use super::{Config, check::SCHEMA, scope};

/// A setting that differs. `None`: it is not set, and has no default; of a connector and the like, it is not there.
#[derive(Clone, PartialEq, Debug)]
pub struct Change {
    /// Such as `[retry] expire` or `connector "onprem" hosts`.
    pub setting: String,
    pub old: Option<Value>,
    pub new: Option<Value>,
}

/// In the order of the settings' names. Settings that this version does not know are compared, too.
pub fn differences(old: &Table, new: &Table) -> Vec<Change> {
    let mut changes = Vec::new();
    for section in keys(old, new) {
        let schema = &SCHEMA["properties"][section];
        match (old.get(section), new.get(section)) {
            (Some(Value::Table(_)) | None, Some(Value::Table(_)) | None) => {
                let prefix = format!("{} ", scope::header(section));
                tables(&prefix, schema, table(old.get(section)), table(new.get(section)), &mut changes);
            }
            (Some(Value::Array(_)) | None, Some(Value::Array(_)) | None) => {
                entries(section, schema, array(old.get(section)), array(new.get(section)), &mut changes);
            }
            (old, new) => push(scope::header(section), old.cloned(), new.cloned(), &mut changes),
        }
    }
    changes
}

/// The same for the change log. Of a setting that may contain a secret, only the name is recorded.
pub fn recorded(old: &Table, new: &Table) -> Settings {
    let ((old_open, old_secret), (new_open, new_secret)) = (scope::parts_by_secrecy(old), scope::parts_by_secrecy(new));
    let json = |value: Option<Value>| value.and_then(|value| serde_json::to_value(value).ok());
    let open = differences(&old_open, &new_open).into_iter().map(|Change { setting, old, new }| SettingChange {
        setting,
        old: json(old),
        new: json(new),
        withheld: false,
    });
    let secret = differences(&old_secret, &new_secret).into_iter();
    let secret = secret.map(|change| SettingChange { setting: change.setting, withheld: true, ..Default::default() });
    Settings::new(open.chain(secret).collect())
}

/// The same of two configurations of one node.
pub fn reloaded(old: &Config, new: &Config) -> Settings {
    let table = |config: &Config| Table::try_from(config).unwrap_or_default();
    recorded(&table(old), &table(new))
}

static NOTHING: LazyLock<Table> = LazyLock::new(Table::new);

fn keys<'a>(old: &'a Table, new: &'a Table) -> BTreeSet<&'a str> {
    old.keys().chain(new.keys()).map(String::as_str).collect()
}

fn table(value: Option<&Value>) -> &Table {
    value.and_then(Value::as_table).unwrap_or(&NOTHING)
}

fn array(value: Option<&Value>) -> &[Value] {
    value.and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn tables(prefix: &str, schema: &Json, old: &Table, new: &Table, changes: &mut Vec<Change>) {
    for key in keys(old, new) {
        let (schema, name) = (&schema["properties"][key], format!("{prefix}{key}"));
        match (old.get(key), new.get(key)) {
            (Some(Value::Table(_)) | None, Some(Value::Table(_)) | None) => {
                tables(&format!("{name}."), schema, table(old.get(key)), table(new.get(key)), changes);
            }
            (old, new) => push(name, or_default(old, schema), or_default(new, schema), changes),
        }
    }
}

fn or_default(value: Option<&Value>, schema: &Json) -> Option<Value> {
    match &schema["default"] {
        Json::Null => value.cloned(),
        default => value.cloned().or_else(|| Value::try_from(default).ok()),
    }
}

/// Entries with the same name are the same thing, wherever they are in the list.
fn entries(section: &str, schema: &Json, old: &[Value], new: &[Value], changes: &mut Vec<Change>) {
    let find = |list: &'_ [Value], name: &str| list.iter().position(|entry| entry_name(entry) == name);
    for entry in old {
        let name = entry_name(entry);
        let shown = scope::entry_name(section, name);
        match find(new, name).and_then(|index| new[index].as_table()) {
            Some(new) => tables(&format!("{shown} "), &schema["items"], table(Some(entry)), new, changes),
            None => push(shown, Some(without_name(entry)), None, changes),
        }
    }
    for entry in new.iter().filter(|entry| find(old, entry_name(entry)).is_none()) {
        push(scope::entry_name(section, entry_name(entry)), None, Some(without_name(entry)), changes);
    }
}

fn entry_name(entry: &Value) -> &str {
    entry.get("name").and_then(Value::as_str).unwrap_or_default()
}

fn without_name(entry: &Value) -> Value {
    let mut entry = entry.clone();
    if let Some(entry) = entry.as_table_mut() {
        entry.remove("name");
    }
    entry
}

fn push(setting: String, old: Option<Value>, new: Option<Value>, changes: &mut Vec<Change>) {
    if old != new {
        changes.push(Change { setting, old, new });
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(old: &str, new: &str) -> Vec<String> {
        let text = |value: Option<Value>| value.map_or_else(|| "unset".to_owned(), |value| value.to_string());
        let changes = differences(&old.parse().unwrap(), &new.parse().unwrap()).into_iter();
        changes.map(|change| format!("{}: {} → {}", change.setting, text(change.old), text(change.new))).collect()
    }

    #[test]
    fn settings_that_differ_are_named() {
        let connector = |more: &str| format!("[[connector]]\nname = \"c\"\nhosts = [\"mx\"]\n{more}");
        let (plain, limited) = (connector(""), connector("rate = \"1/s\"\n"));
        let timeouts = connector("timeouts = { banner = \"1s\" }\n");
        let domains = |names: &[&str]| {
            let domain = |name: &&str| format!("[[accepted_domain]]\nname = {name:?}\nconnector = \"c\"\n");
            names.iter().map(domain).collect::<String>()
        };
        let table: &[(&str, &str, &[&str])] = &[
            ("", "", &[]),
            ("[retry]\nexpire = \"1h\"\n", "[retry]\nexpire = \"2h\"\n", &["[retry] expire: \"1h\" → \"2h\""]),
            // What is not there has its default.
            ("", "[retry]\nexpire = \"1h\"\n", &["[retry] expire: \"24h\" → \"1h\""]),
            ("[history]\nsubjects = true\n", "", &[]),
            (&plain, &limited, &["connector \"c\" rate: unset → \"1/s\""]),
            (&timeouts, &plain, &["connector \"c\" timeouts.banner: \"1s\" → \"5m\""]),
            ("", &plain, &["connector \"c\": unset → { hosts = [\"mx\"] }"]),
            (&plain, "", &["connector \"c\": { hosts = [\"mx\"] } → unset"]),
            (&domains(&["a", "b"]), &domains(&["b", "a"]), &[]),
            (
                &domains(&["a"]),
                &domains(&["b"]),
                &[
                    "accepted_domain \"a\": { connector = \"c\" } → unset",
                    "accepted_domain \"b\": unset → { connector = \"c\" }",
                ],
            ),
            // Of a newer version.
            ("future = 1\n", "[retry]\nfuture = 2\n", &["[future]: 1 → unset", "[retry] future: unset → 2"]),
        ];
        for (old, new, expected) in table {
            assert_eq!(shown(old, new), *expected, "{old}\n{new}");
        }
    }

    #[test]
    fn no_secret_is_recorded() {
        let old = "[store]\nurl = \"postgres://g:s3cret@db/g\"\n[watch]\nmessages = 5\n\
                   [[api_token]]\nname = \"monitoring\"\nsha256 = \"s3cret\"\n";
        let new = "[store]\nurl = \"postgres://g:s3cret2@db/g\"\n[watch]\nmessages = 6\n\
                   webhook = \"https://hooks.test/s3cret\"\nsecret_file = \"/etc/s3cret\"\n";
        let settings = recorded(&old.parse().unwrap(), &new.parse().unwrap());
        assert_eq!(
            settings.to_string(),
            "[watch] messages 5 → 6; api_token \"monitoring\" (values withheld); [store] url (values withheld); \
             [watch] secret_file (values withheld); [watch] webhook (values withheld)"
        );
        assert!(!serde_json::to_string(&settings).unwrap().contains("s3cret"));
    }

    proptest! {
        /// Any two documents: it does not panic, and the way back has the same settings.
        #[test]
        fn the_way_back_is_the_same(
            old in prop::collection::vec((0u8..4, 0u8..3), 0..5),
            new in prop::collection::vec((0u8..4, 0u8..3), 0..5),
        ) {
            let document = |settings: &[(u8, u8)]| -> Table {
                let mut document = Table::new();
                for (kind, value) in settings {
                    let (section, text) = match kind {
                        0 => ("retry", format!("expire = \"{value}h\"")),
                        1 => ("connector", format!("name = \"c{value}\"\nport = {value}")),
                        2 => ("tls_policy", format!("name = \"p\"\nsecurity_level = {value}")),
                        _ => ("future", format!("x = {value}")),
                    };
                    let table = Value::Table(text.parse().unwrap());
                    let is_list = matches!(kind, 1 | 2);
                    document.insert(section.to_owned(), if is_list { Value::Array(vec![table]) } else { table });
                }
                document
            };
            let (old, new) = (document(&old), document(&new));
            let (there, back) = (differences(&old, &new), differences(&new, &old));
            let names = |changes: &[Change]| changes.iter().map(|change| change.setting.clone()).collect::<BTreeSet<_>>();
            prop_assert_eq!(names(&there), names(&back));
            prop_assert!(differences(&old, &old).is_empty());
        }
    }
}
