//! `/settings/user?name=`: one user or invitation; its role, and how to remove it.

use axum::response::{IntoResponse as _, Redirect, Response};
use jiff::Timestamp;
use maud::{Markup, html};
use store::Access as _;

use super::{
    Fault, Tab,
    asked::link,
    page,
    users::{People, about, role_of, roles, user_of},
};
use crate::pages::{
    Refusal,
    asked::Asked,
    form::{Form, form},
    shell::Visit,
    words::{ago, foreign, time},
};

pub(in crate::pages) async fn show(visit: Visit, mut asked: Asked) -> Result<Response, Refusal> {
    let name = asked.take("name")?.unwrap_or_default();
    asked.end()?;
    one(&visit, &People::read(&visit).await?, &name, None)
}

fn one(visit: &Visit, people: &People, name: &str, fault: Option<&Fault>) -> Result<Response, Refusal> {
    let user = people.users.iter().find(|user| user.name == name);
    let invitation = people.invitations.iter().find(|invitation| invitation.user == name);
    if user.is_none() && invitation.is_none() {
        return Err(Refusal::not_found("There is no user of that name, and no open invitation."));
    }
    let is_self = visit.person.name == name;
    let content = html! {
        p.kicker { a href="/settings/users" { "Users" } }
        @if let Some(user) = user {
            dl.pairs {
                div { dt { "Role" } dd { (user.right.name()) ": " (about(user.right)) } }
                div { dt { "Created" } dd { (time(user.created)) } }
                div { dt { "Last log-in" } dd { @match user.last_log_in { Some(at) => (time(at)), None => "never" } } }
                div { dt { "Logs in with" } dd { @if user.has_password { "a password" } @else { "another system, which vouches for the user" } } }
            }
            p { a href=(link("/settings/audit", [("who", name)])) { "Audit of " (foreign(name)) } }
        }
        @if let Some(invitation) = invitation {
            p {
                "Invited as " strong { (invitation.right.name()) } " by " (foreign(&invitation.by)) "; the link is valid for "
                (ago(invitation.expires, Timestamp::now())) "."
            }
        }
        @if let Some(user) = user {
            h2 { "Change the role" }
            p { @if is_self { "You must log in again afterwards." } @else { "The user is logged out and must log in again." } }
            (form(&visit.person, "/settings/users/role", &html! {
                input type="hidden" name="name" value=(name);
                div.fields { p { label for="role" { "Role" } (roles(Some(user.right))) } p { button { "Change the role" } } }
            }))
        }
        (removal(visit, name, user.is_some()))
    };
    Ok(page(visit, Tab::Users, name, fault, &content))
}

fn removal(visit: &Visit, name: &str, is_user: bool) -> Markup {
    html! {
        h2 { @if is_user { "Remove the user" } @else { "Withdraw the invitation" } }
        p {
            @if is_user { "The user is logged out, and open invitations stop working." } @else { "The link stops working." }
            " The audit keeps what the user has done."
        }
        (form(&visit.person, "/settings/users/remove", &html! {
            input type="hidden" name="name" value=(name);
            div.fields {
                p {
                    label for="typed" { "Type " (foreign(name)) " to confirm" }
                    input #typed name="typed" required maxlength="64" autocomplete="off" autocapitalize="none" spellcheck="false";
                }
                p { button.danger { @if is_user { "Remove" } @else { "Withdraw" } } }
            }
        }))
    }
}

pub(in crate::pages) async fn set_role(visit: Visit, form: Form) -> Result<Response, Refusal> {
    let people = People::read(&visit).await?;
    let name = user_of(&form).map_err(|Fault(_, text)| Refusal::bad_request(text))?;
    let allowed = role_of(&form).and_then(|right| match people.needs(name.as_str()) {
        Some(fault) if right != store::Right::Administrator => Err(fault),
        _ => Ok(right),
    });
    let right = match allowed {
        Ok(right) => right,
        Err(fault) => return one(&visit, &people, name.as_str(), Some(&fault)),
    };
    match visit.node.store.set_right(name.as_str(), right, form.person.actor()).await? {
        Some(_) => Ok(Redirect::to(&link("/settings/user", [("name", name.as_str())])).into_response()),
        None => Err(Refusal::not_found("There is no user of that name. Nothing was changed.")),
    }
}

pub(in crate::pages) async fn remove(visit: Visit, form: Form) -> Result<Response, Refusal> {
    let people = People::read(&visit).await?;
    let name = user_of(&form).map_err(|Fault(_, text)| Refusal::bad_request(text))?;
    let typed = form.text("typed").unwrap_or_default().trim().to_ascii_lowercase();
    let fault = match typed == name.as_str() {
        true => people.needs(name.as_str()),
        false => Some(Fault::bad(format!("typed: the text must be the name {}.", name.as_str()))),
    };
    if let Some(fault) = fault {
        return one(&visit, &people, name.as_str(), Some(&fault));
    }
    match visit.node.store.remove_user(name.as_str(), form.person.actor()).await? {
        true => Ok(Redirect::to("/settings/users").into_response()),
        false => Err(Refusal::not_found("There is no user of that name, and no open invitation. Nothing was changed.")),
    }
}
