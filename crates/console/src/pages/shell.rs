//! What all pages for people who have logged in share: the menu.

use std::sync::Arc;

use axum::{
    extract::{FromRef, FromRequestParts},
    http::request::Parts,
    response::Response,
};
use maud::{Markup, html};
use node::Node;
use protocol::text::clean;
use sha2::{Digest as _, Sha256};
use store::Right;

use super::{
    Refusal, assets,
    document::{document, reloading},
    form::form,
    fragment::{Fragment, Look, Shape, Snapshot},
    words::{foreign, without_addresses},
};
use crate::access::Person;

/// The number in the menu.
pub(super) const INCIDENTS_OPEN: Fragment = Fragment {
    name: "incidents-open",
    needs: Right::Viewer,
    shape: Shape::Inline,
    render: |look| Box::pin(incidents_open(look)),
};

async fn incidents_open(look: &Look) -> store::Result<Markup> {
    let count = look.snapshot.incidents_open().await?;
    Ok(html! { @if count > 0 { span.count { (count) span.hidden { " open" } } } })
}

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
    Settings,
}

impl Section {
    const MENU: [(Self, &'static str, &'static str); 8] = [
        (Self::Overview, "Overview", "/"),
        (Self::Incidents, "Incidents", "/incidents"),
        (Self::Trace, "Trace", "/trace"),
        (Self::Queue, "Queue", "/queue"),
        (Self::Destinations, "Destinations", "/destinations"),
        (Self::Rollout, "Rollout", "/rollout"),
        (Self::Nodes, "Nodes", "/nodes"),
        (Self::Settings, "Settings", "/settings/users"),
    ];

    fn needs(self) -> store::Right {
        match self {
            Self::Trace => store::Right::Tracer,
            Self::Settings => store::Right::Administrator,
            _ => store::Right::Viewer,
        }
    }
}

/// One request of a person, and what its page needs besides its own content.
pub(super) struct Visit {
    pub(super) node: Arc<Node>,
    pub(super) person: Person,
    pub(super) snapshot: Arc<Snapshot>,
    incidents_open: Markup,
}

impl<S: Send + Sync> FromRequestParts<S> for Visit
where
    Arc<Node>: FromRef<S>,
{
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let node = Arc::<Node>::from_ref(state);
        let person = parts.extensions.get::<Person>().cloned().ok_or_else(Refusal::no_user)?;
        let snapshot = Arc::new(Snapshot::now(Arc::clone(&node)));
        let look = Look { snapshot: Arc::clone(&snapshot), of: String::new(), right: person.right };
        let incidents_open = INCIDENTS_OPEN.element(&look).await?;
        Ok(Self { node, person, snapshot, incidents_open })
    }
}

impl Visit {
    /// The whole page.
    pub(super) fn page(&self, section: Section, title: &str, body: &Markup) -> Response {
        let title = clean(title);
        let title = &if self.person.may(Right::Tracer) { title } else { without_addresses(&title) };
        let document = if section == Section::Overview { reloading } else { document };
        document(title, &html! { (self.menu(section)) main #main { (body) } (keys()) })
    }

    /// A part of the page that changes while the person looks; `of` says which one, where there are several.
    pub(super) async fn fragment(&self, fragment: &Fragment, of: &str) -> store::Result<Markup> {
        let look = Look { snapshot: Arc::clone(&self.snapshot), of: of.to_owned(), right: self.person.right };
        fragment.element(&look).await
    }

    fn menu(&self, current: Section) -> Markup {
        html! {
            a.skip href="#main" { "Skip to the content" }
            header.menu data-session=(self.session()) data-version=(assets::version()) {
                a.brand href="/" { "Gatepost" }
                nav aria-label="Pages" {
                    @for (section, name, path) in Section::MENU {
                        @if self.person.may(section.needs()) {
                            a href=(path) aria-current=[(section == current).then_some("page")] {
                                (name)
                                @if section == Section::Incidents { " " (self.incidents_open) }
                            }
                        }
                    }
                }
                p.live #live role="status" {}
                form.search method="get" action="/search" role="search" aria-label="Search everything" {
                    input type="search" name="q" aria-label="Address, message id or host" placeholder="Address, id, host" autocomplete="off" spellcheck="false";
                }
                div.person {
                    span { (foreign(&self.person.name)) span.hidden { ", " (self.person.right.name()) } }
                    (form(&self.person, "/logout", &html! { button { "Log out" } }))
                }
                button.plain #open-keys type="button" hidden { "Keys" }
            }
        }
    }

    /// Names this session to other tabs of the browser, and to nobody else.
    fn session(&self) -> String {
        Sha256::digest(&self.person.csrf).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
    }
}

/// Which keys the script knows. It shows the button that opens this.
fn keys() -> Markup {
    const KEYS: [(&str, &str); 7] = [
        ("/", "Search"),
        ("g, then o i t q d r n s", "Open Overview, Incidents, Trace, Queue, Destinations, Rollout, Nodes, Settings"),
        ("j", "Next row"),
        ("k", "Previous row"),
        ("x", "Select the row"),
        ("Enter", "Open the row"),
        ("?", "Show this list"),
    ];
    html! {
        dialog #keys aria-labelledby="keys-title" {
            h2 #keys-title { "Keys" }
            dl { @for (key, does) in KEYS { div { dt { kbd { (key) } } dd { (does) } } } }
            p { label { input #use-keys type="checkbox" checked; " Use these keys" } }
            form method="dialog" { button { "Close" } }
        }
    }
}
