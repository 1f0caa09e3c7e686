//! Fragments: the parts of pages that change while people look. The page and `/live` call the same function, so that both
//! show the same.
//!
//! Invariants: a fragment knows the right of those who see it, and never who they are. So it has no form with a token
//! (its buttons name a form elsewhere on the page by `form=`), and one rendering is for all people with that right.

use std::{fmt, future::Future, pin::Pin, sync::Arc};

use insight::{Traffic, TrafficRange, views::NodeView};
use jiff::Timestamp;
use maud::{Markup, html};
use node::{Node, metrics::FleetFigures};
use store::{Incident, Incidents as _, Right};
use tokio::sync::OnceCell;

/// Incidents that are listed. Open ones come first, and one is open for each cause of a connector.
pub(super) const INCIDENTS_MAX: u32 = 200;

/// Maximum length of what a fragment is of, in bytes.
pub(super) const OF_MAX: usize = 500;

/// A kind of fragment. `render` reads only what costs little, never the history: it runs once a second while people look.
pub(super) struct Fragment {
    /// Unique in the table of fragments; letters, digits and hyphens.
    pub(super) name: &'static str,
    pub(super) needs: Right,
    pub(super) shape: Shape,
    pub(super) render: Render,
}

type Rendering<'a> = Pin<Box<dyn Future<Output = store::Result<Markup>> + Send + 'a>>;
pub(super) type Render = for<'a> fn(&'a Look) -> Rendering<'a>;

/// How the script replaces a fragment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Shape {
    /// As a whole.
    Block,
    /// As a whole, within a line.
    Inline,
    /// Each element with `data-row` separately. New ones wait for a press on "3 new – show", so that none moves.
    Rows,
}

/// What a fragment is rendered from.
pub(super) struct Look {
    pub(super) snapshot: Arc<Snapshot>,
    /// Which one, such as the id of an incident. Empty for a fragment that exists once. It came with a request: anybody
    /// may have written it.
    pub(super) of: String,
    /// The right of those who see it.
    pub(super) right: Right,
}

impl Fragment {
    /// The element that has the fragment, for a page. One of something too long stays as it is.
    pub(super) async fn element(&self, look: &Look) -> store::Result<Markup> {
        Ok(self.around(&look.of, &(self.render)(look).await?))
    }

    /// The same around what the page has rendered together with other parts.
    pub(super) fn around(&self, of: &str, content: &Markup) -> Markup {
        // What is longer than `/live` takes stays as it is until the page is loaded again.
        let key = (of.len() <= OF_MAX).then(|| Key { name: self.name, of: of.to_owned() }.to_string());
        match self.shape {
            Shape::Block => html! { div #(self.name) data-live=[key] { (content) } },
            Shape::Inline => html! { span #(self.name) data-live=[key] { (content) } },
            Shape::Rows => html! { div #(self.name) data-live=[key] data-rows { (content) } },
        }
    }
}

/// One fragment: `incidents-open`, or with what it is of, `incident:0192…`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Key {
    pub(super) name: &'static str,
    pub(super) of: String,
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)?;
        if self.of.is_empty() { Ok(()) } else { write!(f, ":{}", self.of) }
    }
}

/// The state of the fleet at one moment. Each part is read once, and only if a page or fragment needs it.
pub(super) struct Snapshot {
    pub(super) node: Arc<Node>,
    pub(super) at: Timestamp,
    incidents: OnceCell<Vec<Incident>>,
    figures: OnceCell<Option<FleetFigures>>,
    nodes: OnceCell<Vec<NodeView>>,
    /// In the order of [`TrafficRange::ALL`].
    traffic: [OnceCell<Traffic>; TrafficRange::ALL.len()],
}

impl Snapshot {
    pub(super) fn now(node: Arc<Node>) -> Self {
        Self {
            node,
            at: Timestamp::now(),
            incidents: OnceCell::new(),
            figures: OnceCell::new(),
            nodes: OnceCell::new(),
            traffic: Default::default(),
        }
    }

    /// Open incidents first.
    pub(super) async fn incidents(&self) -> store::Result<&[Incident]> {
        let read = || self.node.store.incidents(INCIDENTS_MAX);
        self.incidents.get_or_try_init(read).await.map(Vec::as_slice)
    }

    pub(super) async fn incidents_open(&self) -> store::Result<usize> {
        Ok(self.incidents().await?.iter().filter(|incident| incident.closed.is_none()).count())
    }

    pub(super) async fn nodes(&self) -> store::Result<&[NodeView]> {
        self.nodes.get_or_try_init(|| insight::nodes(&self.node.store)).await.map(Vec::as_slice)
    }

    pub(super) async fn traffic(&self, range: TrafficRange) -> store::Result<&Traffic> {
        let read = || Traffic::read(&self.node.store, range, self.at);
        let [hour, day, week] = &self.traffic;
        let cell = match range {
            TrafficRange::Hour => hour,
            TrafficRange::Day => day,
            TrafficRange::Week => week,
        };
        cell.get_or_try_init(read).await
    }

    /// What the metrics show of the fleet. `None`: the store does not answer in time.
    pub(super) async fn figures(&self) -> Option<&FleetFigures> {
        self.figures.get_or_init(|| self.node.fleet_figures()).await.as_ref()
    }
}
