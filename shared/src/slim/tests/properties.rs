//! Rules that hold for every request, checked against a slow and plain model.

use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::Map;

use super::super::Level::{Detail, Full, Minimal};
use super::*;

/// Every name that a request can use, with the lowest level that has it.
fn names(fields: &'static [super::super::Field], prefix: &str, above: Level) -> Vec<(String, Level)> {
    let mut all = Vec::new();
    for field in fields {
        let (name, level) = (format!("{prefix}{}", field.name()), field.level().max(above));
        if let Some(inner) = field.fields() {
            all.extend(names(inner, &format!("{name}."), level));
        }
        all.push((name, level));
    }
    all
}

fn a_level() -> impl Strategy<Value = Level> {
    prop::sample::select(vec![Minimal, Detail, Full])
}

/// A valid list of names for a level.
fn a_list(level: Level) -> impl Strategy<Value = Vec<String>> {
    let names: Vec<String> = names(User::FIELDS, "", Minimal)
        .into_iter()
        .filter_map(|(name, needed)| (needed <= level).then_some(name))
        .collect();
    prop::collection::vec(prop::sample::select(names), 1..12)
}

fn a_request() -> impl Strategy<Value = (Level, Vec<String>)> {
    a_level().prop_flat_map(|level| (Just(level), a_list(level)))
}

fn parse(level: Level, list: &[String]) -> Selection {
    Selection::parse::<User>(Some(level), Some(&list.join(",")), Full).expect("the list is valid")
}

/// Keeps what the names ask for, and what is inside of it.
fn filtered(value: &Value, prefix: &str, names: &BTreeSet<&str>) -> Value {
    match value {
        Value::Array(items) => items.iter().map(|item| filtered(item, prefix, names)).collect(),
        Value::Object(object) => {
            let mut kept = Map::new();
            for (key, value) in object {
                let name = format!("{prefix}{key}");
                let inside = format!("{name}.");
                if names.contains(name.as_str()) {
                    kept.insert(key.clone(), value.clone());
                } else if names.iter().any(|other| other.starts_with(&inside)) {
                    kept.insert(key.clone(), filtered(value, &inside, names));
                }
            }
            Value::Object(kept)
        }
        other => other.clone(),
    }
}

proptest! {
    #[test]
    fn fields_send_that_part_of_the_level((level, list) in a_request()) {
        let whole = value(&user(), &Selection::at(level));
        let names = list.iter().map(String::as_str).collect();
        prop_assert_eq!(value(&user(), &parse(level, &list)), filtered(&whole, "", &names));
    }

    #[test]
    fn order_and_repetition_change_nothing(
        (level, list, shuffled) in a_request().prop_flat_map(|(level, list)| {
            let twice = [list.clone(), list.clone()].concat();
            (Just(level), Just(list), Just(twice).prop_shuffle())
        })
    ) {
        let (one, other) = (parse(level, &list), parse(level, &shuffled));
        prop_assert_eq!(one.canonical(), other.canonical());
        prop_assert_eq!(one, other);
    }

    /// Every field of the user has a value here, so equal output means equal fields.
    #[test]
    fn selections_are_equal_exactly_when_they_send_the_same(one in a_request(), other in a_request()) {
        let (one, other) = (parse(one.0, &one.1), parse(other.0, &other.1));
        let same = value(&user(), &one) == value(&user(), &other);
        prop_assert_eq!(one == other, same, "{} and {}", one.canonical(), other.canonical());
        prop_assert_eq!(one.canonical() == other.canonical(), same);
    }

    #[test]
    fn the_canonical_text_is_a_request_for_the_same((level, list) in a_request()) {
        let selection = parse(level, &list);
        let text = selection.canonical();
        let (level, list) = text.split_once(':').map_or((text.as_str(), None), |(level, list)| (level, Some(list)));
        let again = Selection::parse::<User>(Some(level.parse()?), list, Full);
        prop_assert_eq!(again, Ok(selection));
    }

    #[test]
    fn nothing_above_the_ceiling_is_sent(list in a_list(Full), level in prop::option::of(a_level()), ceiling in a_level()) {
        if let Ok(selection) = Selection::parse::<User>(level, Some(&list.join(",")), ceiling) {
            let allowed = value(&user(), &Selection::at(ceiling));
            let sent = value(&user(), &selection);
            prop_assert!(is_part(&sent, &allowed), "{sent} of {allowed}");
        }
    }

    #[test]
    fn any_text_is_an_answer_or_an_error(list in "[a-z.,]{0,20}|.{0,40}", level in prop::option::of(a_level())) {
        if let Err(error) = Selection::parse::<User>(level, Some(&list), Full) {
            prop_assert_eq!(error.parameter(), "fields");
            prop_assert!(!error.to_string().is_empty());
        }
    }
}

fn is_part(part: &Value, whole: &Value) -> bool {
    match (part, whole) {
        (Value::Object(part), Value::Object(whole)) => {
            part.iter().all(|(key, part)| whole.get(key).is_some_and(|whole| is_part(part, whole)))
        }
        (Value::Array(part), Value::Array(whole)) => {
            part.len() == whole.len() && part.iter().zip(whole).all(|(part, whole)| is_part(part, whole))
        }
        (part, whole) => part == whole,
    }
}
