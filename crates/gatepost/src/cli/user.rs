//! `gatepost user`: who may use the console.

use std::io::Write;

use anyhow::Context as _;
use insight::views::{InvitationView, UserView};
use node::config::Config;
use serde_json::json;
use store::{Right, Store, UserName};
use trace::NextStep;

use super::{
    arguments::{Format, Output, UserCommand},
    operator,
    screen::{Screen, clean},
    similar::no_match,
    table::{Cell, Column, Table},
};

pub(crate) async fn run<S: Store>(
    command: &UserCommand,
    store: &S,
    config: &Config,
    screen: &Screen,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    match command {
        UserCommand::Invite { name, role, output } => {
            invite(name, Right::from(*role), *output, store, config, screen, out).await
        }
        UserCommand::List { output } => list(*output, store, screen, out).await,
        UserCommand::Role { name, role } => {
            let right = Right::from(*role);
            let before = store.set_right(name.as_str(), right, operator().as_str().into()).await?;
            let Some(before) = before else { return Err(unknown(name, store).await?) };
            let (name, right) = (name.as_str(), right.name());
            match before.name() == right {
                true => writeln!(out, "{name} is {right} already.")?,
                false => writeln!(out, "{name} is {right} from now on, and must log in again.")?,
            }
            Ok(())
        }
        UserCommand::Remove { name } => match store.remove_user(name.as_str(), operator().as_str().into()).await? {
            true => Ok(writeln!(out, "{} is removed and logged out.", name.as_str())?),
            false => Err(unknown(name, store).await?),
        },
    }
}

async fn unknown<S: Store>(name: &UserName, store: &S) -> anyhow::Result<anyhow::Error> {
    let (users, _) = store.users().await?;
    Ok(no_match("no user is named", name.as_str(), users.iter().map(|user| user.name.as_str())))
}

async fn invite<S: Store>(
    name: &UserName,
    right: Right,
    output: Output,
    store: &S,
    config: &Config,
    screen: &Screen,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let base = config.console_url().context(
        "the configuration has no console: set [console] listen, such as [\"127.0.0.1:2581\"], and restart the node",
    )?;
    let invited = insight::invite(store, &base, name, right, operator().into()).await;
    let invited = invited.context("failed to store the invitation")?;
    match output.format {
        Format::Json => {
            writeln!(out, "{}", serde_json::to_string_pretty(&invited)?)?;
        }
        Format::Table => {
            let (name, right, until) = (name.as_str(), right.name(), screen.time(invited.expires));
            let url = invited.url;
            writeln!(out, "Link for {name} ({right}). It can be used once, until {until}:\n\n  {url}")?;
        }
    }
    Ok(())
}

async fn list<S: Store>(output: Output, store: &S, screen: &Screen, out: &mut dyn Write) -> anyhow::Result<()> {
    let (users, invitations) = store.users().await.context("failed to read the users")?;
    let users: Vec<_> = users.into_iter().map(UserView::from).collect();
    let invitations: Vec<_> = invitations.into_iter().map(InvitationView::from).collect();
    if output.format == Format::Json {
        let json = json!({ "users": users, "invitations": invitations });
        return Ok(writeln!(out, "{}", serde_json::to_string_pretty(&json)?)?);
    }
    if users.is_empty() && invitations.is_empty() {
        return Ok(writeln!(out, "No users. To create one: {}", NextStep::UserInvite)?);
    }
    const COLUMNS: [Column; 4] =
        [Column::cut("USER", 8), Column::whole("ROLE"), Column::whole("LAST LOG-IN"), Column::wrapped("REMARK", 16)];
    let of_user = |user: &UserView| {
        let last = user.last_log_in.map_or_else(|| Cell::new("never"), |at| Cell::time(at, screen));
        let remark = if user.has_password { "" } else { "another system vouches" };
        vec![Cell::new(&user.user), Cell::new(user.right.name()), last, Cell::new(remark)]
    };
    let of_invitation = |invitation: &InvitationView| {
        let (until, by) = (screen.time(invitation.expires), clean(&invitation.invited_by));
        let remark = format!("invited by {by}, until {until}");
        vec![Cell::new(&invitation.user), Cell::new(invitation.right.name()), Cell::new(""), Cell::new(remark)]
    };
    let rows: Vec<_> = users.iter().map(of_user).chain(invitations.iter().map(of_invitation)).collect();
    Ok(Table::new(&COLUMNS, screen).write(&rows, out)?)
}
