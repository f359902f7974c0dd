//! What the service costs a month, on Lambda and on Fargate.

mod chart;
mod inputs;
mod model;

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    process::ExitCode,
};

use lexopt::{Arg, Parser, ValueExt};

use inputs::Inputs;
use model::{Bill, Plan, Sizes};

const HELP: &str = "\
Usage: cargo run -p cost -- [OPTIONS]

Prints what the service costs a month at an average of so many requests a second, from the prices, the traffic and the
measured figures in the JSON files of the folder cost/.

Options:
  --rps N           requests a second, day and night (50)
  --lambda-mb N     memory of a function: 128 to 10240 (256)
  --task SIZE       vCPUs and GB of a task: 0.25/0.5, 0.5/1, 1/2, 2/4 or 4/8 (0.5/1)
  --inputs FOLDER   the folder with the JSON files
  --svg FILE        draws cost against requests a second instead
  --help            this text
";

#[derive(Debug, PartialEq)]
struct Options {
    rps: f64,
    sizes: Sizes,
    inputs: PathBuf,
    svg: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Self {
        let sizes = Sizes { lambda_mb: 256.0, task_vcpu: 0.5, task_gb: 1.0 };
        Self { rps: 50.0, sizes, inputs: env!("CARGO_MANIFEST_DIR").into(), svg: None }
    }
}

/// None for the help.
fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Option<Options>, lexopt::Error> {
    let mut options = Options::default();
    let mut parser = Parser::from_args(args);
    while let Some(arg) = parser.next()? {
        match arg {
            Arg::Long("help") | Arg::Short('h') => return Ok(None),
            Arg::Long("rps") => options.rps = between(parser.value()?.parse()?, 0.001, 1e6, "--rps")?,
            Arg::Long("lambda-mb") => {
                options.sizes.lambda_mb = between(parser.value()?.parse()?, 128.0, 10_240.0, "--lambda-mb")?;
            }
            Arg::Long("task") => {
                (options.sizes.task_vcpu, options.sizes.task_gb) = match parser.value()?.string()?.as_str() {
                    "0.25/0.5" => (0.25, 0.5),
                    "0.5/1" => (0.5, 1.0),
                    "1/2" => (1.0, 2.0),
                    "2/4" => (2.0, 4.0),
                    "4/8" => (4.0, 8.0),
                    other => return Err(format!("there is no task of {other}; see --help").into()),
                };
            }
            Arg::Long("inputs") => options.inputs = parser.value()?.into(),
            Arg::Long("svg") => options.svg = Some(parser.value()?.into()),
            other => return Err(other.unexpected()),
        }
    }
    Ok(Some(options))
}

fn between(number: f64, least: f64, most: f64, name: &str) -> Result<f64, lexopt::Error> {
    if (least..=most).contains(&number) {
        Ok(number)
    } else {
        Err(format!("{name} is {number}; it must be from {least} to {most}").into())
    }
}

fn main() -> ExitCode {
    let outcome = match parse(std::env::args_os().skip(1)) {
        Ok(Some(options)) => run(&options),
        Ok(None) => {
            print!("{HELP}");
            Ok(())
        }
        Err(error) => Err(format!("{error}\n\n{HELP}")),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cost: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<(), String> {
    let inputs = Inputs::read(&options.inputs)?;
    match &options.svg {
        Some(file) => draw(file, &inputs, options.sizes),
        None => {
            print(&inputs, options);
            Ok(())
        }
    }
}

fn draw(file: &Path, inputs: &Inputs, sizes: Sizes) -> Result<(), String> {
    chart::draw(file, inputs, sizes).map_err(|why| format!("{} cannot be drawn: {why}", file.display()))
}

fn print(inputs: &Inputs, options: &Options) {
    let Options { rps, sizes, .. } = *options;
    let millions = model::requests(rps) / 1e6;
    println!("{rps} requests a second, day and night, are {millions:.1} million a month.");
    println!("Prices of {} as of {}, in US dollars a month.\n", inputs.prices.region, inputs.prices.date);
    println!("| plan | front door | compute | network | together | a million requests |");
    println!("| --- | ---: | ---: | ---: | ---: | ---: |");
    for plan in Plan::ALL {
        let bill = model::bill(inputs, sizes, plan, rps);
        let Bill { front_door, compute, network } = bill;
        let total = bill.total();
        println!(
            "| {} | {front_door:.2} | {compute:.2} | {network:.2} | **{total:.2}** | {:.3} |",
            plan.name(),
            total / millions
        );
    }
    let common = model::common(inputs, rps);
    println!("\n| on top, with each plan | a month | a million requests |\n| --- | ---: | ---: |");
    for (what, cost) in [
        ("DynamoDB, on demand", common.dynamodb),
        ("log lines", common.logs),
        ("data to the phones", common.data_out),
        ("**together**", common.total()),
    ] {
        println!("| {what} | {cost:.2} | {:.3} |", cost / millions);
    }
    let milliseconds = model::billed_milliseconds(inputs, sizes);
    println!("\nLambda bills {milliseconds:.0} ms of {} MB for a warm request.", sizes.lambda_mb);
    let tasks = model::tasks(inputs, sizes, rps);
    println!("Fargate runs {tasks:.0} tasks of {} vCPU and {} GB.", sizes.task_vcpu, sizes.task_gb);
    println!();
    for first in [Plan::LambdaHttpApi, Plan::LambdaLoadBalancer] {
        for later in [Plan::Fargate, Plan::FargateSavings, Plan::FargateSpot] {
            match model::break_even(inputs, sizes, first, later) {
                Some(rps) => {
                    println!("{} is cheaper than {} from {rps:.0} requests a second on.", later.name(), first.name())
                }
                None => println!("{} is never cheaper than {}.", later.name(), first.name()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(line: &str) -> Result<Option<Options>, String> {
        parse(line.split_whitespace().map(OsString::from)).map_err(|error| error.to_string())
    }

    #[test]
    fn options_and_mistakes() {
        assert_eq!(of(""), Ok(Some(Options::default())));
        assert_eq!(of("--help"), Ok(None));
        let sizes = Sizes { lambda_mb: 512.0, task_vcpu: 2.0, task_gb: 4.0 };
        assert_eq!(
            of("--rps 7 --lambda-mb 512 --task 2/4"),
            Ok(Some(Options { rps: 7.0, sizes, ..Options::default() }))
        );
        for (line, sentence) in [
            ("--rps 0", "--rps is 0; it must be from 0.001 to 1000000"),
            ("--rps NaN", "--rps is NaN; it must be from 0.001 to 1000000"),
            ("--lambda-mb 64", "--lambda-mb is 64; it must be from 128 to 10240"),
            ("--task 3/3", "there is no task of 3/3; see --help"),
            ("50", "unexpected argument \"50\""),
        ] {
            assert_eq!(of(line), Err(sentence.to_owned()));
        }
        let missing = Options { inputs: "/no/such/folder".into(), ..Options::default() };
        assert!(run(&missing).expect_err("missing").starts_with("/no/such/folder/routes.json cannot be read"));
    }
}
