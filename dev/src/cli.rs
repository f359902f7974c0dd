//! The command line of `cargo dev`.

use std::{ffi::OsString, path::PathBuf};

use lexopt::prelude::*;
use shared::Id;

/// The text of `--help`.
pub const HELP: &str = "\
Runs the mobile BFF on this machine: every route group, an embedded DynamoDB, demo data.

Usage:
  cargo dev [--port 8080] [--host 127.0.0.1] [--data DIR]
      Serves everything on one port. Data lives in memory, or in DIR.
  cargo dev db [--port 8000] [--host 127.0.0.1] [--data DIR]
      Serves only the DynamoDB with the demo data, and on the port after it the S3
      with the photos, for `cargo lambda watch`.
  cargo dev upstream [--port 8002] [--host 127.0.0.1]
      Serves the users and products of the demo data as a service behind the BFF:
      BACKEND_USERS_URL=http://127.0.0.1:8002 cargo dev
  cargo dev token --user ID [--plan premium]
      Prints a token that is good for a week on this machine.
  cargo dev renew-epochs --table NAME
      After a restore: gives each change log of a table on AWS a new epoch, so that
      phones sync from the start. Takes AWS_REGION and credentials from the environment.
";

/// What the command line asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Everything.
    Serve(Listen),
    /// The database alone.
    Database(Listen),
    /// The stand-in for the services behind.
    Upstream(Listen),
    /// A token.
    Token {
        /// Whose.
        user: Id,
        /// The claim `plan`.
        plan: Option<String>,
    },
    /// New epochs for the logs of a table on AWS.
    RenewEpochs {
        /// The table's name.
        table: String,
    },
    /// The help text.
    Help,
}

/// Where to listen and where the data lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    /// Address.
    pub host: String,
    /// Port; 0 takes any free one.
    pub port: u16,
    /// Folder of the data; in memory without one.
    pub data: Option<PathBuf>,
}

/// Reads the arguments, without the program's name.
///
/// # Errors
/// One sentence about the first argument that is wrong.
pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Command, String> {
    read(lexopt::Parser::from_args(args)).map_err(|error| error.to_string())
}

const COMMANDS: [&str; 4] = ["db", "upstream", "token", "renew-epochs"];

fn read(mut parser: lexopt::Parser) -> Result<Command, lexopt::Error> {
    let mut command: Option<String> = None;
    let mut listen = Listen { host: "127.0.0.1".into(), port: 0, data: None };
    let (mut port, mut user, mut plan, mut table) = (None, None, None, None);
    while let Some(argument) = parser.next()? {
        let name = command.as_deref();
        let serves = matches!(name, None | Some("db" | "upstream"));
        match argument {
            Long("help") | Short('h') => return Ok(Command::Help),
            Long("port") if serves => port = Some(parser.value()?.parse::<u16>()?),
            Long("host") if serves => listen.host = parser.value()?.string()?,
            Long("data") if serves && name != Some("upstream") => listen.data = Some(folder(parser.value()?)?),
            Long("user") if name == Some("token") => user = Some(parser.value()?.parse::<Id>()?),
            Long("plan") if name == Some("token") => plan = Some(plan_of(&parser.value()?.string()?)?),
            Long("table") if name == Some("renew-epochs") => table = Some(parser.value()?.string()?),
            Value(word) if name.is_none() && COMMANDS.iter().any(|known| word == *known) => {
                command = Some(word.string()?);
            }
            other => return Err(other.unexpected()),
        }
    }
    match command.as_deref() {
        Some("renew-epochs") => {
            let table = table.ok_or("renew-epochs needs --table NAME")?;
            Ok(Command::RenewEpochs { table })
        }
        Some("token") => {
            let user = user.ok_or("a token needs --user ID")?;
            Ok(Command::Token { user, plan })
        }
        Some("upstream") => Ok(Command::Upstream(Listen { port: port.unwrap_or(8002), ..listen })),
        Some(_) => Ok(Command::Database(Listen { port: port.unwrap_or(8000), ..listen })),
        None => Ok(Command::Serve(Listen { port: port.unwrap_or(8080), ..listen })),
    }
}

/// An empty name is an unset variable of a shell, and would mean the current folder.
fn folder(name: OsString) -> Result<PathBuf, lexopt::Error> {
    if name.is_empty() { Err("--data needs the name of a folder".into()) } else { Ok(name.into()) }
}

fn plan_of(name: &str) -> Result<String, lexopt::Error> {
    match name {
        "free" | "premium" => Ok(name.to_owned()),
        other => Err(format!("the plan {other:?} is neither free nor premium").into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(line: &str) -> Result<Command, String> {
        parse(line.split_whitespace().map(OsString::from))
    }

    #[test]
    fn commands_and_defaults() {
        let listen = |port| Listen { host: "127.0.0.1".into(), port, data: None };
        assert_eq!(of(""), Ok(Command::Serve(listen(8080))));
        assert_eq!(of("db"), Ok(Command::Database(listen(8000))));
        assert_eq!(of("upstream"), Ok(Command::Upstream(listen(8002))));
        assert_eq!(of("--port 0 --data d"), Ok(Command::Serve(Listen { data: Some("d".into()), ..listen(0) })));
        let user: Id = "user-1".parse().expect("legal");
        assert_eq!(of("token --user user-1"), Ok(Command::Token { user: user.clone(), plan: None }));
        let premium = Some("premium".to_owned());
        assert_eq!(of("token --user user-1 --plan premium"), Ok(Command::Token { user, plan: premium }));
        assert_eq!(of("token --help"), Ok(Command::Help));
        assert_eq!(of("renew-epochs --table orders"), Ok(Command::RenewEpochs { table: "orders".into() }));
    }

    #[test]
    fn each_mistake_is_one_sentence() {
        let mistakes = [
            "--prot 1",
            "--port",
            "--port x",
            "--port 70000",
            "serve",
            "db db",
            "upstream --data d",
            "token",
            "renew-epochs",
            "renew-epochs --port 1",
            "--table t",
            "token --user a/b",
            "--data=",
            "token --user u --plan gold",
            "token --port 1",
            "--user u",
        ];
        for line in mistakes {
            let sentence = of(line).expect_err(line);
            assert!(!sentence.is_empty() && !sentence.contains('\n'), "{line}: {sentence}");
        }
    }
}
