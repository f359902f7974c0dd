//! The trace that a request belongs to ([W3C Trace Context](https://www.w3.org/TR/trace-context/), level 1).

use std::{fmt, str::FromStr};

use http::{HeaderMap, HeaderName, HeaderValue};

/// Names the trace and the span that a request was made in.
pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// What the tracing systems on the way say besides.
pub const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// The longest `tracestate` that is passed on, in bytes: what every system has to pass on (section 3.3.1.5).
const MAX_STATE: usize = 512;
/// The bit that says that the caller may have recorded its span.
const SAMPLED: u8 = 1;

/// The value of a `traceparent` header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceParent {
    /// The trace, never 0.
    pub trace: u128,
    /// The span that is the parent of all that the receiver does, never 0.
    pub span: u64,
    /// Whether the caller may have recorded its span.
    pub sampled: bool,
}

/// A text is not a `traceparent`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a traceparent of W3C Trace Context")]
pub struct NotTraceParent;

impl FromStr for TraceParent {
    type Err = NotTraceParent;

    fn from_str(text: &str) -> Result<Self, NotTraceParent> {
        let mut parts = text.splitn(5, '-');
        let mut part = |digits| parts.next().and_then(|part| hex(part, digits)).ok_or(NotTraceParent);
        let (version, trace, span, flags) = (part(2)?, part(32)?, part(16)?, part(2)?);
        // A later version may have more behind what this one has.
        let well_formed = version != 0xff && (version != 0 || parts.next().is_none());
        match (u64::try_from(span), trace) {
            (Ok(span @ 1..), 1..) if well_formed => Ok(Self { trace, span, sampled: flags & u128::from(SAMPLED) != 0 }),
            _ => Err(NotTraceParent),
        }
    }
}

/// Exactly so many lower-case digits.
fn hex(text: &str, digits: usize) -> Option<u128> {
    let legal = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    let fits = text.len() == digits && text.bytes().all(legal);
    fits.then(|| u128::from_str_radix(text, 16).ok()).flatten()
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace, self.span, u8::from(self.sampled) * SAMPLED)
    }
}

impl TraceParent {
    /// The same for AWS X-Ray, `Root=1-67891233-abcdef012345678912345678;Parent=53995c3f42cd8ad8;Sampled=1`, as X-Ray
    /// itself maps it. A load balancer's has no parent, and so no span to name.
    pub fn of_xray(header: &str) -> Option<Self> {
        let part = |name: &str| header.split(';').find_map(|part| part.trim().strip_prefix(name)?.strip_prefix('='));
        let (time, rest) = part("Root")?.strip_prefix("1-")?.split_once('-')?;
        let trace = hex(time, 8)? << 96 | hex(rest, 24)?;
        let span = u64::try_from(hex(part("Parent")?, 16)?).ok()?;
        let legal = trace != 0 && span != 0;
        legal.then(|| Self { trace, span, sampled: part("Sampled") == Some("1") })
    }

    /// A new span of the same trace; of a new one without a parent.
    #[cfg_attr(not(feature = "otlp"), allow(dead_code))]
    pub(crate) fn child_of(parent: Option<Self>) -> Self {
        let trace = parent.map_or_else(|| rand::random_range(1..=u128::MAX), |parent| parent.trace);
        Self { trace, span: rand::random_range(1..=u64::MAX), sampled: true }
    }

    /// The trace's id as logs and tracing systems write it.
    pub fn trace_id(&self) -> String {
        format!("{:032x}", self.trace)
    }

    /// The same for the span.
    pub fn span_id(&self) -> String {
        format!("{:016x}", self.span)
    }
}

/// The trace of a request, as it is passed on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trace {
    /// From `traceparent`; without a good one, from X-Ray.
    pub parent: Option<TraceParent>,
    /// The `tracestate` beside a good `traceparent`.
    state: Option<HeaderValue>,
}

impl Trace {
    /// Reads the headers of a request. `xray` is the platform's own word, which goes before the header of X-Ray.
    pub(crate) fn of(headers: &HeaderMap, xray: Option<&str>) -> Self {
        let parent = only(headers, &TRACEPARENT).and_then(|text| text.parse().ok());
        if parent.is_some() {
            let lines: Vec<&[u8]> = headers.get_all(TRACESTATE).iter().map(HeaderValue::as_bytes).collect();
            let state = Some(lines.join(&b","[..])).filter(|state| (1..=MAX_STATE).contains(&state.len()));
            return Self { parent, state: state.and_then(|state| HeaderValue::from_bytes(&state).ok()) };
        }
        let xray = xray.or_else(|| only(headers, &HeaderName::from_static("x-amzn-trace-id")));
        Self { parent: xray.and_then(TraceParent::of_xray), state: None }
    }

    /// The same trace with a span of our own as the parent of what comes.
    pub(crate) fn within(self, own: Option<TraceParent>) -> Self {
        Self { parent: own.or(self.parent), ..self }
    }

    /// The headers that pass the trace on.
    pub fn headers(&self) -> impl Iterator<Item = (HeaderName, HeaderValue)> {
        let parent = self.parent.and_then(|parent| HeaderValue::from_str(&parent.to_string()).ok());
        let parent = parent.map(|parent| (TRACEPARENT, parent));
        parent.into_iter().chain(self.state.clone().map(|state| (TRACESTATE, state)))
    }
}

/// A header that is there once: of two nobody knows which to believe.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.to_str().ok();
    value.filter(|_| values.next().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0af7651916cd43dd8448eb211c80319c";

    #[test]
    fn a_good_traceparent_comes_back() {
        for text in [format!("00-{ID}-b7ad6b7169203331-01"), format!("00-{ID}-b7ad6b7169203331-00")] {
            let parent: TraceParent = text.parse().expect("good");
            assert_eq!((parent.to_string(), parent.trace_id()), (text, ID.to_owned()));
        }
        let later: TraceParent = format!("cc-{ID}-b7ad6b7169203331-09-what-the-future-brings").parse().expect("good");
        assert_eq!(later.to_string(), format!("00-{ID}-b7ad6b7169203331-01"));
    }

    #[test]
    fn a_bad_one_does_not() {
        for bad in [
            String::new(),
            "00".to_owned(),
            format!("ff-{ID}-b7ad6b7169203331-01"),
            format!("00-{}-b7ad6b7169203331-01", ID.to_uppercase()),
            format!("00-{}-b7ad6b7169203331-01", "0".repeat(32)),
            format!("00-{ID}-0000000000000000-01"),
            format!("00-{ID}-b7ad6b7169203331"),
            format!("00-{ID}-b7ad6b7169203331-01-more"),
            format!("00-{ID}-b7ad6b716920333-001"),
            format!("00-+{}-b7ad6b7169203331-01", &ID[1..]),
        ] {
            assert_eq!(bad.parse::<TraceParent>(), Err(NotTraceParent), "{bad}");
        }
    }

    #[test]
    fn a_trace_of_xray_is_the_same_trace() {
        let parent = TraceParent::of_xray("Root=1-67891233-abcdef012345678912345678;Parent=53995c3f42cd8ad8;Sampled=1");
        let text = parent.expect("good").to_string();
        assert_eq!(text, "00-67891233abcdef012345678912345678-53995c3f42cd8ad8-01");
        for bad in ["", "Root=1-67891233-abcdef012345678912345678", "Root=x;Parent=53995c3f42cd8ad8"] {
            assert_eq!(TraceParent::of_xray(bad), None, "{bad}");
        }
    }

    #[test]
    fn what_is_passed_on_is_what_came() {
        let headers = |pairs: &[(&'static str, String)]| -> HeaderMap {
            let value = |text: &String| HeaderValue::from_str(text).expect("legal");
            let mut headers = HeaderMap::new();
            for (name, text) in pairs {
                headers.append(*name, value(text));
            }
            headers
        };
        let onward = |pairs: &[(&'static str, String)]| -> Vec<(String, String)> {
            let text = |value: HeaderValue| value.to_str().expect("text").to_owned();
            let trace =
                Trace::of(&headers(pairs), Some("Root=1-67891233-abcdef012345678912345678;Parent=53995c3f42cd8ad8"));
            trace.headers().map(|(name, value)| (name.to_string(), text(value))).collect()
        };
        let parent = ("traceparent", format!("00-{ID}-b7ad6b7169203331-01"));
        let state = ("tracestate", "vendor=value".to_owned());
        let same = |(name, value): &(&str, String)| ((*name).to_owned(), value.clone());
        assert_eq!(onward(&[parent.clone(), state.clone()]), [same(&parent), same(&state)]);
        assert_eq!(onward(&[parent.clone(), ("tracestate", "x".repeat(513))]), [same(&parent)]);
        let two = [parent.clone(), ("tracestate", "a=1".to_owned()), ("tracestate", "b=2".to_owned())];
        assert_eq!(onward(&two)[1].1, "a=1,b=2");
        let of_xray = ("traceparent".to_owned(), "00-67891233abcdef012345678912345678-53995c3f42cd8ad8-00".to_owned());
        assert_eq!(
            onward(std::slice::from_ref(&state)),
            std::slice::from_ref(&of_xray),
            "a state without its parent says nothing"
        );
        assert_eq!(onward(&[parent.clone(), parent]), [of_xray], "two parents are none");
    }
}
