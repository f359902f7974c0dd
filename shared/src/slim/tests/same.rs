//! Different spellings of the same fields.

use super::super::Level::{Detail, Full, Minimal};
use super::*;

fn at(level: Level, list: &str) -> Selection {
    Selection::parse::<User>(Some(level), Some(list), Full).expect("the list is valid")
}

/// Asserts that all lists are equal and returns their text.
#[track_caller]
fn same(lists: &[&str]) -> String {
    let first = fields(lists[0]);
    for list in lists {
        let other = fields(list);
        assert_eq!(other, first, "{list}");
        assert_eq!(other.canonical(), first.canonical(), "{list}");
    }
    first.canonical()
}

#[test]
fn a_level_is_its_own_text() {
    assert_eq!(Selection::at(Minimal).canonical(), "minimal");
    assert_eq!(Selection::at(Detail).canonical(), "detail");
    assert_eq!(Selection::at(Full).canonical(), "full");
}

#[test]
fn order_and_repetition_change_nothing() {
    let text = same(&["orders.id,id,address.city", "address.city,orders.id,id", "id,orders.id,id,address.city,id"]);
    assert_eq!(text, "full:address.city,id,orders.id");
}

#[test]
fn an_object_includes_its_parts() {
    assert_eq!(same(&["address", "address,address.city", "address.city,address"]), "full:address");
    assert_eq!(same(&["address.geo", "address.geo.lat,address.geo"]), "full:address.geo");
    // `address` is chosen whole in the middle, with parts before and after it.
    same(&["id,address", "address.geo.lon,id,address,address.city"]);
}

#[test]
fn an_object_named_part_by_part_is_the_object() {
    assert_eq!(same(&["address.geo", "address.geo.lon,address.geo.lat"]), "full:address.geo");
    same(&["address", "address.street,address.geo.lat,address.city,address.geo.lon"]);
    assert_eq!(at(Detail, "address.geo.lat,address.city"), at(Detail, "address"));
    assert_eq!(at(Detail, "address").canonical(), "detail:address");
}

#[test]
fn the_same_parts_at_another_level_are_not_the_whole() {
    // At level full there is a longitude too.
    assert_ne!(fields("address.geo.lat,address.street"), fields("address.geo,address.street"));
}

#[test]
fn a_level_that_changes_nothing_makes_no_difference() {
    assert_eq!(at(Full, "email,id"), at(Detail, "email,id"));
    assert_eq!(at(Full, "email,id").canonical(), "detail:email,id");
    assert_eq!(at(Full, "id"), at(Minimal, "id"));
    assert_eq!(fields("orders.id"), at(Full, "orders.id"));
    // Here it does make one: the whole address has more fields at level full.
    assert_ne!(at(Full, "address"), at(Detail, "address"));
    // Unless nothing is left above: without a street and a longitude the address is the one of level detail.
    assert_eq!(fields("address.city,address.geo.lat"), at(Detail, "address"));
}

#[test]
fn all_fields_of_a_level_are_that_level() {
    assert_eq!(fields("fullName,id"), Selection::at(Minimal));
    assert_eq!(at(Detail, "address,email,fullName,id"), Selection::at(Detail));
    assert_eq!(fields("address,email,fullName,id,notes,orders"), Selection::at(Full));
    // The whole address reaches level full here.
    assert_eq!(fields("address,email,fullName,id").canonical(), "full:address,email,fullName,id");
}

#[test]
fn a_level_without_fields_stays_itself() {
    #[derive(Slim)]
    struct Tag {
        name: &'static str,
    }

    let parse = |level, list| Selection::parse::<Tag>(level, list, Full);
    assert_eq!(json(&Tag { name: "new" }, &Selection::at(Full)), r#"{"name":"new"}"#);
    assert_eq!(parse(Some(Full), None), Ok(Selection::at(Full)));
    assert_eq!(parse(Some(Full), Some("name")), Ok(Selection::at(Minimal)));
}

#[test]
fn the_level_of_a_selection_is_the_lowest_that_has_it() {
    assert_eq!(fields("id").level(), Minimal);
    assert_eq!(fields("id,email").level(), Detail);
    assert_eq!(fields("address").level(), Full);
    assert_eq!(Selection::at(Full).level(), Full);
}

#[test]
fn a_type_that_contains_itself_has_a_normal_form_too() {
    let parse = |level, list| Selection::parse::<Tree>(level, Some(list), Full).expect("the list is valid");
    assert_eq!(parse(None, "children").canonical(), "full:children");
    assert_eq!(parse(Some(Minimal), "children,id"), Selection::at(Minimal));
    assert_eq!(parse(Some(Detail), "children.children,children.id").canonical(), "minimal:children");
    assert_eq!(parse(None, "children.id,children.children.id").canonical(), "minimal:children.children.id,children.id");
}

#[test]
fn selections_of_different_types_differ() {
    let user = fields("id");
    let order = Selection::parse::<Order>(None, Some("id"), Full).expect("the list is valid");
    assert_ne!(user, order);
}
