//! `/settings/users`: users and open invitations, and a form to invite somebody. The link of an invitation is shown once, in the
//! answer to the form: it is in no address of a page, and in no log.

use axum::response::Response;
use insight::views::InvitedView;
use jiff::Timestamp;
use maud::{Markup, html};
use protocol::text::clean;
use store::{Access as _, Invitation, Right, User, UserName};

use super::{Fault, ROWS_MAX, Tab, asked::link, page, pages, rows_after};
use crate::pages::{
    Refusal,
    asked::Asked,
    form::{Form, form},
    shell::Visit,
    words::{ago, foreign, number, time},
};

/// The role and what it may do, as `gatepost user` says it.
pub(super) const fn about(right: Right) -> &'static str {
    match right {
        Right::Viewer => "sees incidents, charts, destinations and nodes; no addresses",
        Right::Tracer => "also searches for messages and sees addresses and subjects",
        Right::Operator => "also retries, suspends and resumes mail, changes rollouts, and probes",
        Right::Administrator => "also removes mail, reads content, and manages users and tokens",
    }
}

/// All users, and the invitations that are valid, by name.
pub(super) struct People {
    pub(super) users: Vec<User>,
    pub(super) invitations: Vec<Invitation>,
}

impl People {
    pub(super) async fn read(visit: &Visit) -> Result<Self, Refusal> {
        let (users, invitations) = visit.node.store.users().await?;
        Ok(Self { users, invitations })
    }

    /// Why that user may not get another role or be removed: nobody could undo it here.
    pub(super) fn needs(&self, name: &str) -> Option<Fault> {
        let mut administrators = self.users.iter().filter(|user| user.right == Right::Administrator);
        let is_last = administrators.next().is_some_and(|user| user.name == name) && administrators.next().is_none();
        is_last.then(|| {
            Fault::conflict(format!(
                "{name} is the only administrator: nobody could manage users any more. Make another user an administrator first."
            ))
        })
    }
}

pub(in crate::pages) async fn show(visit: Visit, mut asked: Asked) -> Result<Response, Refusal> {
    let after = asked.take("after")?;
    asked.end()?;
    let people = People::read(&visit).await?;
    Ok(list(&visit, people, after.as_deref(), None))
}

fn list(visit: &Visit, people: People, after: Option<&str>, fault: Option<&Fault>) -> Response {
    let now = Timestamp::now();
    let (invitations, more) = people.invitations.split_at(people.invitations.len().min(ROWS_MAX));
    let invited = after.is_none().then(|| self::invited(invitations, more.len(), now));
    let (users, next) = rows_after(people.users, after, |user| &user.name);
    let content = html! {
        @if users.is_empty() { p { "No users." } } @else { (table(&users)) }
        (pages("/settings/users", after.is_some(), next.as_deref()))
        @if let Some(invited) = invited { (invited) }
        h2 { "Invite a user" }
        p {
            "You get a link to pass on. It is valid for one hour and can be used once: its holder chooses a password. To let a user \
             choose a new password, invite the user again."
        }
        (form(&visit.person, "/settings/users", &html! {
            div.fields {
                p {
                    label for="name" { "Name" }
                    input #name name="name" required maxlength="64" autocomplete="off" autocapitalize="none" spellcheck="false" aria-describedby="rule";
                }
                p { label for="role" { "Role" } (roles(None)) }
                p { button.primary { "Invite" } }
            }
            p #rule.quiet { "Names have letters, digits and . _ - @ +" }
        }))
        dl.roles { @for right in Right::ALL { div { dt { (right.name()) } dd { (about(right)) } } } }
    };
    page(visit, Tab::Users, "Users", fault, &content)
}

fn table(users: &[User]) -> Markup {
    html! {
        table.stack {
            thead { tr { @for name in ["Name", "Role", "Created", "Last log-in"] { th scope="col" { (name) } } } }
            tbody {
                @for user in users {
                    tr data-row=(user.name) {
                        th scope="row" { a href=(link("/settings/user", [("name", &user.name)])) { (foreign(&user.name)) } }
                        td data-label="Role" {
                            (user.right.name())
                            @if !user.has_password { span.quiet { " (another system vouches)" } }
                        }
                        td data-label="Created" { (time(user.created)) }
                        td data-label="Last log-in" { @match user.last_log_in { Some(at) => (time(at)), None => "never" } }
                    }
                }
            }
        }
    }
}

fn invited(invitations: &[Invitation], more: usize, now: Timestamp) -> Markup {
    html! {
        @if !invitations.is_empty() {
            h2 { "Open invitations" }
            table.stack {
                thead { tr { @for name in ["Name", "Role", "Invited by", "Valid for"] { th scope="col" { (name) } } } }
                tbody {
                    @for invitation in invitations {
                        tr data-row=(invitation.user) {
                            th scope="row" { a href=(link("/settings/user", [("name", &invitation.user)])) { (foreign(&invitation.user)) } }
                            td data-label="Role" { (invitation.right.name()) }
                            td data-label="Invited by" { (foreign(&invitation.by)) }
                            td data-label="Valid for" { (ago(invitation.expires, now)) }
                        }
                    }
                }
            }
            @if more > 0 { p.quiet { (number(more as u64)) " more invitations are not listed." } }
        }
    }
}

/// A field to choose a role; first the one that the user has.
pub(super) fn roles(now: Option<Right>) -> Markup {
    html! {
        select #role name="role" required {
            @for right in Right::ALL { option value=(right.name()) selected[now == Some(right)] { (right.name()) } }
        }
    }
}

/// The fields of a form that names a user.
pub(super) fn user_of(form: &Form) -> Result<UserName, Fault> {
    let name = form.text("name").unwrap_or_default().trim().parse();
    name.map_err(|error: &str| Fault::bad(format!("name: {error}")))
}

pub(super) fn role_of(form: &Form) -> Result<Right, Fault> {
    let role = form.text("role").and_then(Right::named);
    role.ok_or_else(|| Fault::bad(format!("role: must be one of {}", Right::ALL.map(Right::name).join(", "))))
}

pub(in crate::pages) async fn invite(visit: Visit, form: Form) -> Result<Response, Refusal> {
    let people = People::read(&visit).await?;
    let asked = user_of(&form).and_then(|name| Ok((name, role_of(&form)?)));
    // The role counts from when the invitation is accepted.
    let allowed = asked.and_then(|(name, right)| match people.needs(name.as_str()) {
        Some(fault) if right != Right::Administrator => Err(fault),
        _ => Ok((name, right)),
    });
    let (name, right) = match allowed {
        Ok(allowed) => allowed,
        Err(fault) => return Ok(list(&visit, people, None, Some(&fault))),
    };
    let base = visit.node.config.load().console_url();
    let base =
        base.ok_or_else(|| Refusal::bad_request("This node has no [console] listen, and a link would lead nowhere."))?;
    let InvitedView { url, expires, .. } =
        insight::invite(&visit.node.store, &base, &name, right, form.person.actor()).await?;
    let content = html! {
        p { "Pass this link on to " (foreign(name.as_str())) ", who becomes " strong { (right.name()) } ". It can be used once, until " (time(expires)) "." }
        p.secret { label for="link" { "Link" } input #link.wide readonly value=(url); }
        p { "The link is shown only here. If it is lost, invite " (foreign(name.as_str())) " again: the earlier link then stops working." }
        p { a href="/settings/users" { "Users" } }
    };
    Ok(page(&visit, Tab::Users, &format!("Invitation for {}", clean(name.as_str())), None, &content))
}
