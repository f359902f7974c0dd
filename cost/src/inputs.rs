//! What the computation starts from: four JSON files beside this crate, all meant to be edited.

use std::{collections::BTreeMap, fs, path::Path};

use serde::{Deserialize, de::DeserializeOwned};

/// A number that is not negative.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, PartialOrd)]
#[serde(try_from = "f64")]
pub(crate) struct Amount(f64);

impl TryFrom<f64> for Amount {
    type Error = String;

    fn try_from(number: f64) -> Result<Self, String> {
        if number.is_finite() && number >= 0.0 { Ok(Self(number)) } else { Err(format!("{number} is negative")) }
    }
}

impl Amount {
    pub(crate) const fn get(self) -> f64 {
        self.0
    }
}

/// A number from 0 to 1.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, PartialOrd)]
#[serde(try_from = "f64")]
pub(crate) struct Share(f64);

impl TryFrom<f64> for Share {
    type Error = String;

    fn try_from(number: f64) -> Result<Self, String> {
        if (0.0..=1.0).contains(&number) { Ok(Self(number)) } else { Err(format!("{number} is not between 0 and 1")) }
    }
}

impl Share {
    pub(crate) const fn get(self) -> f64 {
        self.0
    }

    /// What is left of a price after this discount.
    pub(crate) const fn off(self) -> f64 {
        1.0 - self.0
    }
}

/// `prices.json`: US dollars, and discounts as shares.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Prices {
    pub(crate) region: String,
    /// When they were looked up.
    pub(crate) date: String,
    #[serde(rename = "note")]
    _note: Option<String>,
    pub(crate) lambda: Lambda,
    pub(crate) fargate: Fargate,
    pub(crate) http_api: HttpApi,
    pub(crate) load_balancer: LoadBalancer,
    pub(crate) network: Network,
    pub(crate) dynamodb: DynamoDb,
    pub(crate) logs: Logs,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Lambda {
    pub(crate) million_requests: Amount,
    pub(crate) gb_second: Amount,
    pub(crate) savings_plan: Share,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Fargate {
    pub(crate) vcpu_hour: Amount,
    pub(crate) gb_hour: Amount,
    pub(crate) savings_plan: Share,
    pub(crate) spot: Share,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct HttpApi {
    pub(crate) million_requests: Amount,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct LoadBalancer {
    pub(crate) hour: Amount,
    pub(crate) capacity_unit_hour: Amount,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Network {
    pub(crate) interface_endpoint_hour: Amount,
    pub(crate) public_address_hour: Amount,
    pub(crate) gb_out: Amount,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct DynamoDb {
    pub(crate) million_read_units: Amount,
    pub(crate) million_write_units: Amount,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Logs {
    pub(crate) gb: Amount,
    pub(crate) metric_month: Amount,
    pub(crate) million_traces: Amount,
}

/// `measured.json`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Measured {
    #[serde(rename = "note")]
    _note: Option<String>,
    pub(crate) lambda: MeasuredLambda,
    pub(crate) fargate: MeasuredFargate,
    pub(crate) logs: MeasuredLogs,
    pub(crate) assumed: Assumed,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct MeasuredLambda {
    #[serde(rename = "command")]
    _command: String,
    /// One warm request on one whole core, the store apart.
    pub(crate) milliseconds: Amount,
    /// A start up to the first answer, on one whole core.
    pub(crate) cold_start_milliseconds: Amount,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct MeasuredFargate {
    #[serde(rename = "command")]
    _command: String,
    pub(crate) requests_per_second_per_vcpu: Amount,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct MeasuredLogs {
    #[serde(rename = "command")]
    _command: String,
    /// What a request writes on Lambda: its line, and its metrics in the embedded format.
    pub(crate) lambda_bytes: Amount,
    /// What it writes in a container, from whose lines metrics are drawn.
    pub(crate) container_bytes: Amount,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Assumed {
    /// A line of an HTTP API's access log. The template switches off what Lambda itself would write.
    pub(crate) access_log_bytes: Amount,
    /// How many requests a second X-Ray records in any case, unless a rule says otherwise.
    pub(crate) traces_per_second: Amount,
    /// And of the others such a share.
    pub(crate) trace_share: Share,
    /// How many metrics come from Lambda: five for each route, version and class of status that occurs.
    pub(crate) lambda_metrics: Amount,
    /// How many are drawn from what tasks log: one for each route and version, and those that alarms are on.
    pub(crate) container_metrics: Amount,
    /// One round trip to DynamoDB.
    pub(crate) store_milliseconds: Amount,
    /// How many invocations start an instance.
    pub(crate) cold_start_share: Share,
    /// The head of an answer, and what TLS adds.
    pub(crate) header_bytes: Amount,
    /// A request of a phone, most of which is its token.
    pub(crate) request_bytes: Amount,
    /// How much of its CPU a task may use before another one starts.
    pub(crate) target_utilisation: Share,
}

/// One entry of `routes.json`: what one request costs the store, as `bench routes --json` prints it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Route {
    #[serde(rename = "status")]
    _status: u16,
    bytes: Amount,
    waits: Amount,
    pub(crate) read_units: Amount,
    pub(crate) write_units: Amount,
}

/// `traffic.json`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Traffic {
    #[serde(rename = "note")]
    _note: Option<String>,
    shares: BTreeMap<String, Share>,
    requests_per_connection: Amount,
    connection_seconds: Amount,
}

/// The average request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request {
    /// Bytes of the answer's body.
    pub(crate) bytes: f64,
    /// How many times it waits for the store.
    pub(crate) waits: f64,
    pub(crate) read_units: f64,
    pub(crate) write_units: f64,
    /// New connections a request.
    pub(crate) connections: f64,
    pub(crate) connection_seconds: f64,
}

/// Everything.
#[derive(Clone, Debug)]
pub(crate) struct Inputs {
    pub(crate) prices: Prices,
    pub(crate) measured: Measured,
    /// What each kind of request asks of the store.
    pub(crate) routes: BTreeMap<String, Route>,
    pub(crate) request: Request,
}

impl Inputs {
    /// Reads the files of a folder; the error is a sentence that names the file and the place in it.
    pub(crate) fn read(folder: &Path) -> Result<Self, String> {
        let routes: BTreeMap<String, Route> = file(folder, "routes.json")?;
        let traffic: Traffic = file(folder, "traffic.json")?;
        Ok(Self {
            prices: file(folder, "prices.json")?,
            measured: file(folder, "measured.json")?,
            request: average(&routes, &traffic)?,
            routes,
        })
    }
}

fn average(routes: &BTreeMap<String, Route>, traffic: &Traffic) -> Result<Request, String> {
    let total: f64 = traffic.shares.values().map(|share| share.get()).sum();
    if (total - 1.0).abs() > 1e-6 {
        return Err(format!("traffic.json: the shares make {total}, and must make 1"));
    }
    if traffic.requests_per_connection.get() <= 0.0 {
        return Err("traffic.json: requestsPerConnection is 0, and nobody could connect".into());
    }
    let unknown = traffic.shares.keys().find(|name| !routes.contains_key(*name));
    if let Some(name) = unknown {
        return Err(format!("traffic.json: {name:?} is not in routes.json"));
    }
    let mean = |of: fn(&Route) -> Amount| -> f64 {
        traffic.shares.iter().map(|(name, share)| share.get() * of(&routes[name]).get()).sum()
    };
    Ok(Request {
        bytes: mean(|route| route.bytes),
        waits: mean(|route| route.waits),
        read_units: mean(|route| route.read_units),
        write_units: mean(|route| route.write_units),
        connections: 1.0 / traffic.requests_per_connection.get(),
        connection_seconds: traffic.connection_seconds.get(),
    })
}

fn file<T: DeserializeOwned>(folder: &Path, name: &str) -> Result<T, String> {
    let path = folder.join(name);
    let text = fs::read_to_string(&path).map_err(|why| format!("{} cannot be read: {why}", path.display()))?;
    parse(&text).map_err(|why| format!("{}: {why}", path.display()))
}

fn parse<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    serde_path_to_error::deserialize(&mut serde_json::Deserializer::from_str(text)).map_err(|why| why.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_are_good() {
        let inputs = Inputs::read(Path::new(env!("CARGO_MANIFEST_DIR"))).expect("good");
        assert!(inputs.request.waits >= 1.0, "each request waits for its counter, beside its read");
    }

    #[test]
    fn each_mistake_is_named() {
        let route = r#"{"a": {"status": 200, "bytes": 1, "waits": 1, "readUnits": 1, "writeUnits": 1}}"#;
        let of = |shares: &str, per_connection: &str| {
            let traffic = format!(
                r#"{{"shares": {{{shares}}}, "requestsPerConnection": {per_connection}, "connectionSeconds": 1}}"#
            );
            average(&parse(route)?, &parse(&traffic)?).map(drop)
        };
        assert_eq!(of(r#""a": 1"#, "1"), Ok(()));
        for (shares, per_connection, sentence) in [
            (r#""a": 0.5"#, "1", "traffic.json: the shares make 0.5, and must make 1"),
            (r#""a": 0.5, "b": 0.5"#, "1", "traffic.json: \"b\" is not in routes.json"),
            (r#""a": 2"#, "1", "shares.a: 2 is not between 0 and 1 at line 1 column 19"),
            (r#""a": 1"#, "0", "traffic.json: requestsPerConnection is 0, and nobody could connect"),
            (r#""a": 1"#, "-1", "requestsPerConnection: -1 is negative at line 1 column 48"),
        ] {
            assert_eq!(of(shares, per_connection), Err(sentence.to_owned()));
        }
        let unknown = parse::<HttpApi>(r#"{"millionRequests": 1, "tb": 1}"#).expect_err("unknown");
        assert!(unknown.starts_with("tb: unknown field `tb`"), "{unknown}");
    }
}
