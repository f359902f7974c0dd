//! Which types can be slimmed.

use serde::ser::Serializer;

use super::super::Level::{Detail, Full, Minimal};
use super::super::{Field, ObjectWriter, Selected};
use super::*;

#[test]
fn generic_views_work() {
    trait Source {
        type Item;
    }

    struct Ids;

    impl Source for Ids {
        type Item = u8;
    }

    #[derive(Slim)]
    struct Page<'a, T, M: Source, const N: usize>
    where
        T: 'a,
    {
        #[slim(nested)]
        items: &'a [T; N],
        #[slim(detail)]
        extra: Option<M::Item>,
        #[slim(full)]
        sizes: Vec<M::Item>,
    }

    let orders = [Order { id: 1, ship_to: &ADDRESS }];
    let page: Page<'_, _, Ids, 1> = Page { items: &orders, extra: Some(9), sizes: vec![1, 2] };
    assert_eq!(json(&page, &Selection::at(Minimal)), r#"{"items":[{"id":1}]}"#);
    let selection = Selection::parse::<Page<'_, Order<'_>, Ids, 1>>(None, Some("sizes,items.shipTo.city,extra"), Full);
    assert_eq!(
        json(&page, &selection.expect("valid")),
        r#"{"items":[{"shipTo":{"city":"Oslo"}}],"extra":9,"sizes":[1,2]}"#
    );
}

#[test]
fn a_generic_type_can_contain_itself() {
    #[derive(Slim)]
    struct Chain<T> {
        item: T,
        #[slim(nested)]
        next: Option<Box<Chain<T>>>,
    }

    let chain = Chain { item: 1u8, next: Some(Box::new(Chain { item: 2, next: None })) };
    assert_eq!(json(&chain, &Selection::at(Minimal)), r#"{"item":1,"next":{"item":2}}"#);
    let selection = Selection::parse::<Chain<u8>>(None, Some("next.item"), Minimal).expect("valid");
    assert_eq!(json(&chain, &selection), r#"{"next":{"item":2}}"#);
}

#[test]
fn a_type_that_contains_itself_is_written_at_each_depth() {
    let leaf = |id| Tree { id, children: vec![], secret: 9 };
    let tree = Tree { id: 1, children: vec![leaf(2), leaf(3)], secret: 9 };
    assert_eq!(
        json(&tree, &Selection::at(Detail)),
        r#"{"id":1,"children":[{"id":2,"children":[]},{"id":3,"children":[]}]}"#
    );
    let selection = Selection::parse::<Tree>(None, Some("children.secret"), Full).expect("valid");
    assert_eq!(json(&tree, &selection), r#"{"children":[{"secret":9},{"secret":9}]}"#);
}

#[test]
fn a_view_out_of_another_macro_works() {
    macro_rules! view {
        ($name:ident { $($field:ident: $ty:ty),* }) => {
            #[derive(Slim)]
            struct $name { $($field: $ty,)* #[slim(detail)] last_seen: u8 }
        };
    }
    view!(Visit { place: &'static str });
    let visit = Visit { place: "here", last_seen: 1 };
    assert_eq!(json(&visit, &Selection::at(Detail)), r#"{"place":"here","lastSeen":1}"#);
}

#[test]
fn a_view_without_fields_is_an_empty_object() {
    #[derive(Slim)]
    struct Nothing {}
    assert_eq!(json(&Nothing {}, &Selection::at(Full)), "{}");
}

#[test]
fn the_trait_can_be_implemented_by_hand() {
    struct Celsius(f64);

    impl Slim for Celsius {
        const FIELDS: &'static [Field] = &[Field::leaf("celsius", Minimal), Field::leaf("fahrenheit", Full)];

        fn serialize_slim<S: Serializer>(&self, selected: Selected<'_>, serializer: S) -> Result<S::Ok, S::Error> {
            let mut out = ObjectWriter::begin(Self::FIELDS, selected, serializer)?;
            out.leaf(0, &self.0)?;
            out.leaf(1, &(self.0 * 1.8 + 32.0))?;
            out.end()
        }
    }

    assert_eq!(json(&Celsius(20.0), &Selection::at(Detail)), r#"{"celsius":20.0}"#);
    assert_eq!(json(&Celsius(20.0), &Selection::at(Full)), r#"{"celsius":20.0,"fahrenheit":68.0}"#);
}

#[test]
fn fields_describe_the_type() {
    let described: Vec<_> = User::FIELDS.iter().map(|field| (field.name(), field.level())).collect();
    let expected = [
        ("id", Minimal),
        ("fullName", Minimal),
        ("email", Detail),
        ("address", Detail),
        ("orders", Full),
        ("notes", Full),
    ];
    assert_eq!(described, expected);
    assert!(User::FIELDS[0].fields().is_none());
    let inside: Vec<_> = User::FIELDS[3].fields().expect("nested").iter().map(Field::name).collect();
    assert_eq!(inside, ["city", "geo", "street"]);
}
