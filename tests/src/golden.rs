//! Running golden cases.

use std::path::Path;

use crate::{
    case::{Case, Request, Response, files},
    door::Door,
};

/// Sends every case of a folder through a door, in the order of the file names, and compares each answer.
///
/// # Panics
/// When an answer differs, with both answers.
pub async fn run(door: Door, binary: &Path, folder: &Path) {
    let update = door == Door::Tcp && std::env::var_os("UPDATE_GOLDEN").is_some();
    let open = door.open(binary).await;
    if update {
        for file in files(folder) {
            let mut case = Case::read(&file);
            let (answer, missing) = redacted(open.send(&case.request).await, &case);
            assert!(missing.is_empty(), "{}: there is no {missing:?} that could vary", file.display());
            case.response = Some(answer);
            case.write(&file);
        }
        return;
    }
    let name = format!("{door:?}");
    let send = async |request: Request| open.send(&request).await;
    let differences = differences(&name, folder, door == Door::Upstreams, send).await;
    open.close().await;
    assert!(differences.is_empty(), "{}", differences.join("\n\n"));
}

/// Sends every case of a folder, and says where an answer differs from the one in the file, with both answers. With
/// `upstreams`, users and products are not in tables.
pub async fn differences(
    door: &str,
    folder: &Path,
    upstreams: bool,
    send: impl AsyncFn(Request) -> Response,
) -> Vec<String> {
    let mut differences = Vec::new();
    for file in files(folder) {
        let mut case = Case::read(&file);
        assert!(case.settings.is_empty(), "{}: settings are for the cases of the container", file.display());
        if upstreams && case.tables_only.is_some() {
            continue;
        }
        let (answer, missing) = redacted(send(case.request.clone()).await, &case);
        if upstreams {
            accept_tag(&mut case, &answer);
        }
        if case.response.as_ref() != Some(&answer) || !missing.is_empty() {
            let shown = |response| serde_json::to_string_pretty(response).expect("JSON");
            let (expected, got) = (shown(&case.response), shown(&Some(answer)));
            differences.push(format!("{} through {door}\nexpected {expected}\ngot {got}", file.display()));
        }
    }
    differences
}

fn redacted(mut answer: Response, case: &Case) -> (Response, Vec<String>) {
    // How much is left and for how long is another thing in each run; `ratelimit-policy` stays.
    answer.headers.remove("ratelimit");
    let missing = answer.redact(&case.varies);
    (answer, missing)
}

/// A catalogue with a change log has tags of its state, where another one has tags of the representation.
fn accept_tag(case: &mut Case, answer: &Response) {
    let expected = case.response.as_mut().and_then(|response| response.headers.get_mut("etag"));
    if let (Some(expected), Some(tag)) = (expected, answer.headers.get("etag"))
        && expected.starts_with("\"s.")
    {
        expected.clone_from(tag);
    }
}
