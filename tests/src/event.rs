//! Front-door events: the samples of `events/`, with a case's request in them.

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Map, Value, json};

use crate::case::{Answer, Request};

/// A front door that invokes a Lambda function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// API Gateway REST API.
    ApigwV1,
    /// API Gateway HTTP API, stage `$default`.
    ApigwV2,
    /// API Gateway HTTP API with a named stage.
    ApigwV2Stage,
    /// Application load balancer.
    Alb,
    /// Application load balancer with `lambda.multi_value_headers.enabled`.
    AlbMultiValue,
    /// Lambda function URL.
    FunctionUrl,
}

impl Source {
    /// The sample of this front door.
    pub fn sample(self) -> Value {
        let text = match self {
            Self::ApigwV1 => include_str!("../../events/apigw-v1.json"),
            Self::ApigwV2 => include_str!("../../events/apigw-v2.json"),
            Self::ApigwV2Stage => include_str!("../../events/apigw-v2-stage.json"),
            Self::Alb => include_str!("../../events/alb.json"),
            Self::AlbMultiValue => include_str!("../../events/alb-multi-value.json"),
            Self::FunctionUrl => include_str!("../../events/function-url.json"),
        };
        serde_json::from_str(text).expect("a sample is JSON")
    }

    /// The event by which this front door hands over a request.
    pub fn event(self, request: &Request) -> Value {
        let mut event = self.sample();
        let (path, query) = request.path_and_query();
        match self {
            Self::ApigwV1 => {
                event["path"] = path.into();
                event["httpMethod"] = request.method.clone().into();
                event["requestContext"]["httpMethod"] = request.method.clone().into();
                let headers = headers(&event["headers"], request);
                set_multi(&mut event, "headers", "multiValueHeaders", &headers);
                set_multi(&mut event, "queryStringParameters", "multiValueQueryStringParameters", &decoded(query));
            }
            Self::ApigwV2 | Self::ApigwV2Stage | Self::FunctionUrl => {
                let stage = event["requestContext"]["stage"].as_str().expect("a stage").to_owned();
                let raw = if stage == "$default" { path.to_owned() } else { format!("/{stage}{path}") };
                event["rawPath"] = raw.clone().into();
                event["rawQueryString"] = query.into();
                event["requestContext"]["http"]["path"] = raw.into();
                event["requestContext"]["http"]["method"] = request.method.clone().into();
                event["headers"] = last(&headers(&event["headers"], request));
                event["queryStringParameters"] = last(&decoded(query));
            }
            Self::Alb => {
                set_alb(&mut event, request, path);
                event["headers"] = last(&headers(&event["headers"], request));
                event["queryStringParameters"] = last(&encoded(query));
            }
            Self::AlbMultiValue => {
                set_alb(&mut event, request, path);
                event["multiValueHeaders"] = all(&headers(&event["multiValueHeaders"], request));
                event["multiValueQueryStringParameters"] = all(&encoded(query));
            }
        }
        if let Some(body) = request.wire_body() {
            // API Gateway encodes what it takes for binary; a load balancer what is not text. Both forms must work.
            let text = String::from_utf8(body).map_err(|error| BASE64_STANDARD.encode(error.as_bytes()));
            let text = match text {
                Ok(text) if matches!(self, Self::ApigwV2 | Self::FunctionUrl) => Err(BASE64_STANDARD.encode(text)),
                other => other,
            };
            event["isBase64Encoded"] = text.is_err().into();
            event["body"] = text.unwrap_or_else(|encoded| encoded).into();
        }
        event
    }

    /// The answer that this front door makes of a function's result.
    pub fn answer(self, result: &Value) -> Answer {
        let status = result["statusCode"].as_u64().and_then(|code| code.try_into().ok()).expect("a status code");
        let single = result["headers"].as_object().cloned().unwrap_or_default();
        let multi = result["multiValueHeaders"].as_object().cloned().unwrap_or_default();
        let mut headers: Vec<(String, String)> = match self {
            Self::ApigwV1 | Self::AlbMultiValue => {
                multi.iter().flat_map(|(name, values)| pairs(name, values.as_array().expect("a list"))).collect()
            }
            _ => single.iter().flat_map(|(name, value)| pairs(name, std::slice::from_ref(value))).collect(),
        };
        // A link leads through the same stage; without it, all front doors link to the same place.
        if self == Self::ApigwV2Stage {
            let stage = self.sample()["requestContext"]["stage"].as_str().expect("a stage").to_owned();
            for (_, value) in headers.iter_mut().filter(|(name, value)| name == "link" && value.starts_with("</")) {
                *value = value.replacen(&format!("</{stage}/"), "</", 1);
            }
        }
        let coded = headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-encoding"));
        let text = result["body"].as_str().unwrap_or_default();
        assert!(
            !coded || text.is_empty() || result["isBase64Encoded"] == true,
            "a coded body goes as base64: {result}"
        );
        let body = if result["isBase64Encoded"] == true {
            BASE64_STANDARD.decode(text).expect("base64")
        } else {
            text.as_bytes().to_vec()
        };
        Answer { status, headers, body }
    }
}

type Pairs = Vec<(String, String)>;

fn pairs(name: &str, values: &[Value]) -> Pairs {
    let value = |value: &Value| value.as_str().expect("a header value is text").to_owned();
    values.iter().map(|text| (name.to_owned(), value(text))).collect()
}

fn set_alb(event: &mut Value, request: &Request, path: &str) {
    event["path"] = path.into();
    event["httpMethod"] = request.method.clone().into();
}

fn set_multi(event: &mut Value, single: &str, multi: &str, values: &Pairs) {
    event[single] = last(values);
    event[multi] = all(values);
}

/// The sample's headers, except those that the request sets; the sample's `accept-encoding` would change the answer.
fn headers(sample: &Value, request: &Request) -> Pairs {
    let own = request.wire_headers();
    let replaced = |name: &str| name == "accept-encoding" || own.iter().any(|(given, _)| given == name);
    let kept = sample.as_object().into_iter().flatten().filter_map(|(name, value)| {
        let value = value.as_str().or_else(|| value[0].as_str())?;
        (!replaced(&name.to_lowercase())).then(|| (name.clone(), value.to_owned()))
    });
    kept.chain(own.clone()).collect()
}

fn encoded(query: &str) -> Pairs {
    let parts = query.split('&').filter(|part| !part.is_empty());
    parts.map(|part| part.split_once('=').unwrap_or((part, ""))).map(|(n, v)| (n.to_owned(), v.to_owned())).collect()
}

fn decoded(query: &str) -> Pairs {
    let url = reqwest::Url::parse(&format!("http://localhost/?{query}")).expect("a legal query");
    url.query_pairs().map(|(name, value)| (name.into_owned(), value.into_owned())).collect()
}

fn last(pairs: &Pairs) -> Value {
    pairs.iter().map(|(name, value)| (name.clone(), json!(value))).collect::<Map<_, _>>().into()
}

fn all(pairs: &Pairs) -> Value {
    let mut map = Map::new();
    for (name, value) in pairs {
        let values = map.entry(name.clone()).or_insert_with(|| json!([]));
        values.as_array_mut().expect("made as a list").push(json!(value));
    }
    map.into()
}
