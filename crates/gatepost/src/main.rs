//! The command line: reads the arguments and the configuration, and runs what was asked for.

mod api;
mod case;
mod cli;
mod config;
mod fleet;
mod inquiry;
mod node;
mod protocol_log;
mod why;

use std::{
    io::{BufWriter, IsTerminal, Write},
    path::Path,
    process::ExitCode,
};

use clap::Parser;
use jiff::Timestamp;
use store::SqliteStore;
use tracing_subscriber::EnvFilter;

use cli::{Arguments, CaseCommand, Command, PolicyCommand};
use config::{Config, LogFormat, LogLevel};

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    cli::finish(run(&arguments))
}

fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    if let Command::Why(why) = &arguments.command {
        return run_why(why, &arguments.config);
    }
    if let Command::Probe(probe) = &arguments.command {
        return run_probe(probe);
    }
    if let Command::Policy(PolicyCommand::Impact(impact)) = &arguments.command {
        return run_impact(impact, &arguments.config);
    }
    run_command(arguments).map(|()| ExitCode::SUCCESS)
}

/// Exit status 1 where there are findings.
fn run_why(why: &cli::WhyArguments, config: &Path) -> anyhow::Result<ExitCode> {
    let screen = cli::Screen::stdout(why.output.utc, Timestamp::now());
    finding(async |out| {
        if !why.reads_history() {
            // Files need no configuration; where there is one, it says how mail goes.
            let config = Config::load(config).ok();
            return cli::run_why(why, None::<&SqliteStore>, config.as_ref(), &screen, out).await;
        }
        let config = Config::load(config)?;
        let store = SqliteStore::attach(&config.node.data)?;
        let found = cli::run_why(why, Some(&store), Some(&config), &screen, out).await;
        store.close().await;
        found
    })
}

/// Exit status 1 where something would break.
fn run_impact(arguments: &cli::ImpactArguments, config: &Path) -> anyhow::Result<ExitCode> {
    let screen = cli::Screen::stdout(arguments.output.utc, Timestamp::now());
    let config = Config::load(config)?;
    finding(async |out| {
        let store = SqliteStore::attach(&config.node.data)?;
        let breaks = cli::run_impact(arguments, &store, &config, &screen, out).await;
        store.close().await;
        breaks
    })
}

/// Exit status 1 where mail may have trouble.
fn run_probe(arguments: &cli::ProbeArguments) -> anyhow::Result<ExitCode> {
    let screen = cli::Screen::stdout(arguments.output.utc, Timestamp::now());
    finding(async |out| cli::run_probe(arguments, &screen, out).await)
}

/// Runs a command that may find something: exit status 1 if it does, 0 if not.
fn finding(command: impl AsyncFnOnce(&mut dyn Write) -> anyhow::Result<bool>) -> anyhow::Result<ExitCode> {
    let mut out = BufWriter::new(std::io::stdout());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let found = runtime.block_on(command(&mut out))?;
    out.flush()?;
    Ok(ExitCode::from(u8::from(found)))
}

fn run_command(arguments: &Arguments) -> anyhow::Result<()> {
    let mut out = BufWriter::new(std::io::stdout());
    if let Command::Config(command) = &arguments.command {
        cli::run_config(command, &arguments.config, &mut out)?;
        return Ok(out.flush()?);
    }
    if let Command::Api(command) = &arguments.command {
        cli::run_api(command, &mut out)?;
        return Ok(out.flush()?);
    }
    if let Command::Capture(capture) = &arguments.command {
        cli::run_capture(capture, &cli::Screen::stdout(capture.utc, Timestamp::now()), &mut out)?;
        return Ok(out.flush()?);
    }
    if let Command::Case(command) = &arguments.command {
        return run_case(command, &mut out);
    }
    if let Command::Trace(trace) = &arguments.command
        && trace.is_foreign()
    {
        cli::run_foreign_trace(trace, &cli::Screen::stdout(trace.utc, Timestamp::now()), &mut out)?;
        return Ok(out.flush()?);
    }
    let config = Config::load(&arguments.config)?;
    match &arguments.command {
        Command::Serve => {
            drop(out);
            serve(&arguments.config, config)
        }
        Command::Config(_)
        | Command::Case(_)
        | Command::Api(_)
        | Command::Why(_)
        | Command::Probe(_)
        | Command::Capture(_) => Ok(()),
        Command::Policy(PolicyCommand::List { format }) => {
            let screen = cli::Screen::stdout(false, Timestamp::now());
            cli::list_policies(*format, &config, &screen, &mut out)?;
            Ok(out.flush()?)
        }
        Command::Queue(_) | Command::Trace(_) | Command::Policy(_) | Command::Rollout(_) | Command::Incident(_) => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(query(&arguments.command, &config, &mut out))?;
            Ok(out.flush()?)
        }
    }
}

fn run_case(command: &CaseCommand, out: &mut (impl Write + Send)) -> anyhow::Result<()> {
    let screen = cli::Screen::stdout(false, Timestamp::now());
    match command {
        CaseCommand::List { format } => case::list(*format, &screen, out)?,
        CaseCommand::Run { name, all: _, defended, keep, format } => {
            raise_descriptor_limit();
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
            let result = match name {
                Some(name) if *defended => runtime.block_on(case::run_defended(name, *keep, *format, &screen, out)),
                _ => runtime.block_on(case::run(name.as_deref(), *keep, *format, &screen, out)),
            };
            runtime.shutdown_background();
            result?;
        }
    }
    Ok(out.flush()?)
}

async fn query(command: &Command, config: &Config, out: &mut impl Write) -> anyhow::Result<()> {
    let store = SqliteStore::attach(&config.node.data)?;
    let screen = cli::Screen::stdout(command.utc(), Timestamp::now());
    let result = match command {
        Command::Queue(command) => cli::run_queue(command, &store, config, &screen, out).await,
        Command::Trace(arguments) => cli::run_trace(arguments, &store, config, &screen, out).await,
        Command::Policy(PolicyCommand::Ledger(output)) => cli::run_ledger(*output, &store, &screen, out).await,
        Command::Incident(command) => cli::run_incident(command, &store, &screen, out).await,
        Command::Rollout(command) => cli::run_rollout(command, &store, config, &screen, out).await,
        Command::Serve
        | Command::Config(_)
        | Command::Case(_)
        | Command::Api(_)
        | Command::Why(_)
        | Command::Probe(_)
        | Command::Capture(_)
        | Command::Policy(PolicyCommand::List { .. } | PolicyCommand::Impact(_)) => Ok(()),
    };
    store.close().await;
    result
}

fn serve(path: &Path, config: Config) -> anyhow::Result<()> {
    start_logging(&config);
    raise_descriptor_limit();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let result = runtime.block_on(node::serve(path, config));
    // Whatever was still under way when patience ended does not hold the process.
    runtime.shutdown_background();
    result
}

/// Readable on a terminal, JSON lines otherwise, unless the configuration says so.
fn start_logging(config: &Config) {
    let level = match config.log.level {
        LogLevel::Error => "error",
        LogLevel::Warn => "warn",
        LogLevel::Info => "info",
        LogLevel::Debug => "debug",
        LogLevel::Trace => "trace",
    };
    let filter = EnvFilter::try_from_env("GATEPOST_LOG").unwrap_or_else(|_| EnvFilter::new(level));
    let is_terminal = std::io::stderr().is_terminal();
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match (config.log.format, is_terminal) {
        (LogFormat::Json, _) | (LogFormat::Auto, false) => builder.json().flatten_event(true).init(),
        (LogFormat::Text, _) | (LogFormat::Auto, true) => builder.with_ansi(is_terminal).with_target(false).init(),
    }
}

/// Every connection is a descriptor; the usual soft limit of 1024 is soon reached.
fn raise_descriptor_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::debug!(%error, "the limit of open files stays as it is");
    }
}
