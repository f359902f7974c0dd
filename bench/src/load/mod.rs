//! How much load the container bears, against a bare axum server and against Fastify on the same store.
//!
//! Each server has one core to itself, as a task of one vCPU has; the store and the load have the other. On shared cores
//! they would take time from each other, and the figures would be as much theirs as the server's.

mod overload;
mod recorder;
mod server;
mod wrk;

use std::{
    env, fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use dev::{database::Database, demo, settings};
use serde_json::Value;
use tokio::process::Command;

use self::{
    server::{Server, free_port},
    wrk::Measured,
};
use crate::{Failure, stats::median};

const HEALTH: &str = "/health";
const PRODUCTS: &str = "/api/v2/products?limit=20";

/// What is measured: its name, its target, and whether the container may give an answer again that is a second old. The
/// others do the same in each row.
const ROWS: [(&str, &str, bool); 3] =
    [("/health", HEALTH, false), ("products", PRODUCTS, false), ("cached products", PRODUCTS, true)];

/// Values of `Accept-Encoding`: that of the comparisons, and that of most phones' best.
const IDENTITY: &str = "identity";
const BROTLI: &str = "br";

/// Connections of the measurements of speed, and of those of memory.
const CONNECTIONS: usize = 64;
const MANY_CONNECTIONS: usize = 256;
/// What the container may hold with so many, in megabytes.
const MEMORY: f64 = 40.0;

/// How much to measure.
pub(crate) struct Options {
    /// How often each contestant gets its turn.
    pub(crate) runs: usize,
    /// How long a turn is on each route, in seconds.
    pub(crate) seconds: u64,
    /// How long the container is watched under load for growth, in minutes.
    pub(crate) soak: u64,
}

/// What wrk has measured, and how many requests the server has answered in a second of CPU time.
type Turn = (Measured, f64);

/// The core of the servers, and that of all else.
const SERVERS: &str = "0";
const OTHERS: &str = "1";

/// More than the requests of all connections take.
const LAST_ANSWERS: Duration = Duration::from_secs(2);

struct Servers {
    /// As it is by default: it refuses what would be late.
    container: Server,
    /// Without impatience, as the others are: for all that is compared with them.
    patient: Server,
    /// The same with its shared cache.
    caching: Server,
    bare: Server,
    fastify: Server,
    /// Without impatience, and on all cores.
    whole: Server,
}

/// Runs the benchmark and prints the result.
pub(crate) async fn run(options: &Options) -> Result<(), Failure> {
    shared::backend::upstream::install_tls_provider();
    pin_myself().await?;
    let database = Database::in_memory().await?;
    demo::prepare(&database, demo::TEST_EPOCH).await?;
    let servers = start(&database.endpoint()).await?;

    // V8 compiles what it has seen often enough, and an allocator finds its size.
    for server in servers.all().into_iter().chain([&servers.whole]) {
        turn(server, PRODUCTS, IDENTITY, 2 * options.seconds).await?;
    }
    let mut measured: [[Vec<Turn>; 3]; ROWS.len()] = Default::default();
    for run in 1..=options.runs {
        eprint!("\rrun {run} of {}", options.runs);
        for ((_, target, caching), columns) in ROWS.into_iter().zip(&mut measured) {
            let [container, bare, fastify] = servers.all();
            let container = if caching { &servers.caching } else { container };
            for (server, column) in [container, bare, fastify].into_iter().zip(columns) {
                column.push(turn(server, target, IDENTITY, options.seconds).await?);
            }
        }
    }
    eprintln!();
    let mut coded = Vec::new();
    for _ in 0..options.runs {
        coded.push(turn(&servers.patient, PRODUCTS, BROTLI, options.seconds).await?);
    }
    let mut memory = [0.0; 4];
    for (server, memory) in servers.all().into_iter().chain([&servers.whole]).zip(&mut memory) {
        let (measured, peak) = with_many(server, options.seconds).await?;
        successes_only(server, &measured)?;
        *memory = peak;
    }
    report(options, &measured, memory);
    report_coded(&coded);
    overload(&servers.container, options, median(&rates(&measured[1][0]))).await?;
    soak(&servers.whole, options.soak).await
}

/// Loads a server from many connections for some seconds. Also says how much memory it has held, in megabytes.
async fn with_many(server: &Server, seconds: u64) -> Result<(Measured, f64), Failure> {
    let url = server.url(PRODUCTS);
    let (measured, peak) =
        tokio::join!(wrk::run(&url, IDENTITY, MANY_CONNECTIONS, seconds), peak_memory(server, seconds));
    Ok((measured?, peak))
}

/// Loads a server for some seconds. Every answer has to be a success.
async fn turn(server: &Server, target: &str, coding: &str, seconds: u64) -> Result<Turn, Failure> {
    let before = server.cpu_seconds();
    let measured = wrk::run(&server.url(target), coding, CONNECTIONS, seconds).await?;
    successes_only(server, &measured)?;
    #[expect(clippy::cast_precision_loss, reason = "a small number")]
    let requests = measured.rate * seconds as f64;
    Ok((measured, requests / (server.cpu_seconds() - before)))
}

fn successes_only(server: &Server, measured: &Measured) -> Result<(), Failure> {
    match measured.refused {
        0 => Ok(()),
        refused => Err(format!("{} has refused {refused} requests", server.address).into()),
    }
}

/// The most memory that a server holds within some seconds, in megabytes, its connections and what they are given included.
async fn peak_memory(server: &Server, seconds: u64) -> f64 {
    let end = Instant::now() + Duration::from_secs(seconds);
    let mut most = 0.0_f64;
    while Instant::now() < end {
        most = most.max(server.memory());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    most
}

impl Servers {
    /// Those that are compared, in the order of the columns.
    fn all(&self) -> [&Server; 3] {
        [&self.patient, &self.bare, &self.fastify]
    }
}

/// Starts all three, and makes sure that they answer the same.
async fn start(endpoint: &str) -> Result<Servers, Failure> {
    let exe = env::current_exe()?;
    // target/<profile>/bench: the others stand beside it, wherever the target folder is.
    let profile = exe.parent().ok_or("the benchmark must run from cargo's target folder")?;
    let bench = Path::new(env!("CARGO_MANIFEST_DIR"));
    let image = profile.with_file_name("image/artifacts/container");
    let container = if image.exists() { image } else { profile.join("container") };
    let bare = profile.join("bare_server");
    let fastify = bench.join("fastify");
    let needed: [(&Path, &str); 3] = [
        (&container, "scripts/build-image, or cargo build --release -p container"),
        (&bare, "cargo build --release -p bare"),
        (&fastify.join("node_modules/.package-lock.json"), "scripts/install-tools fastify"),
    ];
    for (path, build) in needed {
        if !path.exists() {
            return Err(format!("{} is missing: {build}", path.display()).into());
        }
    }
    println!("container: {}", container.display());
    // What the image sets for the allocator; read now, and not when this was compiled.
    let dockerfile = fs::read_to_string(bench.join("../functions/container/Dockerfile"))?;

    let with = async |command: Command, changes: &[(&str, &str)]| {
        let mut command = with_settings(command, endpoint).await?;
        let of_image = dockerfile.lines().filter_map(|line| line.strip_prefix("ENV ")?.split_once('='));
        command.env("METRICS_PORT", "0").envs(of_image).envs(changes.iter().copied());
        Server::start(command, free_port()?).await
    };
    let patience = ("MAX_WAIT_MS", "60000");
    let caching = with(pinned(&container), &[("SHARED_CACHE_MS", "1000"), patience]).await?;
    let patient = with(pinned(&container), &[patience]).await?;
    let whole = with(on("0-1023", &container), &[patience]).await?;
    let container = with(pinned(&container), &[]).await?;
    let products = reqwest::get(container.url(PRODUCTS)).await?.error_for_status()?.text().await?;
    let body: PathBuf = profile.join("bench-products.json");
    fs::write(&body, &products)?;

    let port = free_port()?;
    let mut command = pinned(&bare);
    command.arg(port.to_string()).arg(&body);
    let bare = Server::start(command, port).await?;

    let mut command = pinned(Path::new("node"));
    command.arg(fastify.join("index.mjs")).env("NODE_ENV", "production");
    let fastify = Server::start(with_settings(command, endpoint).await?, free_port()?).await?;

    let expected: Value = serde_json::from_str(&products)?;
    for server in [&bare, &fastify] {
        let text = reqwest::get(server.url(PRODUCTS)).await?.error_for_status()?.text().await?;
        let got: Value = serde_json::from_str(&text)?;
        if got["items"] != expected["items"] {
            return Err(format!("{} does another job: {text}", server.address).into());
        }
    }
    Ok(Servers { container, patient, caching, bare, fastify, whole })
}

/// The settings of a local run without its means of development, with a store of its own; requests are counted, but none
/// is refused.
async fn with_settings(mut command: Command, endpoint: &str) -> Result<Command, Failure> {
    command
        .envs(settings::pairs().filter(|(name, value)| !value.is_empty() && *name != "SERVER_TIMING"))
        .env("AWS_ENDPOINT_URL_DYNAMODB", recorder::start(endpoint.to_owned()).await?)
        .env("RATE_LIMIT_FREE", "1000000000")
        .env("LOG_FORMAT", "json")
        .env("AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED", "true");
    Ok(command)
}

/// A server on its core.
fn pinned(program: &Path) -> Command {
    on(SERVERS, program)
}

/// A program on some cores, of those that there are.
fn on(cores: &str, program: &Path) -> Command {
    let mut command = Command::new("taskset");
    command.args(["--cpu-list", cores]).arg(program);
    command
}

/// Leaves the core of the servers to them, and lets what this process starts do so.
async fn pin_myself() -> Result<(), Failure> {
    let mut taskset = Command::new("taskset");
    taskset.args(["--all-tasks", "--cpu-list", "--pid", OTHERS, &std::process::id().to_string()]);
    let output = taskset.output().await;
    let output = output.map_err(|error| format!("taskset does not start ({error}): install the package util-linux"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("this takes two cores: {}", String::from_utf8_lossy(&output.stderr).trim()).into())
}

fn rates(turns: &[Turn]) -> Vec<f64> {
    turns.iter().map(|(it, _)| it.rate).collect()
}

/// Prints the table and what has become of the goals.
fn report(options: &Options, measured: &[[Vec<Turn>; 3]; ROWS.len()], memory: [f64; 4]) {
    println!(
        "{} runs of {} s from {CONNECTIONS} connections, one core for each server; medians\n\n{:<42}{:>12}{:>12}{:>12}",
        options.runs, options.seconds, "", "container", "bare axum", "fastify"
    );
    let row = |label: &str, [container, bare, fastify]: [f64; 3]| {
        println!("{label:<42}{container:>12.2}{bare:>12.2}{fastify:>12.2}");
    };
    let medians = |columns: &[Vec<Turn>; 3], value: fn(&Turn) -> f64| {
        columns.each_ref().map(|column| median(&column.iter().map(value).collect::<Vec<_>>()))
    };
    let mut speeds = Vec::new();
    for ((label, ..), columns) in ROWS.into_iter().zip(measured) {
        let rates = medians(columns, |(it, _)| it.rate);
        row(&format!("{label}, requests/s"), rates);
        row(&format!("{label}, p50, ms"), medians(columns, |(it, _)| it.p50));
        row(&format!("{label}, p99, ms"), medians(columns, |(it, _)| it.p99));
        row(&format!("{label}, requests a CPU second"), medians(columns, |(_, per_cpu)| *per_cpu));
        speeds.push(rates);
    }
    let [container, bare, fastify, whole] = memory;
    row(&format!("memory at {MANY_CONNECTIONS} connections, MB"), [container, bare, fastify]);
    println!();
    goal("/health, share of bare axum", speeds[0][0] / speeds[0][1], 0.7, true);
    goal("cached products, share of bare axum", speeds[2][0] / speeds[2][1], 0.7, true);
    goal("/health, times Fastify", speeds[0][0] / speeds[0][2], 3.0, true);
    goal("products, times Fastify", speeds[1][0] / speeds[1][2], 3.0, true);
    goal("cached products, times Fastify", speeds[2][0] / speeds[2][2], 3.0, true);
    goal("memory, MB", container, MEMORY, false);
    goal("memory on all cores, MB", whole, MEMORY, false);
}

/// What phones ask for. The others do not code their answers.
fn report_coded(turns: &[Turn]) {
    let value = |value: fn(&Turn) -> f64| median(&turns.iter().map(value).collect::<Vec<_>>());
    println!(
        "\nproducts in Brotli, container: {:.0} requests/s, p50 {:.1} ms, p99 {:.1} ms, {:.0} requests a CPU second",
        value(|(it, _)| it.rate),
        value(|(it, _)| it.p50),
        value(|(it, _)| it.p99),
        value(|(_, per_cpu)| *per_cpu)
    );
}

fn goal(label: &str, value: f64, goal: f64, at_least: bool) {
    let holds = if at_least { value >= goal } else { value <= goal };
    let (verdict, bound) = (if holds { "holds " } else { "missed" }, if at_least { "least" } else { "most" });
    println!("{verdict}  {label}: {value:.2} (goal: at {bound} {goal})");
}

/// Twice the capacity.
async fn overload(container: &Server, options: &Options, capacity: f64) -> Result<(), Failure> {
    let address = container.address.trim_start_matches("http://");
    let time = Duration::from_secs(options.seconds.max(5));
    let outcome = overload::run(address, PRODUCTS, 2.0 * capacity, time).await?;
    #[expect(clippy::cast_precision_loss, reason = "fewer requests than 2^52")]
    let per_second = |count: usize| count as f64 / outcome.took.as_secs_f64();
    let offered = per_second(outcome.admitted.len() + outcome.shed + outcome.lost);
    println!(
        "\nAt twice the capacity, {:.0} requests/s: {:.0} admitted, {:.0} shed, {} lost.",
        offered,
        per_second(outcome.admitted.len()),
        per_second(outcome.shed),
        outcome.lost
    );
    println!("/health: {} answers, p99 {:.1} ms.", outcome.health.len(), crate::stats::quantile(&outcome.health, 0.99));
    goal("offered, times the capacity", offered / capacity, 1.9, true);
    goal("p99 of what is admitted, ms", outcome.p99(), 100.0, false);
    #[expect(clippy::cast_precision_loss, reason = "fewer requests than 2^52")]
    goal("/health not answered", outcome.unhealthy as f64, 0.0, false);
    // Whatever the machine.
    match outcome.lost + outcome.unhealthy {
        0 => Ok(()),
        lost => Err(format!("{lost} requests got no answer, or a wrong one").into()),
    }
}

/// Load for so many minutes: the memory of the last third is that of the second. In the first one the allocator finds its
/// size.
async fn soak(container: &Server, minutes: u64) -> Result<(), Failure> {
    if minutes == 0 {
        return Ok(());
    }
    let start = Instant::now();
    let mut memory = Vec::new();
    while start.elapsed() < Duration::from_mins(minutes) {
        // The server cannot tell a client that is gone from one that has only said all, so it finishes what wrk has left.
        // Without a pause it would do so beside the next connections, and there would be twice as many.
        tokio::time::sleep(LAST_ANSWERS).await;
        let (measured, peak) = with_many(container, 10).await?;
        successes_only(container, &measured)?;
        memory.push(peak);
    }
    let thirds: Vec<_> = memory.chunks(memory.len().div_ceil(3)).map(median).collect();
    let most = memory.iter().copied().fold(0.0, f64::max);
    println!("\nSoak of {minutes} minutes: the median memory of each third is {thirds:.1?} MB, the most {most:.1}.");
    goal("most memory, MB", most, MEMORY, false);
    if let [_, second, third] = thirds[..] {
        goal("growth, MB", third - second, 1.0, false);
    }
    Ok(())
}
