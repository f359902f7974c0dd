//! Whether a write goes ahead, has already happened, or meets somebody else's change.

use super::{Entity, Record};
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

/// Judges a write of `proposed` (`None`: a deletion) on the current row.
///
/// Clients of sync libraries cannot send a stable id for a retry, so the content carries it: if the row already is what
/// the write would make it, and the write was based on this version or on the one before, the answer is success.
pub fn judge<E: Entity>(current: Option<&Record<E>>, expected: State, proposed: Option<&E>) -> Verdict {
    let stored = current.and_then(|record| record.value.as_ref());
    let same = match (stored, proposed) {
        (Some(stored), Some(proposed)) => stored.same_content(proposed),
        (None, None) => true,
        _ => false,
    };
    // A tombstone has a version that a write can be based on, but for a create or a `*` there is nothing there.
    let version = current.map(|record| record.version);
    let holds = match expected {
        State::Absent | State::Present => expected.holds(version.filter(|_| stored.is_some())),
        State::Version(_) | State::Never => expected.holds(version),
    };
    let retried = version.is_some_and(|version| expected.held_before(version));
    match (holds, same) {
        // A create may not slip in over a tombstone unseen: the client has yet to learn of the deletion.
        (true, _) if expected == State::Absent && current.is_some() => Verdict::Conflict,
        (true, true) => Verdict::Unchanged,
        (true, false) => Verdict::Apply,
        (false, true) if retried => Verdict::Unchanged,
        (false, _) => Verdict::Conflict,
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use serde::{Deserialize, Serialize};

    use super::*;

    #[derive(Clone, Debug, Serialize, Deserialize)]
    struct Note(String);

    impl Entity for Note {
        fn same_content(&self, other: &Self) -> bool {
            self.0 == other.0
        }
    }

    fn record(version: u64, value: Option<&'static str>) -> Record<Note> {
        let id = "n".parse().expect("legal");
        Record { id, version, seq: 1, value: value.map(|text| Note(text.into())), at: Timestamp::UNIX_EPOCH }
    }

    #[test]
    fn the_table_of_writes() {
        use State::{Absent, Never, Present, Version};
        use Verdict::{Apply, Conflict, Unchanged};
        let live = Some(record(3, Some("a")));
        let first = Some(record(1, Some("a")));
        let gone = Some(record(3, None));
        let cases = [
            ("create", &None, Absent, Some("a"), Apply),
            ("create, retried", &first, Absent, Some("a"), Unchanged),
            ("create, taken", &first, Absent, Some("b"), Conflict),
            ("create, changed since", &live, Absent, Some("a"), Conflict),
            ("create over a tombstone", &gone, Absent, Some("a"), Conflict),
            ("update", &live, Version(3), Some("b"), Apply),
            ("update, same content", &live, Version(3), Some("a"), Unchanged),
            ("update, lost response", &live, Version(2), Some("a"), Unchanged),
            ("update, behind", &live, Version(2), Some("b"), Conflict),
            ("update, far behind", &live, Version(1), Some("a"), Conflict),
            ("update, ahead", &live, Version(4), Some("b"), Conflict),
            ("update of nothing", &None, Version(3), Some("b"), Conflict),
            ("update of a tombstone, unseen", &gone, Version(2), Some("b"), Conflict),
            ("revival", &gone, Version(3), Some("b"), Apply),
            ("any version", &live, Present, Some("b"), Apply),
            ("any version of nothing", &None, Present, Some("b"), Conflict),
            ("any version of a tombstone", &gone, Present, Some("b"), Conflict),
            ("foreign tag", &live, Never, Some("b"), Conflict),
            ("delete", &live, Version(3), None, Apply),
            ("delete, behind", &live, Version(2), None, Conflict),
            ("delete, lost response", &gone, Version(2), None, Unchanged),
            ("highest version", &live, Version(u64::MAX), Some("a"), Conflict),
        ];
        for (name, current, expected, proposed, verdict) in cases {
            let proposed = proposed.map(|text| Note(text.into()));
            assert_eq!(judge(current.as_ref(), expected, proposed.as_ref()), verdict, "{name}");
        }
    }
}
