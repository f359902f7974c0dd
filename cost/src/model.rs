//! What a month costs.

use crate::inputs::{Amount, Inputs};

const HOURS: f64 = 730.0;
const SECONDS: f64 = HOURS * 3600.0;
const MILLION: f64 = 1e6;
const GB: f64 = 1e9;

/// Lambda gives a function CPU by its memory: one vCPU at this many MB
/// (<https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html>).
const MB_PER_VCPU: f64 = 1769.0;

/// The network has two zones. A load balancer has a public address in each, and the tasks reach ECR (two endpoints),
/// `CloudWatch` Logs and Secrets Manager by an interface endpoint in each.
const ZONES: f64 = 2.0;
const ENDPOINTS: f64 = 4.0;

/// What one capacity unit of a load balancer holds (<https://aws.amazon.com/elasticloadbalancing/pricing/>).
const NEW_CONNECTIONS: f64 = 25.0;
const ACTIVE_CONNECTIONS: f64 = 3000.0;
const GB_PER_HOUR_TO_TASKS: f64 = 1.0;
const GB_PER_HOUR_TO_LAMBDA: f64 = 0.4;

/// A service of tasks: on demand first, the rest four to one on Spot.
const BASE_TASKS: f64 = 2.0;
const SPOT_SHARE: f64 = 0.8;

/// What can be chosen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Sizes {
    /// Memory of a function, in MB.
    pub(crate) lambda_mb: f64,
    /// A task's vCPUs.
    pub(crate) task_vcpu: f64,
    /// A task's memory, in GB.
    pub(crate) task_gb: f64,
}

/// A way to run the service, and to pay for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Plan {
    LambdaHttpApi,
    LambdaHttpApiSavings,
    LambdaLoadBalancer,
    Fargate,
    FargateSavings,
    FargateSpot,
}

impl Plan {
    pub(crate) const ALL: [Self; 6] = [
        Self::LambdaHttpApi,
        Self::LambdaHttpApiSavings,
        Self::LambdaLoadBalancer,
        Self::Fargate,
        Self::FargateSavings,
        Self::FargateSpot,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::LambdaHttpApi => "Lambda, HTTP API",
            Self::LambdaHttpApiSavings => "Lambda, HTTP API, Savings Plan",
            Self::LambdaLoadBalancer => "Lambda, load balancer",
            Self::Fargate => "Fargate",
            Self::FargateSavings => "Fargate, Savings Plan",
            Self::FargateSpot => "Fargate, Spot above two tasks",
        }
    }
}

/// US dollars a month.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Bill {
    /// API Gateway or the load balancer.
    pub(crate) front_door: f64,
    /// Lambda or the tasks.
    pub(crate) compute: f64,
    /// Addresses and endpoints.
    pub(crate) network: f64,
    /// Lines of the log, metrics in `CloudWatch`, traces in X-Ray.
    pub(crate) logs: f64,
}

impl Bill {
    pub(crate) fn total(self) -> f64 {
        self.front_door + self.compute + self.network + self.logs
    }
}

/// What every plan costs on top.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Common {
    pub(crate) dynamodb: f64,
    pub(crate) data_out: f64,
}

impl Common {
    pub(crate) fn total(self) -> f64 {
        self.dynamodb + self.data_out
    }
}

/// The requests of a month at so many a second.
pub(crate) fn requests(rps: f64) -> f64 {
    rps * SECONDS
}

/// How long Lambda bills a warm request, in milliseconds.
pub(crate) fn billed_milliseconds(inputs: &Inputs, sizes: Sizes) -> f64 {
    let cpu = cpu_milliseconds(inputs.measured.lambda.milliseconds.get(), sizes);
    (cpu + inputs.request.waits * inputs.measured.assumed.store_milliseconds.get()).ceil()
}

/// A function with a part of a core takes longer than on a whole one; with more than one core it is no faster.
fn cpu_milliseconds(on_one_core: f64, sizes: Sizes) -> f64 {
    on_one_core * (MB_PER_VCPU / sizes.lambda_mb).max(1.0)
}

/// How many tasks run for so many requests a second; two at least, one in each zone.
pub(crate) fn tasks(inputs: &Inputs, sizes: Sizes, rps: f64) -> f64 {
    let one = inputs.measured.fargate.requests_per_second_per_vcpu.get()
        * sizes.task_vcpu
        * inputs.measured.assumed.target_utilisation.get();
    (rps / one).ceil().max(BASE_TASKS)
}

/// What a plan costs at so many requests a second, day and night.
pub(crate) fn bill(inputs: &Inputs, sizes: Sizes, plan: Plan, rps: f64) -> Bill {
    let prices = &inputs.prices;
    let addresses = ZONES * HOURS * prices.network.public_address_hour.get();
    match plan {
        Plan::LambdaHttpApi | Plan::LambdaHttpApiSavings => Bill {
            front_door: requests(rps) / MILLION * prices.http_api.million_requests.get(),
            compute: lambda(inputs, sizes, rps, plan == Plan::LambdaHttpApiSavings),
            network: 0.0,
            logs: lambda_logs(inputs, rps) + logs(inputs, rps, inputs.measured.assumed.access_log_bytes.get()),
        },
        Plan::LambdaLoadBalancer => Bill {
            front_door: load_balancer(inputs, rps, GB_PER_HOUR_TO_LAMBDA),
            compute: lambda(inputs, sizes, rps, false),
            network: addresses,
            logs: lambda_logs(inputs, rps),
        },
        Plan::Fargate | Plan::FargateSavings | Plan::FargateSpot => Bill {
            front_door: load_balancer(inputs, rps, GB_PER_HOUR_TO_TASKS),
            compute: fargate(inputs, sizes, rps, plan),
            network: addresses + ENDPOINTS * ZONES * HOURS * prices.network.interface_endpoint_hour.get(),
            logs: logs(inputs, rps, inputs.measured.logs.container_bytes.get())
                + metrics(inputs, inputs.measured.assumed.container_metrics),
        },
    }
}

fn lambda(inputs: &Inputs, sizes: Sizes, rps: f64, savings: bool) -> f64 {
    let prices = &inputs.prices.lambda;
    let cold = inputs.measured.assumed.cold_start_share.get()
        * cpu_milliseconds(inputs.measured.lambda.cold_start_milliseconds.get(), sizes);
    let seconds = requests(rps) * (billed_milliseconds(inputs, sizes) + cold) / 1e3;
    let discount = if savings { prices.savings_plan.off() } else { 1.0 };
    let duration = seconds * sizes.lambda_mb / 1024.0 * prices.gb_second.get() * discount;
    requests(rps) / MILLION * prices.million_requests.get() + duration
}

fn lambda_logs(inputs: &Inputs, rps: f64) -> f64 {
    let assumed = &inputs.measured.assumed;
    let traces = requests(traces(inputs, rps)) / MILLION * inputs.prices.logs.million_traces.get();
    logs(inputs, rps, inputs.measured.logs.lambda_bytes.get()) + metrics(inputs, assumed.lambda_metrics) + traces
}

/// How many requests a second X-Ray records: the first ones of a second, and a share of the others.
fn traces(inputs: &Inputs, rps: f64) -> f64 {
    let assumed = &inputs.measured.assumed;
    let first = rps.min(assumed.traces_per_second.get());
    first + (rps - first) * assumed.trace_share.get()
}

fn metrics(inputs: &Inputs, count: Amount) -> f64 {
    count.get() * inputs.prices.logs.metric_month.get()
}

fn logs(inputs: &Inputs, rps: f64, bytes: f64) -> f64 {
    requests(rps) * bytes / GB * inputs.prices.logs.gb.get()
}

fn fargate(inputs: &Inputs, sizes: Sizes, rps: f64, plan: Plan) -> f64 {
    let prices = &inputs.prices.fargate;
    let task = HOURS * (sizes.task_vcpu * prices.vcpu_hour.get() + sizes.task_gb * prices.gb_hour.get());
    let tasks = tasks(inputs, sizes, rps);
    match plan {
        Plan::FargateSavings => task * tasks * prices.savings_plan.off(),
        Plan::FargateSpot => {
            let spot = (tasks - BASE_TASKS) * SPOT_SHARE;
            task * (tasks - spot) + task * spot * prices.spot.off()
        }
        _ => task * tasks,
    }
}

/// The hour, and capacity units by the dimension that needs the most.
fn load_balancer(inputs: &Inputs, rps: f64, gb_per_hour: f64) -> f64 {
    let request = &inputs.request;
    let connections = rps * request.connections;
    let units = [
        connections / NEW_CONNECTIONS,
        connections * request.connection_seconds / ACTIVE_CONNECTIONS,
        rps * 3600.0 * (inputs.measured.assumed.request_bytes.get() + bytes_out(inputs)) / GB / gb_per_hour,
    ];
    let most = units.into_iter().fold(0.0, f64::max);
    let prices = &inputs.prices.load_balancer;
    HOURS * (prices.hour.get() + most * prices.capacity_unit_hour.get())
}

fn bytes_out(inputs: &Inputs) -> f64 {
    inputs.request.bytes + inputs.measured.assumed.header_bytes.get()
}

/// What does not depend on the plan.
pub(crate) fn common(inputs: &Inputs, rps: f64) -> Common {
    let (request, requests) = (&inputs.request, requests(rps));
    Common {
        dynamodb: requests / MILLION * store(inputs, request.read_units, request.write_units),
        data_out: requests * bytes_out(inputs) / GB * inputs.prices.network.gb_out.get(),
    }
}

/// What a million requests cost at the store, when each takes so many units.
pub(crate) fn store(inputs: &Inputs, read_units: f64, write_units: f64) -> f64 {
    let prices = &inputs.prices.dynamodb;
    read_units * prices.million_read_units.get() + write_units * prices.million_write_units.get()
}

/// From how many requests a second on `later` is cheaper than `first`; none up to a million.
pub(crate) fn break_even(inputs: &Inputs, sizes: Sizes, first: Plan, later: Plan) -> Option<f64> {
    let cheaper = |rps: f64| bill(inputs, sizes, later, rps).total() < bill(inputs, sizes, first, rps).total();
    let (mut low, mut high) = (0.0, 1e6);
    if !cheaper(high) {
        return None;
    }
    // Tasks come one by one, so there may be several such points; this is one of them.
    while high - low > 0.1 {
        let middle = f64::midpoint(low, high);
        if cheaper(middle) { high = middle } else { low = middle }
    }
    Some(high)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const SIZES: Sizes = Sizes { lambda_mb: 256.0, task_vcpu: 0.5, task_gb: 1.0 };

    fn inputs() -> Inputs {
        Inputs::read(Path::new(env!("CARGO_MANIFEST_DIR"))).expect("good")
    }

    fn assert_close(left: f64, right: f64) {
        assert!((left - right).abs() < 1e-6 * right.abs().max(1.0), "{left} is not {right}");
    }

    /// By hand, from the prices as they are written down.
    #[test]
    fn a_month_of_one_request_a_second() {
        let inputs = inputs();
        let million = 2.628; // 730 hours of 3600 seconds
        let Bill { front_door, compute, network, logs } = bill(&inputs, SIZES, Plan::LambdaHttpApi, 1.0);
        assert_close(front_door, million * inputs.prices.http_api.million_requests.get());
        let milliseconds = billed_milliseconds(&inputs, SIZES);
        let cold = inputs.measured.assumed.cold_start_share.get()
            * inputs.measured.lambda.cold_start_milliseconds.get()
            * (1769.0 / 256.0);
        let gb_seconds = million * 1e6 * (milliseconds + cold) / 1e3 / 4.0;
        let prices = &inputs.prices.lambda;
        assert_close(compute, million * prices.million_requests.get() + gb_seconds * prices.gb_second.get());
        assert_close(network, 0.0);
        let (measured, assumed) = (&inputs.measured.logs, &inputs.measured.assumed);
        let gb = million * 1e6 * (measured.lambda_bytes.get() + assumed.access_log_bytes.get()) / 1e9;
        // All of them: one request a second is what X-Ray records in any case.
        let traces = million * inputs.prices.logs.million_traces.get();
        let metrics = assumed.lambda_metrics.get() * inputs.prices.logs.metric_month.get();
        assert_close(logs, gb * inputs.prices.logs.gb.get() + metrics + traces);
        assert_close(milliseconds, milliseconds.round());
    }

    #[test]
    fn traces_are_one_a_second_and_a_share_of_the_others() {
        let inputs = inputs();
        for (rps, recorded) in [(0.5, 0.5), (1.0, 1.0), (21.0, 2.0), (101.0, 6.0)] {
            assert_close(traces(&inputs, rps), recorded);
        }
    }

    /// With many requests bytes decide, which are counted both ways: by hand.
    #[test]
    fn a_load_balancer_counts_requests_and_answers() {
        let inputs = inputs();
        let assumed = &inputs.measured.assumed;
        let bytes = assumed.request_bytes.get() + assumed.header_bytes.get() + inputs.request.bytes;
        let units = 50.0 * 3600.0 * bytes / 1e9 / 0.4;
        let prices = &inputs.prices.load_balancer;
        let expected = 730.0 * (prices.hour.get() + units * prices.capacity_unit_hour.get());
        assert_close(bill(&inputs, SIZES, Plan::LambdaLoadBalancer, 50.0).front_door, expected);
    }

    #[test]
    fn tasks_come_one_by_one_and_never_fewer_than_two() {
        let inputs = inputs();
        let one = inputs.measured.fargate.requests_per_second_per_vcpu.get() * 0.5 * 0.7;
        for (rps, count) in [(0.001, 2.0), (1.9 * one, 2.0), (2.1 * one, 3.0), (11.9 * one, 12.0)] {
            assert_close(tasks(&inputs, SIZES, rps), count);
        }
        let task = bill(&inputs, SIZES, Plan::Fargate, 0.001).compute / 2.0;
        let spot = bill(&inputs, SIZES, Plan::FargateSpot, 11.9 * one).compute;
        assert_close(spot, task * (2.0 + 10.0 * 0.2 + 10.0 * 0.8 * inputs.prices.fargate.spot.off()));
    }

    #[test]
    fn more_memory_is_no_faster_than_a_whole_core() {
        let inputs = inputs();
        let of = |lambda_mb| billed_milliseconds(&inputs, Sizes { lambda_mb, ..SIZES });
        assert!(of(128.0) > of(1769.0));
        assert_close(of(1769.0), of(10_240.0));
    }

    /// By hand: an order more reads three and a half units and writes seven, its counter among them.
    #[test]
    fn units_of_the_store_have_a_price() {
        let inputs = inputs();
        let prices = &inputs.prices.dynamodb;
        let expected = 3.5 * prices.million_read_units.get() + 7.0 * prices.million_write_units.get();
        assert_close(store(&inputs, 3.5, 7.0), expected);
    }

    #[test]
    fn the_break_even_is_one() {
        let inputs = inputs();
        for (first, later) in [(Plan::LambdaHttpApi, Plan::Fargate), (Plan::LambdaLoadBalancer, Plan::FargateSavings)] {
            let at = break_even(&inputs, SIZES, first, later).expect("large services are cheaper on Fargate");
            let total = |plan, rps| bill(&inputs, SIZES, plan, rps).total();
            assert!(total(later, at) < total(first, at), "{first:?} {later:?} {at}");
            assert!(total(later, at - 0.2) >= total(first, at - 0.2), "{first:?} {later:?} {at}");
        }
        assert_eq!(break_even(&inputs, SIZES, Plan::LambdaHttpApiSavings, Plan::LambdaHttpApi), None);
    }
}
