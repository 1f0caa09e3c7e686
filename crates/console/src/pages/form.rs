//! What a person sent with a form. Where somebody has logged in, it must carry the CSRF token of that session.

use axum::{
    body::to_bytes,
    extract::{FromRequest, Request},
    http::header,
};
use form_urlencoded::Serializer;
use maud::{Markup, html};

use super::Refusal;
use crate::access::Person;

/// Of a form, in bytes; thousands of ticked rows fit.
const FORM_MAX: usize = 512 * 1024;
/// The page of the console that the person comes back to.
pub(super) const BACK: &str = "back";
const CSRF: &str = "csrf";

/// The fields of a form that anybody may have sent.
#[derive(Clone, PartialEq, Debug, Default)]
pub(super) struct Fields(Vec<(String, String)>);

impl Fields {
    pub(super) async fn read(request: Request) -> Result<Self, Refusal> {
        let kind = request.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        if !kind.is_some_and(|kind| kind.starts_with("application/x-www-form-urlencoded")) {
            return Err(Refusal::bad_request("A form is expected."));
        }
        let body = to_bytes(request.into_body(), FORM_MAX).await;
        let body = body.map_err(|_| Refusal::bad_request("The form is too large, or it did not arrive as a whole."))?;
        Ok(Self(form_urlencoded::parse(&body).into_owned().collect()))
    }

    /// The first value of a field.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    /// All values of a field, such as those of ticked boxes.
    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    /// As one text, which [`Fields::unpacked`] reads, without the token: another session has another one.
    pub(super) fn packed(&self) -> String {
        Serializer::new(String::new()).extend_pairs(self.without_token()).finish()
    }

    pub(super) fn unpacked(text: &str) -> Self {
        Self(form_urlencoded::parse(text.as_bytes()).into_owned().collect())
    }

    pub(super) fn without_token(&self) -> impl Iterator<Item = &(String, String)> {
        self.0.iter().filter(|(name, _)| name != CSRF)
    }
}

/// The fields of a form, which came from a page of this person's session.
pub(super) struct Form {
    pub(super) person: Person,
    fields: Fields,
}

impl Form {
    /// The first value of a field.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.fields.text(name)
    }

    /// All values of a field, such as those of ticked boxes.
    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.fields.all(name)
    }

    /// Where the person comes back to, if the form says so, and if that is a page of this console.
    pub(super) fn back(&self) -> Option<&str> {
        self.text(BACK).filter(|path| is_here(path))
    }

    /// All fields but these and the token, in order.
    pub(super) fn others<'a>(&'a self, but: &'a [&str]) -> impl Iterator<Item = (&'a str, &'a str)> {
        let fields = self.fields.without_token().map(|(name, value)| (name.as_str(), value.as_str()));
        fields.filter(move |(name, _)| !but.contains(name))
    }
}

impl<S: Send + Sync> FromRequest<S> for Form {
    type Rejection = Refusal;

    async fn from_request(request: Request, _: &S) -> Result<Self, Refusal> {
        let person = request.extensions().get::<Person>().cloned().ok_or_else(Refusal::no_user)?;
        let fields = Fields::read(request).await?;
        match fields.text(CSRF) {
            Some(token) if are_equal(token, &person.csrf) => Ok(Self { person, fields }),
            _ => Err(Refusal::foreign_origin()),
        }
    }
}

/// Compares in a time that does not depend on where they differ.
fn are_equal(a: &str, b: &str) -> bool {
    a.len() == b.len() && a.bytes().zip(b.bytes()).fold(0, |differ, (a, b)| differ | (a ^ b)) == 0
}

/// A form that acts, with the token that [`Form`] asks for.
pub(super) fn form(person: &Person, action: &str, content: &Markup) -> Markup {
    form_with_id(person, None, action, content)
}

/// The same for a form that fields and buttons elsewhere on the page belong to.
pub(super) fn form_with_id(person: &Person, id: Option<&str>, action: &str, content: &Markup) -> Markup {
    html! {
        form id=[id] method="post" action=(action) {
            input type="hidden" name=(CSRF) value=(person.csrf);
            (content)
        }
    }
}

/// A page of this console, and not of another site.
fn is_here(path: &str) -> bool {
    let is_plain = path.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'\\' | b'#'));
    is_plain && path.starts_with('/') && !path.starts_with("//")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_packed_without_the_token() {
        let fields = Fields::unpacked("csrf=secret&row=1&row=2&note=a%26b%3D%22%3Cscript%3E%0A\u{202e}");
        assert_eq!(fields.text("csrf"), Some("secret"));
        let again = Fields::unpacked(&fields.packed());
        assert_eq!(again.text("csrf"), None);
        assert_eq!(again.all("row").collect::<Vec<_>>(), ["1", "2"]);
        assert_eq!(again.text("note"), Some("a&b=\"<script>\n\u{202e}"));
        assert!(again.packed().is_ascii());
    }

    #[test]
    fn a_person_comes_back_to_this_console_only() {
        for (path, expected) in [
            ("/queue/list?connector=a", true),
            ("/messages/1", true),
            ("//evil.test/", false),
            ("/\\evil.test", false),
            ("https://evil.test", false),
            ("/a\r\nSet-Cookie: x", false),
            ("", false),
        ] {
            assert_eq!(is_here(path), expected, "{path}");
        }
    }
}
