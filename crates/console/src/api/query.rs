//! The values of a request: of its path, of what follows `?` and of its JSON, read by one table of parameters each. What is
//! unknown or there twice is an error, because it would be ignored silently.

use std::{fmt::Display, str::FromStr};

use node::config::hint;
use serde_json::{Map, Number, Value};

use super::{
    form::{Form, NAMES_MAX, NODE, PERCENT},
    problem::Fault,
};

/// A value that a client sends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Parameter {
    /// Of a key within another one of the body, both names with a point between them.
    pub name: &'static str,
    /// For OpenAPI.
    pub about: &'static str,
    pub form: Form,
    pub is_required: bool,
}

impl Parameter {
    pub(crate) const fn new(name: &'static str, about: &'static str, form: Form) -> Self {
        Self { name, about, form, is_required: false }
    }

    pub(crate) const fn required(self) -> Self {
        Self { is_required: true, ..self }
    }
}

/// What a client sent, checked by the forms of its parameters.
#[derive(Clone, PartialEq, Debug, Default)]
pub(crate) struct Query {
    values: Vec<(String, String)>,
}

/// What follows the name of a [`Form::Share`] whose nodes are named.
pub(crate) const NODES: &str = ".nodes";

impl Query {
    /// Reads what a URL has after `?`.
    pub(crate) fn read(query: Option<&str>, known: &[Parameter]) -> Result<Self, Vec<Fault>> {
        Self::named(form_urlencoded::parse(query.unwrap_or_default().as_bytes()), known)?.checked(known)
    }

    /// The same if all values have the forms of their parameters, and none is missing.
    pub(crate) fn checked(self, known: &[Parameter]) -> Result<Self, Vec<Fault>> {
        let faults = self.values.iter().filter_map(|(name, value)| fault(known, name, value));
        let faults: Vec<Fault> = faults.chain(self.missing(known)).collect();
        if faults.is_empty() { Ok(self) } else { Err(faults) }
    }

    /// Reads pairs without a look at the values.
    pub(crate) fn named<N: AsRef<str>, V: AsRef<str>>(
        pairs: impl Iterator<Item = (N, V)>,
        known: &[Parameter],
    ) -> Result<Self, Vec<Fault>> {
        let mut read = Self::default();
        for (name, value) in pairs {
            let (name, value) = (name.as_ref(), value.as_ref());
            if !known.iter().any(|parameter| parameter.name == name) {
                let hint = hint(name, "parameters are", known.iter().map(|parameter| parameter.name));
                return Err(vec![Fault::new(shown(name), format!("unknown parameter; {hint}"))]);
            }
            if read.text(name).is_some() {
                return Err(vec![Fault::new(name, "the parameter is there twice; give it once")]);
            }
            read.values.push((name.to_owned(), value.to_owned()));
        }
        Ok(read)
    }

    /// Reads a JSON object. Its keys are parameters, and those of an object in it have its name before theirs.
    pub(crate) fn read_json(body: &Map<String, Value>, known: &[Parameter]) -> Result<Self, Vec<Fault>> {
        let (mut read, mut faults) = (Self::default(), Vec::new());
        read.add_object("", body, known, &mut faults);
        faults.extend(read.missing(known));
        if faults.is_empty() { Ok(read) } else { Err(faults) }
    }

    fn add_object(&mut self, within: &str, object: &Map<String, Value>, known: &[Parameter], faults: &mut Vec<Fault>) {
        for (key, value) in object {
            let name = format!("{within}{key}");
            let Some(parameter) = known.iter().find(|parameter| parameter.name == name) else {
                let others = known.iter().filter_map(|parameter| parameter.name.strip_prefix(within));
                let hint = hint(key, "keys here are", others.filter(|name| !name.contains('.')));
                faults.push(Fault::new(shown(&name), format!("unknown key; {hint}")));
                continue;
            };
            match (parameter.form, value) {
                (Form::Object, Value::Object(inner)) => {
                    self.values.push((name.clone(), String::new()));
                    self.add_object(&format!("{name}."), inner, known, faults);
                }
                (Form::Share, Value::Array(_)) => match texts(&parameter.form, value) {
                    Ok(nodes) => {
                        let nodes = nodes.into_iter().map(|node| (format!("{name}{NODES}"), node)).collect::<Vec<_>>();
                        self.values.push((name, String::new()));
                        self.values.extend(nodes);
                    }
                    Err(detail) => faults.push(Fault::new(name, detail)),
                },
                (form, value) => match texts(&form, value) {
                    Ok(texts) => self.values.extend(texts.into_iter().map(|text| (name.clone(), text))),
                    Err(detail) => faults.push(Fault::new(name, detail)),
                },
            }
        }
    }

    /// A required key is required only where the object that it is in is there.
    fn missing(&self, known: &[Parameter]) -> Vec<Fault> {
        let has = |name: &str| self.values.iter().any(|(other, _)| other == name);
        let is_here = |name: &str| name.rsplit_once('.').is_none_or(|(object, _)| has(object));
        let missing = |parameter: &&Parameter| parameter.is_required && is_here(parameter.name) && !has(parameter.name);
        known.iter().filter(missing).map(|parameter| Fault::new(parameter.name, "is required")).collect()
    }

    /// The same with the values of another part of the request.
    pub(crate) fn and(mut self, other: Self) -> Self {
        self.values.extend(other.values);
        self
    }

    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.values.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn owned(&self, name: &str) -> Option<String> {
        self.text(name).map(str::to_owned)
    }

    /// Of one that is required, and has been checked.
    pub(crate) fn given(&self, name: &str) -> &str {
        self.text(name).unwrap_or_default()
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.text(name).is_some()
    }

    /// Each text of a list.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.values.iter().filter(move |(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn parsed<T: FromStr<Err: Display>>(&self, name: &str) -> Result<Option<T>, Fault> {
        let parse = |value: &str| value.parse().map_err(|error: T::Err| Fault::new(name, error.to_string()));
        self.text(name).map(parse).transpose()
    }

    /// A value of one of these names.
    pub(crate) fn named_value<T: Copy>(&self, name: &str, all: &[T], name_of: fn(T) -> &'static str) -> Option<T> {
        let value = self.text(name)?;
        all.iter().copied().find(|one| name_of(*one) == value)
    }

    /// The same for several values with commas between them.
    pub(crate) fn named_values<T: Copy>(
        &self,
        name: &str,
        all: &[T],
        name_of: fn(T) -> &'static str,
    ) -> Option<Vec<T>> {
        let find = |value: &str| all.iter().copied().find(|one| name_of(*one) == value);
        self.text(name).map(|values| values.split(',').filter_map(find).collect())
    }

    /// Names and values, in order.
    pub(crate) fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.values.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// All pairs but those of these names, in order: what a cursor belongs to.
    pub(crate) fn without(&self, names: &[&str]) -> Vec<(&str, &str)> {
        let mut pairs: Vec<_> = self.pairs().filter(|(name, _)| !names.contains(name)).collect();
        pairs.sort_unstable();
        pairs
    }
}

fn fault(known: &[Parameter], name: &str, value: &str) -> Option<Fault> {
    let parameter = known.iter().find(|parameter| parameter.name == name)?;
    parameter.form.check(value).err().map(|detail| Fault::new(name, detail))
}

/// A foreign name, bounded.
fn shown(name: &str) -> String {
    protocol::text::clean(&name.chars().take(80).collect::<String>())
}

/// The values of a key, checked.
fn texts(form: &Form, value: &Value) -> Result<Vec<String>, String> {
    let checked = |text: String| form.check(&text).map(|()| text);
    match (form, value) {
        (Form::Ids(max), Value::Array(items)) => each_text(items, *max, &Form::Id),
        (Form::Share, Value::Array(items)) => each_text(items, NAMES_MAX, &NODE),
        (Form::Share, Value::Number(number)) => PERCENT.check(&whole(number)).map(|()| vec![whole(number)]),
        (Form::Share, _) => Err("must be a number from 0 to 100, or an array of names".to_owned()),
        (Form::Names(_), Value::Array(items)) => {
            let names: Option<Vec<&str>> = items.iter().map(Value::as_str).collect();
            checked(names.ok_or("each entry must be a string")?.join(",")).map(|text| vec![text])
        }
        (Form::Ids(_) | Form::Names(_), _) => Err("must be an array".to_owned()),
        (Form::Object, _) => Err("must be an object".to_owned()),
        (Form::Count { .. }, Value::Number(number)) => checked(whole(number)).map(|text| vec![text]),
        (Form::Count { .. }, _) => Err("must be a number".to_owned()),
        (Form::Flag, Value::Bool(flag)) => Ok(vec![flag.to_string()]),
        (Form::Flag, _) => Err("must be true or false".to_owned()),
        (_, Value::String(text)) => checked(text.clone()).map(|text| vec![text]),
        _ => Err("must be a string".to_owned()),
    }
}

fn each_text(items: &[Value], max: usize, form: &Form) -> Result<Vec<String>, String> {
    if !(1..=max).contains(&items.len()) {
        return Err(format!("must have from 1 to {max} entries"));
    }
    let text = |item: &Value| {
        let text = item.as_str().ok_or("each entry must be a string")?;
        form.check(text).map(|()| text.to_owned())
    };
    items.iter().map(text).collect()
}

/// JSON Schema takes 3.0 for an integer.
fn whole(number: &Number) -> String {
    let whole = number.as_f64().filter(|number| number.fract() == 0.0 && (0.0..1e15).contains(number));
    number
        .as_u64()
        .or(whole.map(|number| number as u64))
        .map_or_else(|| number.to_string(), |number| number.to_string())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const KNOWN: [Parameter; 8] = [
        Parameter::new("by", "", Form::Name(|| vec!["cause", "age"])),
        Parameter::new("kinds", "", Form::Names(|| vec!["yes", "no"])),
        Parameter::new("limit", "", Form::Count { min: 1, max: 5000 }),
        Parameter::new("selection", "", Form::Object),
        Parameter::new("selection.connector", "", Form::Text(10)).required(),
        Parameter::new("nodes", "", Form::Share),
        Parameter::new("all", "", Form::Flag),
        Parameter::new("note", "", Form::Prose(20)),
    ];

    fn faults<T>(result: Result<T, Vec<Fault>>) -> String {
        let faults = result.err().unwrap_or_default();
        faults.iter().map(Fault::to_string).collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn what_cannot_be_meant_in_a_url_is_an_error() {
        for (query, expected) in [
            ("bye=age", "bye: unknown parameter; did you mean \"by\"?"),
            ("by=age&by=age", "by: the parameter is there twice; give it once"),
            ("limit=0", "limit: must be a number from 1 to 5000"),
            ("limit=0&by=size", "limit: must be a number from 1 to 5000; by: must be one of cause, age"),
            ("kinds=yes,maybe", "kinds: must be one of yes, no"),
            ("kinds=", "kinds: must be one of yes, no"),
        ] {
            let faults = faults(Query::read(Some(query), &KNOWN));
            assert!(faults.starts_with(expected), "{query}: {faults}");
        }
        let needed = [KNOWN[0].required()];
        assert_eq!(faults(Query::read(None, &needed)), "by: is required");
    }

    #[test]
    fn values_are_read() {
        let query = Query::read(Some("kinds=no,yes&limit=9"), &KNOWN).unwrap();
        let name_of = |is: bool| if is { "yes" } else { "no" };
        assert_eq!(query.named_values("kinds", &[true, false], name_of), Some(vec![false, true]));
        assert_eq!((query.parsed("limit"), query.text("by")), (Ok(Some(9)), None));
        assert_eq!(query.without(&["limit"]), [("kinds", "no,yes")]);
    }

    #[test]
    fn a_body_is_read_by_the_same_table() {
        let read = |body: Value| Query::read_json(body.as_object().unwrap(), &KNOWN);
        let body = json!({
            "selection": { "connector": "onprem" }, "nodes": ["a", "b"], "all": true, "limit": 3.0, "kinds": ["no"],
            "note": "one\ntwo",
        });
        let query = read(body).unwrap();
        assert_eq!((query.text("selection.connector"), query.parsed("limit")), (Some("onprem"), Ok(Some(3))));
        assert_eq!(query.all("nodes.nodes").collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!((query.text("all"), query.text("kinds")), (Some("true"), Some("no")));
        assert_eq!(read(json!({})).unwrap(), Query::default());
        for (body, expected) in [
            (json!({ "limits": 3 }), "limits: unknown key; did you mean \"limit\"?"),
            (
                json!({ "selection": { "conector": "a", "connector": "a" } }),
                "selection.conector: unknown key; keys here are connector",
            ),
            (json!({ "selection": {} }), "selection.connector: is required"),
            (json!({ "selection": [] }), "selection: must be an object"),
            (json!({ "selection": { "connector": 1 } }), "selection.connector: must be a string"),
            (json!({ "limit": "3" }), "limit: must be a number"),
            (json!({ "limit": 3.5 }), "limit: must be a number from 1 to 5000"),
            (json!({ "limit": -1 }), "limit: must be a number from 1 to 5000"),
            (json!({ "limit": 1e300 }), "limit: must be a number from 1 to 5000"),
            (json!({ "limit": null }), "limit: must be a number"),
            (json!({ "nodes": [] }), "nodes: must have from 1 to 64 entries"),
            (json!({ "nodes": 101 }), "nodes: must be a number from 0 to 100"),
            (json!({ "nodes": ["a", 1] }), "nodes: each entry must be a string"),
            (json!({ "nodes": "a" }), "nodes: must be a number from 0 to 100, or an array of names"),
            (json!({ "all": "true" }), "all: must be true or false"),
            (json!({ "kinds": ["maybe"] }), "kinds: must be one of yes, no"),
            (json!({ "note": "a\u{0}" }), "note: must not have control characters"),
        ] {
            let faults = faults(read(body.clone()));
            assert!(faults.starts_with(expected), "{body}: {faults}");
        }
    }
}
