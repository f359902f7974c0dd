//! Benchmarks, each printing a ratio against a peer that is measured in the same run.

mod cold_start;
mod compression;
mod load;
mod meter;
mod routes;
mod stack;
mod stats;
mod store;
mod sync_cost;

use std::process::ExitCode;

use lexopt::{Arg, Parser, ValueExt};

/// Any error; its text says what went wrong.
type Failure = Box<dyn std::error::Error + Send + Sync>;

const HELP: &str = "\
Usage: cargo run --release -p bench -- BENCHMARK [OPTIONS]

Benchmarks:
  cold-start   the start and the answers of the users function, against a bare axum function and Hono on Node.js
  compression  bytes and time of each content coding at each level, on pages of the catalogue
  load         requests a second, latency and memory of the container, against bare axum and Fastify on Node.js
  routes       the capacity units, waits and bytes of each kind of request
  stack        what the middleware adds to a request, against a bare axum handler; what a 304 saves
  sync-cost    the capacity units of delta sync, and its time with few and many orders

Options:
  --runs N     how often each contestant is started, each body coded, each request sent (30)
  --warm N     how many warm invocations each start gets (500)
  --json       the figures of `routes` as the file that the crate `cost` reads
  --check F    compares those figures with such a file
  --seconds N  how long each contestant is loaded in each run of load (5)
  --soak N     for how many minutes load watches the container for growth (0)
  --help       this text
";

enum Command {
    Help,
    ColdStart(cold_start::Options),
    SyncCost,
    Routes(routes::Output),
    Compression { runs: usize },
    Load(load::Options),
    Stack { runs: usize },
}

fn parse() -> Result<Command, lexopt::Error> {
    let mut options = cold_start::Options::default();
    let (mut seconds, mut soak) = (5, 0);
    let mut benchmark = None;
    let mut output = routes::Output::default();
    let mut parser = Parser::from_env();
    while let Some(arg) = parser.next()? {
        match arg {
            Arg::Long("help") | Arg::Short('h') => return Ok(Command::Help),
            Arg::Long("runs") => options.runs = parser.value()?.parse()?,
            Arg::Long("warm") => options.warm = parser.value()?.parse()?,
            Arg::Long("json") => output = routes::Output::Json,
            Arg::Long("check") => output = routes::Output::Check(parser.value()?.into()),
            Arg::Long("seconds") => seconds = parser.value()?.parse()?,
            Arg::Long("soak") => soak = parser.value()?.parse()?,
            Arg::Value(name) if benchmark.is_none() => benchmark = Some(name.string()?),
            other => return Err(other.unexpected()),
        }
    }
    if options.runs == 0 || options.warm == 0 || seconds == 0 {
        return Err("--runs, --warm and --seconds must be at least 1".into());
    }
    match benchmark.as_deref() {
        None => Ok(Command::Help),
        Some("cold-start") => Ok(Command::ColdStart(options)),
        Some("routes") => Ok(Command::Routes(output)),
        Some("load") => Ok(Command::Load(load::Options { runs: options.runs, seconds, soak })),
        Some("sync-cost") => Ok(Command::SyncCost),
        Some("compression") => Ok(Command::Compression { runs: options.runs }),
        Some("stack") => Ok(Command::Stack { runs: options.runs }),
        Some(other) => Err(format!("there is no benchmark {other}").into()),
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let outcome: Result<(), Failure> = match parse() {
        Ok(Command::Help) => {
            print!("{HELP}");
            Ok(())
        }
        Ok(Command::ColdStart(options)) => cold_start::run(&options).await,
        Ok(Command::Routes(output)) => routes::run(&output).await,
        Ok(Command::Load(options)) => load::run(&options).await,
        Ok(Command::SyncCost) => sync_cost::run().await,
        Ok(Command::Compression { runs }) => compression::run(runs).await,
        Ok(Command::Stack { runs }) => stack::run(runs).await,
        Err(error) => Err(format!("{error}\n\n{HELP}").into()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}
