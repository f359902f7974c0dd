//! Whether a write goes ahead, has already happened, or meets somebody else's change.

use super::Record;
use crate::http::precondition::State;

/// What becomes of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It goes ahead.
    Apply,
    /// The row has this content already: a write that changes nothing, or a retry whose first answer was lost.
    Unchanged,
    /// The row is not what the client thinks it is.
    Conflict,
}

/// Judges a write on the current row. `same` says whether an entity has the content that the write would give it.
///
/// Clients of sync libraries cannot send a stable id for a retry, so the content carries it: if the row already is what
/// the write would make it, and the write was based on this version or on the one before, the answer is success.
pub fn judge<E>(current: Option<&Record<E>>, expected: &State, same: impl FnOnce(&E) -> bool) -> Verdict {
    let live = current.and_then(|record| record.value.as_ref());
    let version = current.map(|record| record.version);
    // A tombstone has a version that a write can be based on, but for a `*` there is nothing there, and a create may
    // not slip in over it unseen: the client has yet to learn of the deletion.
    let holds = match expected {
        State::Absent | State::Versions(_) => expected.holds(version),
        State::Present => live.is_some(),
    };
    let same = live.is_some_and(same);
    let retried = version.is_some_and(|version| expected.held_before(version));
    match (holds, same) {
        (true, false) => Verdict::Apply,
        (true, true) => Verdict::Unchanged,
        (false, true) if retried => Verdict::Unchanged,
        (false, _) => Verdict::Conflict,
    }
}

/// Judges a deletion. What is gone already stays gone; without an expectation, whatever is there goes.
pub fn judge_deletion<E>(current: Option<&Record<E>>, expected: Option<&State>) -> Verdict {
    match (current, expected) {
        (None | Some(Record { value: None, .. }), _) => Verdict::Unchanged,
        (Some(_), None) => Verdict::Apply,
        (Some(record), Some(expected)) if expected.holds(Some(record.version)) => Verdict::Apply,
        (Some(_), Some(_)) => Verdict::Conflict,
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    fn record(version: u64, value: Option<&'static str>) -> Record<&'static str> {
        let id = "n".parse().expect("legal");
        Record { id, version, seq: 1, value, at: Timestamp::UNIX_EPOCH }
    }

    #[test]
    fn the_table_of_writes() {
        use State::{Absent, Present};
        use Verdict::{Apply, Conflict, Unchanged};
        let at = |version: u64| State::Versions(vec![version]);
        let live = Some(record(3, Some("a")));
        let first = Some(record(1, Some("a")));
        let gone = Some(record(3, None));
        let cases = [
            ("create", &None, Absent, "a", Apply),
            ("create, retried", &first, Absent, "a", Unchanged),
            ("create, taken", &first, Absent, "b", Conflict),
            ("create, changed since", &live, Absent, "a", Conflict),
            ("create over a tombstone", &gone, Absent, "a", Conflict),
            ("update", &live, at(3), "b", Apply),
            ("update, same content", &live, at(3), "a", Unchanged),
            ("update, lost response", &live, at(2), "a", Unchanged),
            ("update, behind", &live, at(2), "b", Conflict),
            ("update, far behind", &live, at(1), "a", Conflict),
            ("update, ahead", &live, at(4), "b", Conflict),
            ("update, one of several", &live, State::Versions(vec![9, 3]), "b", Apply),
            ("update of nothing", &None, at(3), "b", Conflict),
            ("update of a tombstone, unseen", &gone, at(2), "b", Conflict),
            ("revival", &gone, at(3), "b", Apply),
            ("any version", &live, Present, "b", Apply),
            ("any version of nothing", &None, Present, "b", Conflict),
            ("any version of a tombstone", &gone, Present, "b", Conflict),
            ("foreign tag", &live, State::Versions(vec![]), "b", Conflict),
            ("highest version", &live, at(u64::MAX), "a", Conflict),
        ];
        for (name, current, expected, proposed, verdict) in cases {
            assert_eq!(judge(current.as_ref(), &expected, |stored| *stored == proposed), verdict, "{name}");
        }
    }

    #[test]
    fn the_table_of_deletions() {
        use Verdict::{Apply, Conflict, Unchanged};
        let at = |version: u64| Some(State::Versions(vec![version]));
        let live = Some(record(3, Some("a")));
        let gone = Some(record(3, None));
        let cases = [
            ("delete", &live, at(3), Apply),
            ("delete, whatever it is", &live, None, Apply),
            ("delete, any version", &live, Some(State::Present), Apply),
            ("delete, behind", &live, at(2), Conflict),
            ("delete of nothing", &None, at(2), Unchanged),
            ("delete, lost response", &gone, at(2), Unchanged),
            ("delete of what is gone", &gone, None, Unchanged),
        ];
        for (name, current, expected, verdict) in cases {
            assert_eq!(judge_deletion(current.as_ref(), expected.as_ref()), verdict, "{name}");
        }
    }
}
