//! The command line: reads the arguments and the configuration, and runs the command.

/// As `eprintln` does, wrapped to the terminal. Nobody has to read it: the output may be a pipe whose reader has gone.
macro_rules! note {
    ($($part:tt)*) => {{
        $crate::cli::write_note(&format!($($part)*));
    }};
}

mod case;
mod cli;

use std::{
    io::{self, BufWriter, IsTerminal, Stdout, Write},
    path::Path,
    process::ExitCode,
};

use clap::Parser;
use jiff::Timestamp;
use store::Backend;
use tracing_subscriber::EnvFilter;

use cli::{Arguments, CaseCommand, Command, PolicyCommand, StoreCommand};
use node::config::{Config, File, LogFormat, LogLevel};

/// Output for results.
type Out = BufWriter<Stdout>;

fn main() -> ExitCode {
    let mut arguments = Arguments::parse();
    if let Command::Why(why) = &mut arguments.command
        && let Err(error) = why.tell_files_apart()
    {
        return cli::finish(Err(error));
    }
    if let Some(file) = arguments.named_configuration() {
        trace::next_step::name_configuration(&file.display().to_string());
    }
    cli::finish(run(&arguments))
}

fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let config = || Config::load(&arguments.config);
    let screen = cli::Screen::stdout(arguments.command.utc(), Timestamp::now());
    match &arguments.command {
        Command::Serve { accept_loss } => serve(&arguments.config, *accept_loss).map(|()| ExitCode::SUCCESS),
        Command::Restore(backup) => {
            let config = config()?;
            write(|out| cli::run_restore(backup, &config, out))
        }
        Command::Case(command) => write(|out| run_case(command, &screen, out)),
        Command::Config(command) => {
            finding(async |out| cli::run_config(command, &arguments.config, &screen, out).await)
        }
        Command::Api(command) => write(|out| cli::run_api(command, out)),
        Command::Capture(capture) => write(|out| cli::run_capture(capture, &screen, out)),
        Command::Policy(PolicyCommand::List { format }) => finding(async |out| {
            let config = cli::in_force(&arguments.config).await?;
            cli::list_policies(*format, &config, &screen, out).map(|()| false)
        }),
        Command::Connector(command) => finding(async |out| {
            let config = cli::in_force(&arguments.config).await?;
            cli::run_connector(command, &config, &screen, out).await
        }),
        Command::Trace(trace) if trace.is_foreign() => write(|out| cli::run_foreign_trace(trace, &screen, out)),
        Command::Probe(probe) => {
            // A host needs no configuration. With a configuration, the argument may name a connector.
            finding(async |out| {
                let config = cli::in_force(&arguments.config).await.ok();
                cli::run_probe(probe, config.as_ref(), &screen, out).await
            })
        }
        Command::Why(why) if !why.reads_history() => {
            // Files need no configuration. With a configuration, probes connect as it says.
            finding(async |out| {
                let config = cli::in_force(&arguments.config).await.ok();
                cli::run_why(why, None::<&Backend>, config.as_ref(), &screen, out).await
            })
        }
        Command::Store(StoreCommand::Migrate(migrate)) => {
            // Both ends may be named on the command line.
            let config =
                if arguments.config.exists() || migrate.needs_configuration() { Some(config()?) } else { None };
            finding(async |out| cli::run_migrate(migrate, config.as_ref(), &screen, out).await.map(|()| false))
        }
        command => {
            let file = File::read(&arguments.config).map_err(|error| no_history(arguments, error.into()))?;
            finding(async |out| query(command, &file, &screen, out).await)
        }
    }
}

/// Without a configuration there is no history; a name to look up there may be the misspelt name of a file.
fn no_history(arguments: &Arguments, error: anyhow::Error) -> anyhow::Error {
    let Command::Why(why) = &arguments.command else { return error };
    match &why.what {
        Some(what) if !arguments.config.exists() => {
            let what = cli::clean(what);
            anyhow::anyhow!("there is no file {what}; to look for that name in the history of a node: {error:#}")
        }
        _ => error,
    }
}

/// Runs a command that prints.
fn write(command: impl FnOnce(&mut Out) -> anyhow::Result<()>) -> anyhow::Result<ExitCode> {
    let mut out = BufWriter::new(io::stdout());
    command(&mut out)?;
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

/// Runs a command with findings: exit status 1 if there are any, otherwise 0.
fn finding(command: impl AsyncFnOnce(&mut Out) -> anyhow::Result<bool>) -> anyhow::Result<ExitCode> {
    let mut out = BufWriter::new(io::stdout());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let found = runtime.block_on(command(&mut out))?;
    out.flush()?;
    Ok(ExitCode::from(u8::from(found)))
}

/// Runs a command on the store. True if there are findings.
async fn query(command: &Command, file: &File, screen: &cli::Screen, out: &mut Out) -> anyhow::Result<bool> {
    let store = node::attach(&file.parse()?).await?;
    let (config, problem) = node::in_force(file, &store).await?;
    if let Some(problem) = problem {
        note!("gatepost: {problem}");
    }
    let config = &config;
    let result = match command {
        Command::Why(why) => cli::run_why(why, Some(&store), Some(config), screen, out).await,
        Command::Policy(PolicyCommand::Impact(impact)) => cli::run_impact(impact, &store, config, screen, out).await,
        Command::Store(StoreCommand::Check { output }) => cli::run_store_check(*output, &store, screen, out).await,
        command => act(command, &store, config, screen, out).await.map(|()| false),
    };
    store.close().await;
    result
}

/// Runs a command on the store that has no findings.
async fn act(
    command: &Command,
    store: &Backend,
    config: &Config,
    screen: &cli::Screen,
    out: &mut Out,
) -> anyhow::Result<()> {
    match command {
        Command::Backup(backup) => cli::run_backup(backup, store, out).await,
        Command::Queue(command) => cli::run_queue(command, store, config, screen, out).await,
        Command::Trace(arguments) => cli::run_trace(arguments, store, config, screen, out).await,
        Command::Policy(PolicyCommand::Ledger(output)) => cli::run_ledger(*output, store, screen, out).await,
        Command::Changes(arguments) => cli::run_changes(arguments, store, screen, out).await,
        Command::Incident(command) => cli::run_incident(command, store, screen, out).await,
        Command::Tallies(arguments) => cli::run_tallies(arguments, store, screen, out).await,
        Command::Rollout(command) => cli::run_rollout(command, store, config, screen, out).await,
        Command::Node(command) => cli::run_node(command, store, screen, out).await,
        Command::User(command) => cli::run_user(command, store, config, screen, out).await,
        Command::Token(command) => cli::run_token(command, store, screen, out).await,
        Command::Store(StoreCommand::Restored { deliver_since, hold: _, output }) => {
            cli::run_store_restored(*deliver_since, *output, store, screen, out).await
        }
        // These commands need no store.
        Command::Serve { .. }
        | Command::Restore(_)
        | Command::Config(_)
        | Command::Case(_)
        | Command::Api(_)
        | Command::Connector(_)
        | Command::Store(_)
        | Command::Why(_)
        | Command::Probe(_)
        | Command::Capture(_)
        | Command::Policy(PolicyCommand::List { .. } | PolicyCommand::Impact(_)) => Ok(()),
    }
}

fn run_case(command: &CaseCommand, screen: &cli::Screen, out: &mut Out) -> anyhow::Result<()> {
    match command {
        CaseCommand::List { format } => case::list(*format, screen, out),
        CaseCommand::Device { name, listen } => case::device(*name, *listen, out),
        CaseCommand::Send { recipient, from, server } => case::send(*server, from, recipient, out),
        CaseCommand::Run { name, all: _, defended, hold, console, store, keep, format } => {
            raise_descriptor_limit();
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
            let result = match name {
                Some(name) if *hold => runtime.block_on(case::hold(name, *console, *keep, screen, out)),
                Some(name) if *defended => runtime.block_on(case::run_defended(name, *keep, *format, screen, out)),
                _ => {
                    let case = case::run(name.as_deref(), store.as_deref(), *keep, *format, screen, out);
                    runtime.block_on(case)
                }
            };
            runtime.shutdown_background();
            result
        }
    }
}

fn serve(path: &Path, accept_loss: bool) -> anyhow::Result<()> {
    let file = File::read(path)?;
    let config = file.parse()?;
    start_logging(&config);
    raise_descriptor_limit();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let result = runtime.block_on(node::serve(path, file, config, accept_loss, console::Listeners::start));
    // Do not wait for tasks that are still running after the grace period.
    runtime.shutdown_background();
    result
}

/// Text on a terminal, otherwise JSON lines, unless the configuration sets a format.
fn start_logging(config: &Config) {
    let level = match config.log.level {
        LogLevel::Error => "error",
        LogLevel::Warn => "warn",
        LogLevel::Info => "info",
        LogLevel::Debug => "debug",
        LogLevel::Trace => "trace",
    };
    // The S3 client's library reports each request that it repeats; the store says once what came of it.
    let default = if level == "info" { "info,object_store=warn" } else { level };
    let filter = EnvFilter::try_from_env("GATEPOST_LOG").unwrap_or_else(|_| EnvFilter::new(default));
    let is_terminal = io::stderr().is_terminal();
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    match (config.log.format, is_terminal) {
        (LogFormat::Json, _) | (LogFormat::Auto, false) => builder.json().flatten_event(true).init(),
        (LogFormat::Text, _) | (LogFormat::Auto, true) => builder.with_ansi(is_terminal).with_target(false).init(),
    }
}

/// Each connection needs a file descriptor, and the usual soft limit of 1024 is too low.
fn raise_descriptor_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::debug!(%error, "failed to raise the limit of open files; continuing with the old limit");
    }
}
