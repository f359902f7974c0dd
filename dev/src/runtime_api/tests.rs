//! The API by hand, over the wire.

use super::*;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

const LIMIT: Duration = Duration::from_secs(5);

/// A client by hand, so that nothing but the wire is relied on.
struct Client(TcpStream);

impl Client {
    async fn connect(api: &RuntimeApi) -> Self {
        Self(TcpStream::connect(api.addr()).await.expect("the API listens"))
    }

    async fn send(&mut self, method: &str, path: &str, headers: &str, body: &str) {
        let request = format!(
            "{method} /2018-06-01/runtime{path} HTTP/1.1\r\nHost: api\r\nContent-Length: {}\r\n{headers}\r\n{body}",
            body.len()
        );
        self.0.write_all(request.as_bytes()).await.expect("the request can be sent");
    }

    /// One read, which holds the whole of a small response only if it left in one write.
    async fn receive(&mut self) -> (u16, HashMap<String, String>, String) {
        let mut buffer = vec![0; 64 * 1024];
        let size = self.0.read(&mut buffer).await.expect("a response can be read");
        let text = String::from_utf8(buffer[..size].to_vec()).expect("the response is text");
        let (head, body) = text.split_once("\r\n\r\n").expect("the head is complete");
        let mut lines = head.lines();
        let status = lines.next().and_then(|line| line.split(' ').nth(1)).expect("there is a status");
        let headers = lines.filter_map(|line| line.split_once(": "));
        let headers = headers.map(|(name, value)| (name.to_lowercase(), value.to_owned())).collect();
        (status.parse().expect("the status is a number"), headers, body.to_owned())
    }

    async fn next(&mut self) -> (String, HashMap<String, String>, String) {
        self.send("GET", "/invocation/next", "", "").await;
        let (status, headers, body) = self.receive().await;
        assert_eq!(status, 200);
        (headers["lambda-runtime-aws-request-id"].clone(), headers, body)
    }

    async fn answer(&mut self, id: &str, body: &str) -> u16 {
        self.send("POST", &format!("/invocation/{id}/response"), "", body).await;
        self.receive().await.0
    }
}

async fn start() -> RuntimeApi {
    RuntimeApi::start().await.expect("the API starts")
}

#[tokio::test]
async fn hands_out_events_and_takes_answers() {
    let api = start().await;
    let mut client = Client::connect(&api).await;
    let function = async move {
        let (id, headers, body) = client.next().await;
        assert_eq!(body, r#"{"hello":"world"}"#, "head and body come in one write");
        assert_eq!(headers["content-length"], body.len().to_string());
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is right").as_millis();
        let deadline: u128 = headers["lambda-runtime-deadline-ms"].parse().expect("a number");
        assert!((now..=now + LIMIT.as_millis()).contains(&deadline), "{deadline} against {now}");
        assert_eq!(
            headers["lambda-runtime-invoked-function-arn"],
            "arn:aws:lambda:us-east-1:123456789012:function:local"
        );
        let trace: Vec<_> = headers["lambda-runtime-trace-id"].split([';', '-']).map(str::len).collect();
        assert_eq!(trace, ["Root=1".len(), 8, 24, "Parent=".len() + 16, "Sampled=0".len()]);
        assert_eq!(client.answer(&id, r#"{"statusCode":204}"#).await, 202);
        assert_eq!(client.answer(&id, "{}").await, 400, "one answer is enough");
        client
    };
    let event = json!({"hello": "world"});
    let (invocation, mut client) = tokio::join!(api.invoke(&event, LIMIT), function);
    let invocation = invocation.expect("there is an answer");
    assert_eq!(invocation.body, json!({"statusCode": 204}));
    assert_eq!(invocation.body_bytes, r#"{"statusCode":204}"#.len());
    assert!(invocation.duration() < LIMIT);
    assert!(api.first_poll().await.expect("it has polled") <= invocation.handed_out);

    // The connection stays open for the next event.
    let (second, ()) = tokio::join!(api.invoke(&event, LIMIT), async {
        let (id, ..) = client.next().await;
        client.answer(&id, "null").await;
    });
    assert_ne!(second.expect("there is an answer").request_id, invocation.request_id);
}

#[tokio::test]
async fn tells_errors_apart() {
    let api = start().await;
    let mut client = Client::connect(&api).await;
    let function = async {
        let (id, ..) = client.next().await;
        let kind = "Lambda-Runtime-Function-Error-Type: unhandled\r\n";
        client.send("POST", &format!("/invocation/{id}/error"), kind, r#"{"errorMessage":"no"}"#).await;
        assert_eq!(client.receive().await.0, 202);

        let (id, ..) = client.next().await;
        assert_eq!(client.answer(&id, "not json").await, 202);

        let (id, ..) = client.next().await;
        assert_eq!(client.answer(&id, &"x".repeat(RESPONSE_LIMIT + 1)).await, 413);

        let (id, ..) = client.next().await;
        tokio::time::sleep(Duration::from_millis(60)).await;
        assert_eq!(client.answer(&id, "{}").await, 410, "too late");
        assert_eq!(client.answer("unknown", "{}").await, 400);

        client.send("POST", "/init/error", "", r#"{"errorMessage":"no table"}"#).await;
        assert_eq!(client.receive().await.0, 202);
    };
    let checks = async {
        let failed = api.invoke(&Value::Null, LIMIT).await.expect_err("the function fails");
        let InvokeError::Function { error_type, body } = failed else { panic!("{failed}") };
        assert_eq!((error_type.as_str(), body), ("unhandled", json!({"errorMessage": "no"})));

        let failed = api.invoke(&Value::Null, LIMIT).await.expect_err("the answer is not JSON");
        assert!(matches!(&failed, InvokeError::NotJson { text, .. } if text == "not json"), "{failed}");

        let failed = api.invoke(&Value::Null, LIMIT).await.expect_err("the answer is too large");
        assert!(
            matches!(&failed, InvokeError::Function { error_type, .. } if error_type == "Function.ResponseSizeTooLarge"),
            "{failed}"
        );

        let limit = Duration::from_millis(30);
        let failed = api.invoke(&Value::Null, limit).await.expect_err("the function is slow");
        assert!(matches!(failed, InvokeError::NoAnswer(waited) if waited == limit), "{failed}");

        let failed = api.invoke(&Value::Null, LIMIT).await.expect_err("the function has not started");
        assert!(matches!(&failed, InvokeError::Init { body, .. } if body["errorMessage"] == "no table"), "{failed}");
    };
    tokio::join!(function, checks);
}

#[tokio::test]
async fn a_poll_that_goes_away_loses_no_event() {
    let api = start().await;
    let mut gone = Client::connect(&api).await;
    gone.send("GET", "/invocation/next", "", "").await;
    api.first_poll().await.expect("it polls");
    drop(gone);
    // The server needs a moment to see that the connection has closed.
    tokio::time::sleep(Duration::from_millis(50)).await;

    let mut client = Client::connect(&api).await;
    let (invocation, ()) = tokio::join!(api.invoke(&Value::Null, LIMIT), async {
        let (id, ..) = client.next().await;
        client.answer(&id, "1").await;
    });
    assert_eq!(invocation.expect("there is an answer").body, 1);
}

#[tokio::test]
async fn an_abandoned_event_is_not_handed_out() {
    let api = start().await;
    let abandoned = json!("abandoned");
    let given_up = tokio::time::timeout(Duration::from_millis(10), api.invoke(&abandoned, LIMIT)).await;
    given_up.expect_err("nobody polls");

    let mut client = Client::connect(&api).await;
    let event = json!("wanted");
    let (invocation, ()) = tokio::join!(api.invoke(&event, LIMIT), async {
        let (id, _, body) = client.next().await;
        assert_eq!(body, r#""wanted""#);
        client.answer(&id, "1").await;
    });
    invocation.expect("there is an answer");
}

#[tokio::test]
async fn a_process_is_watched() {
    let script = "echo \"$NAME of $AWS_LAMBDA_FUNCTION_NAME\"; echo \"cannot open table\" >&2; exit 3";
    let args = ["-c", script];
    let mut process = LambdaProcess::spawn_with_args("sh", args, [("NAME", "child")]).await.expect("the shell starts");
    let line = process.wait_for_log(LIMIT, |line| line.starts_with("child")).await;
    assert_eq!(line.as_deref(), Some("child of local"));
    let failed = process.invoke(&Value::Null, LIMIT).await.expect_err("the process is gone");
    let InvokeError::Gone(reason) = failed else { panic!("{failed}") };
    assert!(reason.contains("exit status: 3") && reason.contains("cannot open table"), "{reason}");
    assert_eq!(process.log().len(), 2);
    process.init_duration().await.expect_err("it never polled");
    assert_eq!(process.stop().await.and_then(|status| status.code()), Some(3));
}

/// Every test that starts a function fails when its log tells what it must not.
#[tokio::test]
async fn a_log_keeps_secrets() {
    let says = async |line: &str| {
        let environment = [("SAY", line), ("SYNC_SECRET", "a secret of some length")];
        let mut process = LambdaProcess::spawn_with_args("sh", ["-c", "echo $SAY >&2"], environment).await.expect("sh");
        process.wait_for_log(LIMIT, |_| true).await;
        tokio::spawn(async move { process.stop().await.is_some() }).await.map_err(|error| error.into_panic())
    };
    assert!(says("request served").await.is_ok());
    for line in ["to someone@example.com", "Bearer x", "keyed by a secret of some length"] {
        let panic = says(line).await.expect_err(line);
        let sentence = panic.downcast_ref::<String>().expect("a sentence");
        assert!(sentence.starts_with("the log tells ") && sentence.ends_with(line), "{sentence}");
    }
}

#[tokio::test]
async fn a_process_is_killed() {
    let mut process =
        LambdaProcess::spawn_with_args("sleep", ["60"], [] as [(&str, &str); 0]).await.expect("the program starts");
    assert!(process.peak_memory().is_some_and(|bytes| bytes > 0));
    let status = process.stop().await.expect("it has ended");
    assert!(!status.success());

    let process =
        LambdaProcess::spawn_with_args("sleep", ["60"], [] as [(&str, &str); 0]).await.expect("the program starts");
    let pid = process.pid();
    drop(process);
    let gone = async {
        // A killed process that nobody has waited for yet has no memory map any more.
        while std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| !line.is_empty()) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(LIMIT, gone).await.expect("the drop kills it");
}

#[tokio::test]
async fn a_missing_binary_is_named() {
    let failed = LambdaProcess::spawn("/nonexistent/function", [] as [(&str, &str); 0]).await;
    let failed = failed.err().expect("there is no such program");
    assert!(failed.to_string().contains("/nonexistent/function"), "{failed}");
}
