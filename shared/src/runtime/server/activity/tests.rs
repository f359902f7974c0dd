use super::*;

/// Limits without any patience but for those connections that do nothing.
fn options() -> Options {
    Options { header_timeout: Duration::ZERO, write_timeout: Duration::ZERO, ..Options::default() }
}

fn activity() -> Arc<Activity> {
    Arc::new(Activity::new(&Budget::new(1024)))
}

fn request(activity: &Arc<Activity>) -> Handling {
    activity.request(&Gauge::noop())
}

const TOO_SLOW: Verdict = Verdict::Refuse(StatusCode::REQUEST_TIMEOUT);

#[test]
fn what_is_left_of_a_body_is_no_head() {
    let activity = activity();
    let first = request(&activity);
    activity.upload_begins(None);
    drop(first);
    activity.received(1);
    assert_eq!(activity.verdict(&options()), Verdict::Fine, "the rest of the body");
    assert!(activity.waits_since().is_some(), "it may be closed like any that rests");
    activity.upload_ends();
    activity.received(1);
    assert_eq!(activity.verdict(&options()), TOO_SLOW, "after the end of the body");
}

#[test]
fn the_next_head_has_its_own_time() {
    let activity = activity();
    let first = request(&activity);
    activity.received(1);
    assert_eq!(activity.verdict(&options()), Verdict::Fine, "the first request comes first");
    drop(first);
    assert_eq!(activity.verdict(&options()), TOO_SLOW);
    let options = Options { header_timeout: Duration::from_mins(1), ..options() };
    assert!(activity.deadline(&options) > Instant::now() + options.header_timeout / 2, "from the end of the first");
    activity.speaks_http2();
    assert_eq!(activity.verdict(&self::options()), Verdict::Fine, "HTTP/2 has no such head");
}

#[test]
fn a_connection_waits_when_nothing_is_under_way() {
    let activity = activity();
    assert!(activity.waits_since().is_some());
    let handling = request(&activity);
    assert!(activity.waits_since().is_none(), "a request is being handled");
    drop(handling);
    activity.blocked();
    assert!(activity.waits_since().is_none(), "its client has not taken the answer");
    assert_eq!(activity.verdict(&options()), Verdict::Drop);
    activity.wrote();
    let since = activity.waits_since();
    assert!(since.is_some());
    assert_eq!(activity.verdict(&options()), Verdict::Fine);
    activity.received(1);
    assert!(activity.waits_since() > since, "for the rest of a head");
}

#[test]
fn a_connection_ends_as_it_is_asked_to() {
    let patient = Options::default();
    let (fresh, http2, head) = (activity(), activity(), activity());
    http2.speaks_http2();
    let _handling = request(&http2);
    head.received(1);
    for activity in [&fresh, &http2, &head] {
        assert_eq!(activity.verdict(&patient), Verdict::Fine);
        activity.ask(Wish::Finish);
    }
    assert_eq!(fresh.verdict(&patient), Verdict::Fine, "a request may be on its way");
    assert!(fresh.deadline(&patient) <= Instant::now() + LAST_CALL);
    assert!(fresh.deadline(&patient) > Instant::now() + LAST_CALL / 2);
    assert_eq!(http2.verdict(&patient), Verdict::Close, "it is told, and finishes what it has begun");
    assert_eq!(head.verdict(&patient), Verdict::Fine, "the rest of the head is on its way");
    for activity in [&fresh, &http2, &head] {
        activity.ask(Wish::MakeRoom);
        activity.ask(Wish::Finish);
    }
    assert_eq!(fresh.verdict(&patient), Verdict::Close);
    assert_eq!(head.verdict(&patient), Verdict::Refuse(StatusCode::SERVICE_UNAVAILABLE));
}

#[test]
fn an_answer_is_under_way_until_it_has_left() {
    let activity = activity();
    let mut handling = request(&activity);
    assert_eq!(activity.verdict(&options()), Verdict::Fine, "the handler has its own time");
    handling.send(1);
    assert_eq!(activity.verdict(&options()), Verdict::Drop, "the client takes nothing of it");
    let options = Options { write_timeout: Duration::from_mins(1), ..options() };
    assert!(activity.deadline(&options) <= Instant::now() + options.write_timeout);
    activity.wrote();
    assert!(activity.waits_since().is_none(), "there is more of it");
    drop(handling);
    assert!(activity.waits_since().is_some());
    assert_eq!(activity.verdict(&self::options()), Verdict::Fine);
}

/// What is asked for begins when it is asked for, however long the connection has been idle.
#[test]
fn an_old_connection_has_the_same_time_at_the_end() {
    let (patient, activity) = (Options::default(), activity());
    activity.state().active -= LAST_CALL * 2;
    activity.ask(Wish::Finish);
    assert_eq!(activity.verdict(&patient), Verdict::Fine, "a request may be on its way");
    assert!(activity.deadline(&patient) > Instant::now() + LAST_CALL / 2);
}

/// The client has time to close the connection after the last answer, not after the one before.
#[test]
fn a_connection_closes_after_its_last_answer() {
    let (patient, activity) = (Options::default(), activity());
    let last = request(&activity);
    activity.closing();
    activity.state().closing = Some(Instant::now() - patient.write_timeout);
    drop(last);
    assert_eq!(activity.verdict(&patient), Verdict::Fine);
    activity.state().active -= patient.write_timeout;
    assert_eq!(activity.verdict(&patient), Verdict::Drop);
}

/// Whatever else the client takes on its connection.
#[test]
fn each_answer_has_to_get_on() {
    let (patient, activity) = (Options::default(), activity());
    let [mut still, mut other] = [request(&activity), request(&activity)];
    still.send(1);
    other.send(1);
    activity.state().sending[0].progress -= patient.write_timeout;
    other.progress();
    activity.wrote();
    assert_eq!(activity.verdict(&patient), Verdict::Drop);
    still.progress();
    assert_eq!(activity.verdict(&patient), Verdict::Fine);
}

#[test]
fn a_client_that_takes_no_answers_gets_no_others() {
    let activity = activity();
    let mut answers: Vec<_> = (0..BEHIND).map(|_| request(&activity)).collect();
    for answer in &mut answers {
        answer.send(10);
    }
    assert!(!activity.is_behind() && activity.unsent().is_none(), "they were ready a moment ago");
    for answer in &mut activity.state().sending {
        answer.ready -= PATIENCE;
    }
    assert!(activity.is_behind());
    assert_eq!(activity.unsent(), Some(10 * BEHIND));
    answers.pop();
    assert!(!activity.is_behind());
}

#[test]
fn a_client_that_is_not_worth_it_loses_its_answer() {
    let (patient, activity) = (Options::default(), activity());
    let _handling = request(&activity);
    activity.ask(Wish::GiveUp);
    activity.ask(Wish::Finish);
    assert_eq!(activity.verdict(&patient), Verdict::Drop);
}
