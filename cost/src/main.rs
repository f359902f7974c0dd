//! What the service costs a month, on Lambda and on Fargate.

mod chart;
mod inputs;
mod model;

use std::{ffi::OsString, fs, path::PathBuf, process::ExitCode};

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
    let Some(file) = &options.svg else {
        print!("{}", report(&inputs, options));
        return Ok(());
    };
    let picture = chart::draw(&inputs, options.sizes).map_err(|why| format!("the chart cannot be drawn: {why}"))?;
    fs::write(file, picture).map_err(|why| format!("{} cannot be written: {why}", file.display()))
}

fn report(inputs: &Inputs, options: &Options) -> String {
    let Options { rps, sizes, .. } = *options;
    let millions = model::requests(rps) / 1e6;
    let mut lines = vec![
        format!("{rps} requests a second, day and night, are {millions:.1} million a month."),
        format!("Prices of {} as of {}, in US dollars a month.\n", inputs.prices.region, inputs.prices.date),
        "| plan | front door | compute | network | logs, metrics, traces | together | a million requests |".to_owned(),
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |".to_owned(),
    ];
    lines.extend(Plan::ALL.map(|plan| {
        let bill = model::bill(inputs, sizes, plan, rps);
        let Bill { front_door, compute, network, logs } = bill;
        let (name, total) = (plan.name(), bill.total());
        let each = total / millions;
        format!("| {name} | {front_door:.2} | {compute:.2} | {network:.2} | {logs:.2} | **{total:.2}** | {each:.3} |")
    }));
    lines.push("\n| on top, with each plan | a month | a million requests |\n| --- | ---: | ---: |".to_owned());
    let common = model::common(inputs, rps);
    lines.extend(
        [
            ("DynamoDB, on demand", common.dynamodb),
            ("data to the phones", common.data_out),
            ("**together**", common.total()),
        ]
        .map(|(what, cost)| format!("| {what} | {cost:.2} | {:.3} |", cost / millions)),
    );
    lines.push("\n| DynamoDB, by request | read units | write units | a million requests |".to_owned());
    lines.push("| --- | ---: | ---: | ---: |".to_owned());
    lines.extend(inputs.routes.iter().map(|(name, route)| {
        let (read, write) = (route.read_units.get(), route.write_units.get());
        format!("| {name} | {read} | {write} | {:.3} |", model::store(inputs, read, write))
    }));
    let (milliseconds, tasks) = (model::billed_milliseconds(inputs, sizes), model::tasks(inputs, sizes, rps));
    lines.push(format!(
        "\nLambda bills {milliseconds:.0} ms of {} MB for a warm request. Fargate runs {tasks:.0} tasks of {} vCPU and {} GB.",
        sizes.lambda_mb, sizes.task_vcpu, sizes.task_gb
    ));
    lines.push(
        "\n| cheaper from so many requests a second on | than Lambda, HTTP API | than Lambda, load balancer |"
            .to_owned(),
    );
    lines.push("| --- | ---: | ---: |".to_owned());
    lines.extend([Plan::Fargate, Plan::FargateSavings, Plan::FargateSpot].map(|plan| {
        let from =
            |first| model::break_even(inputs, sizes, first, plan).map_or("never".into(), |rps| format!("{rps:.0}"));
        let [api, balancer] = [Plan::LambdaHttpApi, Plan::LambdaLoadBalancer].map(from);
        format!("| {} | {api} | {balancer} |", plan.name())
    }));
    lines.join("\n") + "\n"
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

    /// `cargo run -p cost` and `cargo run -p cost -- --svg docs/cost.svg` make them anew.
    #[test]
    fn the_docs_show_what_the_program_says() {
        let (inputs, options) = (Inputs::read(&Options::default().inputs).expect("good"), Options::default());
        let page = include_str!("../../docs/cost.md");
        for part in report(&inputs, &options).split("\n\n") {
            assert!(page.contains(part.trim()), "docs/cost.md has not:\n{part}");
        }
        let picture = chart::draw(&inputs, options.sizes).expect("a picture");
        assert!(picture == include_str!("../../docs/cost.svg"), "docs/cost.svg is another picture");
    }

    #[test]
    fn the_throughput_is_the_one_that_the_docs_have_measured() {
        let inputs = Inputs::read(&Options::default().inputs).expect("good");
        let row = format!(
            "| products, requests a CPU second | {} |",
            inputs.measured.fargate.requests_per_second_per_vcpu.get()
        );
        let page = include_str!("../../docs/container.md").replace(',', "");
        assert!(page.contains(&row.replace(',', "")), "docs/container.md has not: {row}");
    }
}
