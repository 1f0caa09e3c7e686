//! What all pages for people who have logged in share: the menu.

use std::sync::Arc;

use axum::{
    extract::{FromRef, FromRequestParts},
    http::request::Parts,
    response::Response,
};
use maud::{Markup, html};
use node::Node;
use store::Incidents as _;

use super::{Refusal, document::document, form::form, words::foreign};
use crate::access::Person;

/// Open ones come first, and one is open for each cause of a connector.
const INCIDENTS_MAX: u32 = 200;

/// The pages in the menu, in order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Section {
    Overview,
    Incidents,
    Trace,
    Queue,
    Destinations,
    Rollout,
    Nodes,
    Files,
    Settings,
}

impl Section {
    const MENU: [(Self, &'static str, &'static str); 9] = [
        (Self::Overview, "Overview", "/"),
        (Self::Incidents, "Incidents", "/incidents"),
        (Self::Trace, "Trace", "/trace"),
        (Self::Queue, "Queue", "/queue"),
        (Self::Destinations, "Destinations", "/destinations"),
        (Self::Rollout, "Rollout", "/rollout"),
        (Self::Nodes, "Nodes", "/nodes"),
        (Self::Files, "Files", "/files"),
        (Self::Settings, "Settings", "/settings/users"),
    ];

    fn needs(self) -> store::Right {
        match self {
            Self::Trace => store::Right::Tracer,
            Self::Files => store::Right::Operator,
            Self::Settings => store::Right::Administrator,
            _ => store::Right::Viewer,
        }
    }
}

/// One request of a person, and what its page needs besides its own content.
pub(super) struct Visit {
    pub(super) node: Arc<Node>,
    pub(super) person: Person,
    incidents_open: usize,
}

impl<S: Send + Sync> FromRequestParts<S> for Visit
where
    Arc<Node>: FromRef<S>,
{
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let node = Arc::<Node>::from_ref(state);
        let person = parts.extensions.get::<Person>().cloned().ok_or_else(Refusal::no_user)?;
        let incidents = node.store.incidents(INCIDENTS_MAX).await?;
        let incidents_open = incidents.iter().filter(|incident| incident.closed.is_none()).count();
        Ok(Self { node, person, incidents_open })
    }
}

impl Visit {
    /// The whole page.
    pub(super) fn page(&self, section: Section, title: &str, body: &Markup) -> Response {
        document(title, &html! { (self.menu(section)) main #main { (body) } })
    }

    fn menu(&self, current: Section) -> Markup {
        html! {
            a.skip href="#main" { "Skip to the content" }
            header.menu {
                a.brand href="/" { "Gatepost" }
                nav aria-label="Pages" {
                    @for (section, name, path) in Section::MENU {
                        @if self.person.may(section.needs()) {
                            a href=(path) aria-current=[(section == current).then_some("page")] {
                                (name)
                                @if section == Section::Incidents && self.incidents_open > 0 {
                                    " " span.count { (self.incidents_open) span.hidden { " open" } }
                                }
                            }
                        }
                    }
                }
                form.search method="get" action="/search" role="search" aria-label="Search everything" {
                    input type="search" name="q" aria-label="Address, message id or host" placeholder="Address, message id, host …" autocomplete="off" spellcheck="false";
                }
                div.person {
                    span { (foreign(&self.person.name)) span.hidden { ", " (self.person.right.name()) } }
                    (form(&self.person, "/logout", &html! { button { "Log out" } }))
                }
            }
        }
    }
}
