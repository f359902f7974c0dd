//! What a request may ask for, and each way to get it wrong.

use super::super::Level::{Detail, Full, Minimal};
use super::*;

#[test]
fn nothing_asked_gives_detail_or_the_ceiling() {
    for (ceiling, level) in [(Minimal, Minimal), (Detail, Detail), (Full, Detail)] {
        assert_eq!(Selection::parse::<User>(None, None, ceiling), Ok(Selection::at(level)));
    }
}

#[test]
fn a_level_up_to_the_ceiling_is_taken() {
    for ceiling in [Minimal, Detail, Full] {
        for level in [Minimal, Detail, Full] {
            let expected = if level <= ceiling {
                Ok(Selection::at(level))
            } else {
                Err(SelectionError::AboveCeiling { field: None, level, ceiling })
            };
            assert_eq!(Selection::parse::<User>(Some(level), None, ceiling), expected);
        }
    }
}

#[test]
fn a_level_above_the_ceiling_wins_over_errors_in_the_fields() {
    let error = error(Some(Full), Some("nope"), Detail);
    assert_eq!(error, SelectionError::AboveCeiling { field: None, level: Full, ceiling: Detail });
}

#[test]
fn fields_narrow_a_level() {
    let selection = Selection::parse::<User>(Some(Detail), Some("id,email"), Full).expect("both are in detail");
    assert_eq!(json(&user(), &selection), r#"{"id":"u1","email":"ada@example.com"}"#);
}

#[test]
fn a_field_above_the_level_is_refused_with_the_level_that_has_it() {
    for (level, list, field, needed) in [
        (Minimal, "id,email", "email", Detail),
        (Detail, "notes", "notes", Full),
        // The object or the field inside: whichever is higher decides.
        (Minimal, "address.city", "address.city", Detail),
        (Detail, "address.street", "address.street", Full),
        (Detail, "orders.id", "orders.id", Full),
        (Detail, "address.geo.lon", "address.geo.lon", Full),
    ] {
        let expected = SelectionError::NotAtLevel { field: field.to_owned(), level, needed };
        assert_eq!(error(Some(level), Some(list), Full), expected);
    }
}

#[test]
fn a_field_above_the_level_is_reported_the_same_way_under_a_ceiling() {
    let expected = SelectionError::NotAtLevel { field: "notes".to_owned(), level: Detail, needed: Full };
    assert_eq!(error(Some(Detail), Some("notes"), Detail), expected);
}

#[test]
fn fields_alone_may_go_up_to_the_ceiling() {
    assert!(Selection::parse::<User>(None, Some("notes,id"), Full).is_ok());
    for (list, field, ceiling, level) in [
        ("notes", "notes", Detail, Full),
        ("id,email", "email", Minimal, Detail),
        ("address.street", "address.street", Detail, Full),
        ("orders.shipTo.city", "orders.shipTo.city", Detail, Full),
    ] {
        let expected = SelectionError::AboveCeiling { field: Some(field.to_owned()), level, ceiling };
        assert_eq!(error(None, Some(list), ceiling), expected);
    }
}

#[test]
fn an_unknown_field_is_named_in_full() {
    for (list, field) in [
        ("foo", "foo"),
        ("id,address.foo", "address.foo"),
        ("orders.shipTo.geo.foo", "orders.shipTo.geo.foo"),
        // A leaf has nothing inside.
        ("id.x", "id.x"),
        ("address.city.x.y", "address.city.x.y"),
        // Only the name in the output counts.
        ("full_name", "full_name"),
        ("remarks", "remarks"),
        ("ID", "ID"),
        ("id, email", " email"),
        // An object that is already selected whole is no excuse.
        ("address,address.foo", "address.foo"),
    ] {
        assert_eq!(error(None, Some(list), Full), SelectionError::UnknownField { field: field.to_owned() }, "{list}");
    }
}

#[test]
fn an_empty_list_or_name_is_refused() {
    for list in ["", ",", "id,", ",id", "id,,email", "address.", ".city", "address..city", "."] {
        assert_eq!(error(None, Some(list), Full), SelectionError::EmptyField, "{list}");
        assert_eq!(error(Some(Detail), Some(list), Full), SelectionError::EmptyField, "{list}");
    }
}

#[test]
fn sixty_four_names_are_the_limit() {
    let list = |count| vec!["id"; count].join(",");
    assert!(Selection::parse::<User>(None, Some(&list(64)), Full).is_ok());
    assert_eq!(error(None, Some(&list(65)), Full), SelectionError::TooManyFields);
    assert_eq!(error(None, Some(&",".repeat(1_000_000)), Full), SelectionError::TooManyFields);
}

#[test]
fn sixty_four_parts_of_a_name_are_the_limit() {
    let name = |count| vec!["children"; count].join(".");
    let parse = |name: &str| Selection::parse::<Tree>(None, Some(name), Full);
    assert_eq!(parse(&name(64)).map(|selection| selection.canonical()), Ok(format!("full:{}", name(64))));
    assert_eq!(parse(&name(65)), Err(SelectionError::TooManyFields));
    assert_eq!(parse(&name(100_000)), Err(SelectionError::TooManyFields));
}

#[test]
fn lists_options_and_pointers_have_the_fields_of_what_they_hold() {
    let of_user = fields("id,address.city");
    let list = Some("address.city,id");
    assert_eq!(Selection::parse::<Vec<User>>(None, list, Full).as_ref(), Ok(&of_user));
    assert_eq!(Selection::parse::<[User]>(None, list, Full).as_ref(), Ok(&of_user));
    assert_eq!(Selection::parse::<[User; 2]>(None, list, Full).as_ref(), Ok(&of_user));
    assert_eq!(Selection::parse::<Option<Box<User>>>(None, list, Full).as_ref(), Ok(&of_user));
    assert_eq!(Selection::parse::<&std::sync::Arc<User>>(None, list, Full).as_ref(), Ok(&of_user));
}

#[test]
fn the_default_is_level_detail() {
    assert_eq!(Selection::default(), Selection::at(Detail));
}
