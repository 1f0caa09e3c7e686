//! Notes of people about an incident.

use std::sync::Arc;

use axum::{
    extract::{Path, State},
    response::{IntoResponse, Redirect, Response},
};
use maud::{Markup, html};
use node::Node;
use store::{IncidentNote, Incidents as _, NOTE_CHARACTERS_MAX, NoteAdded, Right};

use super::{find, said};
use crate::{
    access::Person,
    pages::{
        Refusal,
        form::{Form, form},
        words::time,
    },
};

/// `path`: of the incident.
pub(super) fn all(notes: &[IncidentNote], path: &str, person: &Person) -> Markup {
    html! {
            h2 { "Notes" }
            @if notes.is_empty() { p.quiet { "No notes." } }
            @for note in notes {
                article.note {
                    p.quiet { (said(&note.who, person.right)) ", " (time(note.at)) }
                    @for line in note.text.lines() { p { (said(line, person.right)) } }
                }
            }
            @if person.may(Right::Operator) {
                (form(person, &format!("{path}/notes"), &html! {
                    p { label for="note" { "Add a note" } }
                    p { textarea #note name="text" rows="3" maxlength=(NOTE_CHARACTERS_MAX) required {} }
                    button { "Add the note" }
                }))
            }
    }
}

pub(in crate::pages) async fn add(
    State(node): State<Arc<Node>>,
    Path(id): Path<String>,
    form: Form,
) -> Result<Response, Refusal> {
    let incident = find(&node, &id).await?;
    let text = form.text("text").unwrap_or_default().trim();
    let count = text.chars().count();
    if count == 0 || count > NOTE_CHARACTERS_MAX {
        return Err(Refusal::bad_request(format!("text: a note has 1 to {NOTE_CHARACTERS_MAX} characters.")));
    }
    match node.store.add_note(incident.id, &form.person.name, text).await? {
        NoteAdded::Added => Ok(Redirect::to(&format!("/incidents/{}#notes", incident.id)).into_response()),
        NoteAdded::NoIncident => Err(Refusal::not_found("There is no such incident any more.")),
        NoteAdded::Full => Err(Refusal::bad_request("This incident has as many notes as one may have.")),
    }
}
