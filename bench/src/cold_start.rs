//! How fast a function starts and answers, and how much memory it takes.
//!
//! Three contestants answer the same event from the same store with the same environment, in turns: the users function,
//! a bare axum function that answers a constant, and a Hono app on Node.js that does the same job as the users function.
//! The difference to the bare function is what this project costs; the ratio to Node.js is what it saves.

use std::{
    env,
    path::{Path, PathBuf},
    time::Duration,
};

use dev::{
    database::Database,
    demo,
    runtime_api::{Invocation, LambdaProcess},
    settings, token,
};
use serde_json::Value;

use crate::{
    Failure,
    stats::{median, quantile},
    store::Connection,
};

/// Long enough for a loaded machine; nobody is near it.
const TIME_LIMIT: Duration = Duration::from_secs(10);

/// The pause before each start. Without it a start pays for the end of the process before it, Node.js above all.
const PAUSE: Duration = Duration::from_millis(100);

/// On a quiet machine nine bare starts in ten lie closer together than this factor.
const BUSY: f64 = 2.0;

/// Every order of three, so that each contestant follows each other one equally often.
const ORDERS: [[usize; 3]; 6] = [[0, 1, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0], [0, 2, 1], [1, 0, 2]];

/// What makes the two binaries, in the profile of this one.
const BUILD: &str =
    if cfg!(debug_assertions) { "cargo build --workspace --bins" } else { "cargo build --release -p users -p bare" };

/// Somebody of the demo data who has an avatar.
const USER: &str = "user-1";

/// How much to measure.
pub(crate) struct Options {
    /// How often each contestant is started.
    pub(crate) runs: usize,
    /// How many warm invocations each start gets.
    pub(crate) warm: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { runs: 30, warm: 500 }
    }
}

/// A program to measure.
struct Contestant {
    name: &'static str,
    program: PathBuf,
    args: Vec<PathBuf>,
    /// The file that is deployed.
    artifact: PathBuf,
    /// The command that makes it.
    build: &'static str,
    /// What has been measured so far.
    measured: Measured,
}

/// Samples, in milliseconds and in bytes.
#[derive(Default)]
struct Measured {
    /// From the start of the process to its first request for an event.
    init: Vec<f64>,
    /// From handing out the first event to its answer.
    first: Vec<f64>,
    /// From the start of the process to the first answer.
    total: Vec<f64>,
    /// Each later answer, over all runs.
    warm: Vec<f64>,
    /// The peak memory of each run.
    memory: Vec<f64>,
}

fn contestants() -> Result<[Contestant; 3], Failure> {
    let exe = env::current_exe()?;
    // target/<profile>/bench: the others stand beside it, wherever the target folder is.
    let profile = exe.parent().ok_or("the benchmark must run from cargo's target folder")?;
    let bundle = Path::new(env!("CARGO_MANIFEST_DIR")).join("hono/dist/index.cjs");
    let binary = |name| Contestant {
        name,
        program: profile.join(name),
        args: Vec::new(),
        artifact: profile.join(name),
        build: BUILD,
        measured: Measured::default(),
    };
    Ok([
        binary("users"),
        binary("bare"),
        Contestant {
            name: "hono",
            program: "node".into(),
            args: vec![bundle.clone()],
            artifact: bundle,
            build: "scripts/install-tools hono",
            measured: Measured::default(),
        },
    ])
}

/// Runs the benchmark and prints the result.
pub(crate) async fn run(options: &Options) -> Result<(), Failure> {
    let mut contestants = contestants()?;
    let missing: Vec<_> = contestants.iter().filter(|contestant| !contestant.artifact.exists()).collect();
    if !missing.is_empty() {
        let lines = missing.iter().map(|it| format!("  {}    # for {}", it.build, it.name));
        return Err(format!("build first:\n{}", lines.collect::<Vec<_>>().join("\n")).into());
    }

    let database = Database::in_memory().await?;
    let endpoint = database.endpoint();
    demo::prepare(&database, demo::TEST_EPOCH).await?;
    let mut store = Connection::open(&endpoint).await?;
    let table = settings::value("USERS_TABLE");
    let (user, _) = store.get_item(table, USER).await?;
    let environment = environment(&endpoint);
    let event = event()?;

    let mut store_times = Vec::new();
    // One round more than asked for: the first one fills the file cache and does not count.
    for round in 0..=options.runs {
        eprint!("\rround {round} of {}", options.runs);
        for _ in 0..options.warm {
            store_times.push(milliseconds(store.get_item(table, USER).await?.1));
        }
        for index in ORDERS[round % ORDERS.len()] {
            tokio::time::sleep(PAUSE).await;
            let contestant = &mut contestants[index];
            measure(contestant, &environment, &event, &user, options.warm)
                .await
                .map_err(|error| format!("{}: {error}", contestant.name))?;
        }
        if round == 0 {
            store_times.clear();
            for contestant in &mut contestants {
                contestant.measured = Measured::default();
            }
        }
    }
    eprintln!();
    report(&contestants, &store_times, options)
}

/// The environment of every contestant; each takes what it knows.
fn environment(endpoint: &str) -> Vec<(&'static str, String)> {
    let settings = ["JWT_SECRET", "JWT_ISSUER", "JWT_AUDIENCE", "USERS_TABLE", "RATE_LIMIT_TABLE"];
    let mut environment = settings.map(|name| (name, settings::value(name).to_owned())).to_vec();
    environment.push(("AWS_ENDPOINT_URL_DYNAMODB", endpoint.to_owned()));
    // Requests are counted, but none is refused.
    environment.push(("RATE_LIMIT_FREE", "1000000000".to_owned()));
    // A notice of the JavaScript SDK about old versions of Node.js takes time to print.
    environment.push(("AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED", "true".to_owned()));
    environment
}

/// `GET /api/v2/users/me` as an HTTP API sends it.
fn event() -> Result<Value, Failure> {
    let mut event: Value = serde_json::from_str(include_str!("../../events/apigw-v2.json"))?;
    let path = "/api/v2/users/me";
    event["rawPath"] = path.into();
    event["requestContext"]["http"]["path"] = path.into();
    event["rawQueryString"] = "".into();
    if let Some(event) = event.as_object_mut() {
        event.remove("queryStringParameters");
    }
    let token = token::issue(&USER.parse()?, None);
    event["headers"]["authorization"] = format!("Bearer {token}").into();
    Ok(event)
}

/// One start of one contestant, and its warm invocations.
async fn measure(
    contestant: &mut Contestant,
    environment: &[(&'static str, String)],
    event: &Value,
    user: &Value,
    warm: usize,
) -> Result<(), Failure> {
    let environment = environment.iter().map(|(name, value)| (*name, value.as_str()));
    let mut process = LambdaProcess::spawn_with_args(&contestant.program, &contestant.args, environment).await?;
    // The event waits from the beginning, as it does when a request causes the start.
    let first = process.invoke(event, TIME_LIMIT).await?;
    let measured = &mut contestant.measured;
    if contestant.name != "bare" {
        check(&first, user)?;
    }
    measured.init.push(milliseconds(process.init_duration().await?));
    measured.first.push(milliseconds(first.duration()));
    measured.total.push(milliseconds(first.answered - process.spawned()));
    for _ in 0..warm {
        let invocation = process.invoke(event, TIME_LIMIT).await?;
        if invocation.body["statusCode"] != 200 {
            return Err(format!("a warm answer is not a success: {}", invocation.body).into());
        }
        measured.warm.push(milliseconds(invocation.duration()));
    }
    let memory = process.peak_memory().ok_or("its memory use cannot be read")?;
    #[expect(clippy::cast_precision_loss, reason = "memory sizes are far below 2^52")]
    measured.memory.push(memory as f64);
    // Dead before the next one starts, so that they do not share the machine.
    process.stop().await;
    Ok(())
}

/// Whoever answers with something else has not done the work.
fn check(invocation: &Invocation, user: &Value) -> Result<(), Failure> {
    let answer = &invocation.body;
    let unexpected = || format!("the first answer is not the user's record: {answer}");
    let body: Value = serde_json::from_str(answer["body"].as_str().ok_or_else(unexpected)?)?;
    let text = |attribute: &str| user[attribute]["S"].as_str().unwrap_or_default();
    let name = format!("{} {}", text("firstName"), text("lastName"));
    let expected = answer["statusCode"] == 200
        && body["id"] == text("id")
        && body["name"] == name.as_str()
        && body["email"] == text("email")
        && body["avatar"].is_null() == user["avatar"].is_null();
    if expected { Ok(()) } else { Err(unexpected().into()) }
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// Prints the table and what has become of the goals.
fn report(contestants: &[Contestant; 3], store_times: &[f64], options: &Options) -> Result<(), Failure> {
    const MB: f64 = 1e6;
    let mut sizes = Vec::new();
    for contestant in contestants {
        #[expect(clippy::cast_precision_loss, reason = "file sizes are far below 2^52")]
        sizes.push(contestant.artifact.metadata()?.len() as f64 / MB);
    }
    let row = |label: &str, value: &dyn Fn(&Measured) -> f64| {
        let [users, bare, hono] = contestants.each_ref().map(|contestant| value(&contestant.measured));
        println!("{label:<34}{users:>10.3}{bare:>10.3}{hono:>10.3}");
        [users, bare, hono]
    };

    println!(
        "{} starts of each, {} warm invocations a start; medians unless said otherwise",
        options.runs, options.warm
    );
    println!("\n{:<34}{:>10}{:>10}{:>10}", "", "users", "bare", "hono");
    row("start to first poll, ms", &|it| median(&it.init));
    row("first answer, ms", &|it| median(&it.first));
    let total = row("start to first answer, ms", &|it| median(&it.total));
    row("start to first answer, p99, ms", &|it| quantile(&it.total, 0.99));
    let warm = row("warm answer, ms", &|it| median(&it.warm));
    row("warm answer, p99, ms", &|it| quantile(&it.warm, 0.99));
    let memory = row("peak memory, MB", &|it| median(&it.memory) / MB);
    println!("{:<34}{:>10.3}{:>10.3}{:>10.3}", "size of what is deployed, MB", sizes[0], sizes[1], sizes[2]);
    let store = median(store_times);
    let bare = &contestants[1].measured.total;
    let spread = quantile(bare, 0.9) / quantile(bare, 0.1);
    println!("\nThe store itself answers the same read in {store:.3} ms. Hono's size leaves out Node.js.");
    if spread > BUSY {
        println!(
            "The machine was busy: nine starts in ten of the bare function differ by a factor of {spread:.1}. Measure again."
        );
    }
    println!();
    if cfg!(debug_assertions) {
        println!("Nothing here was optimised, so there is nothing to compare.");
        return Ok(());
    }

    let at_most = |label: &str, value: f64, goal: f64, unit: &str| {
        let verdict = if value <= goal { "holds " } else { "missed" };
        println!("{verdict}  {label}: {value:.2} {unit} (goal: at most {goal} {unit})");
    };
    at_most("start to first answer, users minus bare", total[0] - total[1], 8.0, "ms");
    let ratio = total[2] / total[0];
    let verdict = if ratio >= 25.0 { "holds " } else { "missed" };
    println!("{verdict}  start to first answer, hono over users: {ratio:.1} times (goal: at least 25 times)");
    at_most("warm answer, users minus bare minus the store", warm[0] - warm[1] - store, 1.0, "ms");
    at_most("peak memory of users", memory[0], 12.0, "MB");
    at_most("size of users", sizes[0], 12.0, "MB");
    Ok(())
}
