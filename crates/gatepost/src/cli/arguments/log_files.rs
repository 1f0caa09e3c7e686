//! Options that name logs of other mail systems: one for each kind that can be read.

use std::{path::PathBuf, sync::LazyLock};

use clap::{Arg, ArgAction, ArgMatches, Args, Command, Error, FromArgMatches, value_parser};
use trace::{ForeignFormat, foreign::FORMATS};

/// Files by their kind, in the order of the kinds. `FROM`: the options of `trace`, `--from-NAME`, which also takes those of
/// `why`, `--NAME`.
#[derive(Clone, PartialEq, Debug, Default)]
pub(crate) struct LogFiles<const FROM: bool>(Vec<(&'static ForeignFormat, Vec<PathBuf>)>);

impl<const FROM: bool> LogFiles<FROM> {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Each kind of which files are named.
    pub(crate) fn by_format(&self) -> impl Iterator<Item = (&'static ForeignFormat, &[PathBuf])> {
        self.0.iter().map(|(format, files)| (*format, files.as_slice()))
    }

    fn options() -> impl Iterator<Item = (&'static str, &'static ForeignFormat)> {
        // clap wants names that last.
        static TRACE_OPTIONS: LazyLock<Vec<String>> =
            LazyLock::new(|| FORMATS.iter().map(|format| format!("from-{}", format.name)).collect());
        let name = |place: usize, format: &ForeignFormat| if FROM { &TRACE_OPTIONS[place] } else { format.name };
        FORMATS.into_iter().enumerate().map(move |(place, format)| (name(place, format), format))
    }
}

impl<const FROM: bool> Args for LogFiles<FROM> {
    fn augment_args(command: Command) -> Command {
        let option = |(name, format): (&'static str, &ForeignFormat)| {
            let help = if FROM { format.trace_help } else { format.why_help };
            let file = Arg::new(name).long(name).value_name("FILE").value_parser(value_parser!(PathBuf));
            let file = if FROM { file.alias(format.name) } else { file };
            // Files are recognised, so few need these.
            file.action(ArgAction::Append).help(help).hide_short_help(true)
        };
        command.args(Self::options().map(option))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl<const FROM: bool> FromArgMatches for LogFiles<FROM> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let files = |(name, format)| Some((format, matches.get_many::<PathBuf>(name)?.cloned().collect()));
        Ok(Self(Self::options().filter_map(files).collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}
