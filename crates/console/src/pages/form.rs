//! What a person sent with a form. It must carry the CSRF token of the person's session.

use axum::{
    body::to_bytes,
    extract::{FromRequest, Request},
    http::header,
};
use maud::{Markup, html};

use super::Refusal;
use crate::access::Person;

/// Of a form, in bytes; thousands of ticked rows fit.
const FORM_MAX: usize = 512 * 1024;
const CSRF: &str = "csrf";

/// The fields of a form, which came from a page of this person's session.
pub(super) struct Form {
    pub(super) person: Person,
    fields: Vec<(String, String)>,
}

impl Form {
    /// The first value of a field.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    /// All values of a field, such as those of ticked rows.
    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.fields.iter().filter(move |(other, _)| other == name).map(|(_, value)| value.as_str())
    }
}

impl<S: Send + Sync> FromRequest<S> for Form {
    type Rejection = Refusal;

    async fn from_request(request: Request, _: &S) -> Result<Self, Refusal> {
        let person = request.extensions().get::<Person>().cloned().ok_or_else(Refusal::no_user)?;
        let kind = request.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        if !kind.is_some_and(|kind| kind.starts_with("application/x-www-form-urlencoded")) {
            return Err(Refusal::bad_request("A form is expected."));
        }
        let body = to_bytes(request.into_body(), FORM_MAX).await;
        let body = body.map_err(|_| Refusal::bad_request("The form is too large, or it did not arrive as a whole."))?;
        let fields: Vec<_> = form_urlencoded::parse(&body).into_owned().collect();
        let form = Self { person, fields };
        match form.text(CSRF) {
            Some(token) if are_equal(token, &form.person.csrf) => Ok(form),
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
    html! {
        form method="post" action=(action) {
            input type="hidden" name=(CSRF) value=(person.csrf);
            (content)
        }
    }
}
