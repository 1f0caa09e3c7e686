//! `/api/v1/users`, `/api/v1/audit`: who may use the console, and who has done what.

use axum::http::StatusCode;
use insight::{
    ChangeSearch, change_cursor_text, changes, read_change_cursor,
    views::{FleetChangeView, InvitationView, InvitedView, UserView},
};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;
use store::{Access as _, ChangeQuery, Right, Store, UserName};
use trace::Change;

use super::{
    cursor::{self, AFTER},
    form::{Form, Shape},
    listing::{self, PAGE, limit, limit_of},
    operation::{Asked, Operation, Takes},
    problem::{Kind, Problem},
    query::{Parameter, Query},
    reply::Reply,
    time::{SINCE, UNTIL, time},
};

const USERS: &str = "/api/v1/users";
const AUDIT: &str = "/api/v1/audit";
const USER: Parameter = Parameter::new("user", "Name of the user", Form::Shaped(&NAME));
const RIGHT: Parameter = Parameter::new(
    "right",
    "What the user may do; each right includes those before it",
    Form::Name(|| Right::ALL.map(Right::name).to_vec()),
);

static NAME: Shape = Shape {
    pattern: "^[A-Za-z0-9._@+-]{1,64}$",
    is: |text| text.parse::<UserName>().is_ok(),
    what: "the name of a user: 1 to 64 letters, digits and . _ - @ +",
    example: "ana",
};

const OF_AUDIT: [Parameter; 7] = [
    SINCE,
    UNTIL,
    Parameter::new(
        "kind",
        "Only these kinds",
        Form::Names(|| [&ChangeSearch::KINDS[..], &ChangeSearch::AUDIT_KINDS].concat()),
    ),
    Parameter::new("node", "Only what is about this node, or what it saw", Form::Text(255)),
    Parameter::new("who", "Only what this user, token, node or person at the command line has done", Form::Text(255)),
    limit_of("Maximum number of rows; 100 by default"),
    AFTER,
];

pub(super) const OPERATIONS: &[Operation] = &[
    Operation::get(USERS, "listUsers", "List the users of the console, and who is invited", |asked| {
        Box::pin(list(asked))
    })
    .needs(Right::Administrator)
    .query(&PAGE)
    .gives::<Users>()
    .fails(&[Kind::NotFound])
    .commands(&["user list"]),
    Operation::post(
        USERS,
        "inviteUser",
        "Invite a user: the answer has a link, which can be used once within an hour",
        |asked| Box::pin(invite(asked)),
    )
    .needs(Right::Administrator)
    .takes(Takes::Json(&[USER.required(), RIGHT.required()]))
    .gives_as::<InvitedView>(201)
    .fails(&[Kind::Conflict])
    .commands(&["user invite"]),
    Operation::post("/api/v1/users/{user}/right", "setRight", "Change what a user may do, and end its sessions", |asked| {
        Box::pin(set_right(asked))
    })
    .needs(Right::Administrator)
    .in_path(&[USER])
    .takes(Takes::Json(&[RIGHT.required()]))
    .fails(&[Kind::NotFound])
    .commands(&["user role"]),
    Operation::delete("/api/v1/users/{user}", "removeUser", "Remove a user with its invitations and sessions", |asked| {
        Box::pin(remove(asked))
    })
    .needs(Right::Administrator)
    .in_path(&[USER])
    .fails(&[Kind::NotFound])
    .commands(&["user remove"]),
    Operation::get(
        AUDIT,
        "listAudit",
        "List what was done, by whom and from where, newest first: all changes, and who has logged in or looked at a message",
        |asked| Box::pin(audit(asked)),
    )
    .needs(Right::Administrator)
    .query(&OF_AUDIT)
    .gives::<Audit>()
    .fails(&[Kind::NotFound])
    .commands(&["changes"]),
];

#[derive(Serialize, JsonSchema)]
struct Users {
    users: Vec<UserView>,
    /// All invitations that are still valid.
    invitations: Vec<InvitationView>,
    /// Value of `after` for the next page of users; null on the last page.
    next: Option<String>,
}

#[derive(Serialize, JsonSchema)]
struct Audit {
    /// The newest first.
    audit: Vec<FleetChangeView>,
    /// Value of `after` for the next page; null on the last page.
    next: Option<String>,
}

async fn list(Asked { node, query, .. }: Asked) -> Result<Reply, Problem> {
    let (users, invitations) = node.store.users().await?;
    let (users, next) = listing::page(USERS, &query, users, |user| user.name.clone())?;
    let (users, invitations) =
        (users.into_iter().map(UserView::from), invitations.into_iter().map(InvitationView::from));
    Reply::json(&Users { users: users.collect(), invitations: invitations.collect(), next })
}

fn user(query: &Query) -> Result<UserName, Problem> {
    let name = query.given(USER.name).parse::<UserName>();
    name.map_err(|error| Problem::parameter(USER.name, error))
}

fn right(query: &Query) -> Result<Right, Problem> {
    let right = query.named_value(RIGHT.name, &Right::ALL, Right::name);
    right.ok_or_else(|| Problem::parameter(RIGHT.name, "is required"))
}

async fn invite(Asked { node, query, client, .. }: Asked) -> Result<Reply, Problem> {
    let (user, right) = (user(&query)?, right(&query)?);
    let Some(base) = node.config.load().console_url() else {
        return Err(Problem::conflict("the node has no console: set [console] listen, and restart the node"));
    };
    let invited = insight::invite(&node.store, &base, &user, right, client.actor()).await?;
    Ok(Reply::json(&invited)?.status(StatusCode::CREATED))
}

async fn set_right(Asked { node, query, client, .. }: Asked) -> Result<Reply, Problem> {
    let (user, right) = (user(&query)?, right(&query)?);
    let before = node.store.set_right(user.as_str(), right, client.actor()).await?;
    before.map(|_| Reply::nothing()).ok_or_else(|| no_user(&user))
}

async fn remove(Asked { node, query, client, .. }: Asked) -> Result<Reply, Problem> {
    let user = user(&query)?;
    match node.store.remove_user(user.as_str(), client.actor()).await? {
        true => Ok(Reply::nothing()),
        false => Err(no_user(&user)),
    }
}

fn no_user(user: &UserName) -> Problem {
    Problem::not_found(format!("no user is named {}", user.as_str()))
}

/// A search in the audit.
pub(crate) struct AuditSearch {
    query: Query,
    page: ChangeQuery,
}

impl AuditSearch {
    /// As a URL has it after `?`.
    pub(crate) fn read(text: &str) -> Result<Self, Problem> {
        Self::new(Query::read(Some(text), &OF_AUDIT)?)
    }

    fn new(query: Query) -> Result<Self, Problem> {
        let (now, kinds) =
            (Timestamp::now(), query.text("kind").map(|kinds| kinds.split(',').map(str::to_owned).collect()));
        let page = ChangeQuery {
            since: time(&query, SINCE.name, now)?,
            until: time(&query, UNTIL.name, now)?,
            kinds: kinds.unwrap_or_default(),
            node: query.owned("node"),
            who: query.owned("who"),
            audit: true,
            limit: limit(&query, 100)?,
            after: cursor::read(AUDIT, &query, |text| read_change_cursor(text).ok())?,
        };
        Ok(Self { query, page })
    }

    /// With that number of rows.
    pub(crate) fn at_most(mut self, rows: u32) -> Self {
        self.page.limit = rows;
        self
    }

    pub(crate) fn query(&self) -> ChangeQuery {
        self.page.clone()
    }

    /// The newest first, and the value of `after` for the next page.
    pub(crate) async fn page<S: Store>(&self, store: &S) -> store::Result<(Vec<Change>, Option<String>)> {
        let (changes, next) = changes(store, self.query()).await?;
        Ok((changes, next.map(|next| cursor::write(&change_cursor_text(next), AUDIT, &self.query))))
    }
}

async fn audit(Asked { node, query, .. }: Asked) -> Result<Reply, Problem> {
    let (changes, next) = AuditSearch::new(query)?.page(&node.store).await?;
    Reply::json(&Audit { audit: changes.iter().map(FleetChangeView::from).collect(), next })
}
