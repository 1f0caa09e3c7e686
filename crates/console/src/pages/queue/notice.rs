//! What a command on the queue has done, on the page that a person sees next. The figures travel in its address, because a page
//! that was sent to a browser cannot be sent again.

use std::{fmt, str::FromStr};

use maud::{Markup, html};
use store::{Command, Commanded};

use super::deliveries;

/// `retry-61-2`
#[derive(Clone, Copy, PartialEq, Debug)]
pub(in crate::pages) struct Done {
    command: Command,
    done: Commanded,
}

/// The name of the field.
pub(in crate::pages) const DONE: &str = "done";

impl Done {
    pub(super) fn new(command: Command, done: Commanded) -> Self {
        Self { command, done }
    }

    fn sentence(self) -> String {
        let Self { command, done: Commanded { changed, leased } } = self;
        let verb = match command {
            Command::Retry => "due now",
            Command::Suspend => "suspended",
            Command::Resume => "resumed",
            Command::Remove => "removed",
        };
        let is = |count| if count == 1 { "is" } else { "are" };
        let was = |count| if count == 1 { "was" } else { "were" };
        match (changed, leased) {
            (0, 0) => "Nothing was changed: none of the deliveries is in a state that this changes.".to_owned(),
            (changed, 0) => format!("{} {} {verb}.", deliveries(changed), is(changed)),
            (changed, leased) => format!(
                "{} {} {verb}. {} {} not changed, because a node was sending at that moment.",
                deliveries(changed),
                is(changed),
                deliveries(leased),
                was(leased)
            ),
        }
    }
}

pub(super) fn name(command: Command) -> &'static str {
    match command {
        Command::Retry => "retry",
        Command::Suspend => "suspend",
        Command::Resume => "resume",
        Command::Remove => "remove",
    }
}

impl fmt::Display for Done {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { command, done: Commanded { changed, leased } } = self;
        write!(f, "{}-{changed}-{leased}", name(*command))
    }
}

impl FromStr for Done {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut parts = text.split('-');
        let all = [Command::Retry, Command::Suspend, Command::Resume, Command::Remove];
        let command = parts.next().and_then(|word| all.into_iter().find(|command| name(*command) == word)).ok_or(())?;
        let mut count = || parts.next()?.parse().ok();
        let done = count().zip(count()).map(|(changed, leased)| Commanded { changed, leased }).ok_or(())?;
        Ok(Self { command, done })
    }
}

/// Above the content. Nothing for a page that no command led to.
pub(in crate::pages) fn notice(done: Option<&str>) -> Markup {
    let done = done.and_then(|text| text.parse::<Done>().ok());
    html! { @if let Some(done) = done { p.notice role="status" { (done.sentence()) } } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_read_as_they_are_written() {
        for (command, changed, leased, text, sentence) in [
            (Command::Retry, 61, 2, "retry-61-2", "61 deliveries are due now. 2 deliveries were not changed, because"),
            (Command::Remove, 1, 0, "remove-1-0", "1 delivery is removed."),
            (Command::Suspend, 0, 0, "suspend-0-0", "Nothing was changed"),
            (Command::Resume, 0, 1, "resume-0-1", "0 deliveries are resumed. 1 delivery was not changed"),
        ] {
            let done = Done::new(command, Commanded { changed, leased });
            assert_eq!((done.to_string().as_str(), text.parse()), (text, Ok(done)));
            assert!(notice(Some(text)).into_string().contains(sentence));
        }
        for text in ["", "retry", "retry-1", "drop-1-0", "retry--1-0", "retry-<b>-0"] {
            assert!(notice(Some(text)).into_string().is_empty(), "{text}");
        }
    }
}
