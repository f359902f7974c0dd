//! `cargo dev`: the service on this machine, without an AWS account.

use std::{io::ErrorKind, process::ExitCode};

use dev::{
    app,
    bucket::Bucket,
    cli::{self, Command, HELP, Listen},
    database::Database,
    demo::{self, prepare},
    epoch, settings, token,
    upstream::Upstream,
};
use shared::{
    backend::aws::Aws,
    config::{Env, Limits},
    delta::new_epoch,
    runtime::{self, Options, Server},
    telemetry,
};
use tokio::net::TcpListener;

/// What the command line, or the machine, got wrong: one sentence, exit code 2.
type Mistake = String;

#[tokio::main]
async fn main() -> ExitCode {
    let result = match cli::parse(std::env::args_os().skip(1)) {
        Ok(Command::Help) => {
            print!("{HELP}");
            Ok(())
        }
        Ok(Command::Token { user, plan }) => {
            println!("{}", token::issue(&user, plan.as_deref()));
            Ok(())
        }
        Ok(Command::RenewEpochs { table }) => renew_epochs(&table).await,
        Ok(Command::Database(listen)) => database_alone(listen).await,
        Ok(Command::Upstream(listen)) => upstream_alone(listen).await,
        Ok(Command::Serve(listen)) => everything(listen).await,
        Err(mistake) => Err(format!("{mistake}; `cargo dev --help` shows the usage")),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(mistake) => {
            eprintln!("error: {mistake}");
            ExitCode::from(2)
        }
    }
}

async fn everything(listen: Listen) -> Result<(), Mistake> {
    telemetry::init(&settings::env()).map_err(|error| error.to_string())?;
    let listener = bind(&listen).await?;
    let any_port = Listen { host: "127.0.0.1".into(), port: 0, ..listen.clone() };
    let database = loaded_database(bind(&any_port).await?, &listen).await?;
    let bucket =
        Bucket::start(bind(&any_port).await?).map_err(|error| format!("the bucket cannot be served: {error}"))?;
    let env = settings::env().with([("AWS_ENDPOINT_URL_S3", bucket.endpoint())]);
    let app = app::with(env, &database.endpoint()).map_err(|error| error.to_string())?;
    let service = app::service(&app).map_err(|error| error.to_string())?;
    let address = listener.local_addr().map_err(|error| error.to_string())?;
    greet(&format!("http://{address}"), &database)?;
    let options =
        Options::from_env(&app.env).and_then(Options::within_files).map_err(|error| error.to_string())?.without_delay();
    let server = Server::new(options, app.config.docs_url.clone());
    server.serve(listener, service, runtime::termination()).await;
    database.stop().await;
    println!("Stopped.");
    Ok(())
}

async fn database_alone(listen: Listen) -> Result<(), Mistake> {
    let listener = bind(&listen).await?;
    // Next to the database; where that takes any free port, so does this.
    let beside = Listen { port: if listen.port == 0 { 0 } else { listen.port.saturating_add(1) }, ..listen.clone() };
    let bucket =
        Bucket::start(bind(&beside).await?).map_err(|error| format!("the bucket cannot be served: {error}"))?;
    let database = loaded_database(listener, &listen).await?;
    println!("DynamoDB with the demo data: {}", database.endpoint());
    println!("S3 with the photos: {}", bucket.endpoint());
    println!("Next: cargo lambda watch --env-file dev/local.env");
    runtime::termination().await;
    database.stop().await;
    println!("Stopped.");
    Ok(())
}

/// The one command for a table that is not of this machine.
async fn renew_epochs(table: &str) -> Result<(), Mistake> {
    let env = Env::of_process();
    let aws = Limits::from_env(&env).and_then(|limits| Aws::from_env(&env, limits));
    let aws = aws.map_err(|error| error.to_string())?;
    let renewed = epoch::renew(&aws.dynamodb, table).await;
    let renewed = renewed.map_err(|error| format!("the epochs of {table} cannot be renewed: {error}; run it again"))?;
    println!("{renewed} change logs of {table} have a new epoch.");
    Ok(())
}

async fn upstream_alone(listen: Listen) -> Result<(), Mistake> {
    let upstream = Upstream::start(bind(&listen).await?);
    let upstream = upstream.map_err(|error| format!("the upstream cannot be served: {error}"))?;
    let url = upstream.url();
    println!("Users and products of the demo data: {url}");
    println!("Next: BACKEND_USERS_URL={url} BACKEND_PRODUCTS_URL={url} cargo dev");
    runtime::termination().await;
    println!("Stopped.");
    Ok(())
}

async fn bind(listen: &Listen) -> Result<TcpListener, Mistake> {
    let Listen { host, port, .. } = listen;
    TcpListener::bind((host.as_str(), *port)).await.map_err(|error| match error.kind() {
        ErrorKind::AddrInUse => format!("port {port} is taken; choose another one with --port"),
        _ => format!("cannot listen on {host}:{port}: {error}"),
    })
}

async fn loaded_database(listener: TcpListener, listen: &Listen) -> Result<Database, Mistake> {
    let place = listen.data.as_ref().map_or_else(|| "memory".into(), |folder| folder.display().to_string());
    let database = Database::start(listener, listen.data.as_deref())
        .map_err(|error| format!("the data folder {place} cannot be used: {error}"))?;
    prepare(&database, &new_epoch())
        .await
        .map_err(|error| format!("the demo data cannot be loaded into {place}: {error}"))?;
    Ok(database)
}

fn greet(address: &str, database: &Database) -> Result<(), Mistake> {
    let user = demo::VERBOSE_USER.parse().map_err(|_| "the demo user has no legal id")?;
    let (free, premium) = (token::issue(&user, None), token::issue(&user, Some("premium")));
    println!("\nThe BFF is at {address}, its DynamoDB at {}. Ctrl-C stops both.\n", database.endpoint());
    println!("A token of {user} on the free plan:\n{free}\n\nOn the premium plan:\n{premium}\n");
    println!("Try:");
    println!("  curl -s '{address}/api/v2/products?category=audio&limit=2'");
    println!("  curl -s {address}/api/v2/users/me -H 'Authorization: Bearer {free}'");
    println!("  curl -s {address}/api/v2/home -H 'Authorization: Bearer {free}'");
    println!("  curl -s '{address}/images/products/p-0001.jpg?w=300&h=300&format=webp' -o p-0001.webp\n");
    Ok(())
}
