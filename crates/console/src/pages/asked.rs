//! What a URL of the console asks for after its `?`, and links with such questions.

use axum::{extract::FromRequestParts, http::request::Parts};

use super::Refusal;

/// Of a question, in bytes. No filter of a person is longer.
const QUESTION_MAX: usize = 8 * 1024;

/// Names and values in order. Those that a page has taken are gone, and what is left belongs to a filter.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Asked(Vec<(String, String)>);

impl Asked {
    /// What comes after the `?`.
    pub(super) fn read(query: &str) -> Self {
        Self(form_urlencoded::parse(query.as_bytes()).into_owned().collect())
    }

    /// The value of a name. Two are an error, because one would be ignored silently.
    pub(super) fn take(&mut self, name: &str) -> Result<Option<String>, Refusal> {
        let mut values = self.0.extract_if(.., |(other, _)| other == name).map(|(_, value)| value);
        let value = values.next();
        match values.next() {
            None => Ok(value.filter(|value| !value.is_empty())),
            Some(_) => Err(Refusal::bad_request(format!("{name}: the parameter is there twice; give it once"))),
        }
    }

    /// The same if nothing is left that no page knows: it would be ignored silently.
    pub(super) fn end(&self) -> Result<(), Refusal> {
        match self.0.first() {
            None => Ok(()),
            Some((name, _)) => {
                let name: String = name.chars().take(40).collect();
                Err(Refusal::bad_request(format!("{name}: unknown parameter")))
            }
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Asked {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        let query = parts.uri.query().unwrap_or_default();
        if query.len() > QUESTION_MAX {
            return Err(Refusal::bad_request(format!(
                "The address has more than {QUESTION_MAX} bytes after its \"?\"."
            )));
        }
        Ok(Self::read(query))
    }
}

/// A path of the console with a question.
pub(super) fn link<N: AsRef<str>, V: AsRef<str>>(path: &str, fields: impl IntoIterator<Item = (N, V)>) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.extend_pairs(fields);
    match query.finish() {
        none if none.is_empty() => path.to_owned(),
        query => format!("{path}?{query}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_escaped() {
        let none: [(&str, &str); 0] = [];
        assert_eq!(link("/queue", none), "/queue");
        assert_eq!(link("/queue", [("a", "x&y=<z>"), ("b", "ü ")]), "/queue?a=x%26y%3D%3Cz%3E&b=%C3%BC+");
    }

    #[test]
    fn a_value_is_taken_once() {
        let pairs = [("by", "age"), ("a", ""), ("b", "1"), ("b", "2")];
        let mut asked = Asked(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
        assert_eq!(asked.take("by").unwrap().as_deref(), Some("age"));
        assert_eq!((asked.take("by").unwrap(), asked.take("a").unwrap()), (None, None));
        assert!(asked.take("b").is_err());
        assert_eq!(asked.iter().next(), None);
    }
}
