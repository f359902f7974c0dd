//! wrk, and what it says.

use tokio::process::Command;

use crate::Failure;

/// What one run of wrk has measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Measured {
    /// Requests a second.
    pub(crate) rate: f64,
    /// Milliseconds below which half of the answers came.
    pub(crate) p50: f64,
    /// Milliseconds below which all but one in a hundred came.
    pub(crate) p99: f64,
    /// How many answers were no success.
    pub(crate) refused: u64,
}

/// Loads an address from some connections for some seconds, and accepts a content coding. Every request has to be answered.
pub(crate) async fn run(url: &str, coding: &str, connections: usize, seconds: u64) -> Result<Measured, Failure> {
    let mut wrk = Command::new("wrk");
    wrk.args(["--threads", "1", "--latency", "--timeout", "10s"]);
    wrk.args(["--header", &format!("accept-encoding: {coding}")]);
    wrk.args(["--connections", &connections.to_string(), "--duration", &format!("{seconds}s"), url]);
    let output =
        wrk.output().await.map_err(|error| format!("wrk does not start ({error}): install the package wrk"))?;
    let text = String::from_utf8(output.stdout)?;
    parse(&text).map_err(|problem| format!("{url}: {problem}\n{text}").into())
}

fn parse(text: &str) -> Result<Measured, String> {
    if let Some(line) = text.lines().find(|line| line.contains("Socket errors")) {
        return Err(line.trim().to_owned());
    }
    let refused = text.lines().find_map(|line| line.trim().strip_prefix("Non-2xx or 3xx responses: ")?.parse().ok());
    let value = |label: &str| {
        let line = text.lines().map(str::trim).find(|line| line.starts_with(label));
        let value = line.and_then(|line| line.split_whitespace().nth(1));
        value.and_then(number).ok_or_else(|| format!("wrk says nothing of {label}"))
    };
    Ok(Measured {
        rate: value("Requests/sec:")?,
        p50: value("50%")?,
        p99: value("99%")?,
        refused: refused.unwrap_or(0),
    })
}

/// A plain number, or a time in milliseconds.
fn number(text: &str) -> Option<f64> {
    let (digits, factor) = match text.find(|c: char| c.is_ascii_alphabetic()) {
        None => (text, 1.0),
        Some(at) => {
            let factor = match &text[at..] {
                "us" => 1e-3,
                "ms" => 1.0,
                "s" => 1e3,
                _ => return None,
            };
            (&text[..at], factor)
        }
    };
    digits.parse::<f64>().ok().map(|value| value * factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &str = "
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency   646.32us  365.05us  11.33ms   92.22%
  Latency Distribution
     50%  593.00us
     75%  750.00us
     99%    1.76ms
  200000 requests in 2.10s, 24.03MB read
Requests/sec:  95305.48
Transfer/sec:     11.45MB
";

    #[test]
    fn what_wrk_says_is_read() {
        let all_good = Measured { rate: 95_305.48, p50: 0.593, p99: 1.76, refused: 0 };
        assert_eq!(parse(OUTPUT), Ok(all_good));
        assert_eq!(parse(&format!("{OUTPUT}  Non-2xx or 3xx responses: 7\n")), Ok(Measured { refused: 7, ..all_good }));
        let bad = format!("{OUTPUT}  Socket errors: connect 0, read 1, write 0, timeout 0\n");
        assert_eq!(parse(&bad), Err("Socket errors: connect 0, read 1, write 0, timeout 0".to_owned()));
        assert!(parse("").is_err());
    }
}
