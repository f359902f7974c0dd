//! Every request of `vectors.json`, which the parser in JavaScript is held to as well; and properties of all requests.

use proptest::prelude::*;
use serde::Deserialize;
use thumbnails_core::{Refusal, Request, Rules, SigningKey};

/// The clock of the vectors.
const NOW: u64 = 1_800_000_000;
const SECRET: &[u8] = b"a-signing-key-for-the-test-vectors-only";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Vector {
    title: String,
    #[serde(default)]
    signed: bool,
    key: String,
    query: String,
    accept: Option<String>,
    /// One of these three.
    canonical: Option<String>,
    invalid: Option<String>,
    #[serde(default)]
    forbidden: bool,
}

#[test]
fn every_vector_holds() {
    let vectors: Vec<Vector> = serde_json::from_str(include_str!("../../vectors.json")).expect("JSON");
    let keys = [SigningKey::new(&[7; 32]).expect("long enough"), SigningKey::new(SECRET).expect("long enough")];
    for vector in vectors {
        let signing = if vector.signed { &keys[..] } else { &[] };
        let parsed = Request::parse(&vector.key, &vector.query, vector.accept.as_deref(), Rules { signing }, NOW);
        let title = &vector.title;
        match (&vector.canonical, &vector.invalid, parsed) {
            (Some(canonical), None, Ok(request)) => {
                assert_eq!(&request.query(), canonical, "{title}");
                assert_eq!(request.key.as_str(), vector.key, "{title}");
                let again = Request::parse(&vector.key, canonical, None, Rules { signing }, NOW).expect(title);
                assert_eq!(&again.query(), canonical, "{title}: the canonical form is its own");
            }
            (None, Some(invalid), Err(Refusal::Invalid { field, .. })) => assert_eq!(field, invalid, "{title}"),
            (None, None, Err(Refusal::Forbidden(_) | Refusal::WrongSignature)) => assert!(vector.forbidden, "{title}"),
            (_, _, parsed) => panic!("{title}: {parsed:?}"),
        }
    }
}

#[test]
fn what_is_signed_here_is_accepted_here() {
    let key = SigningKey::new(SECRET).expect("long enough");
    let plain = Request::parse("a/b.png", "w=99&h=33", None, Rules::default(), NOW).expect("valid");
    let query = plain.signed(&key, NOW + 60).query();
    let rules = Rules { signing: &[key] };
    let read = |query: &str, now| Request::parse("a/b.png", query, Some("image/webp"), rules, now);
    assert_eq!(read(&query, NOW + 59).expect("signed").expires, Some(NOW + 60));
    assert_eq!(read(&query, NOW + 60).expect_err("over"), Refusal::Forbidden("the signature has expired"));
    assert!(SigningKey::new(&[0; 31]).is_none(), "a short key");
}

proptest! {
    /// A cache in front and the service behind it parse the same request twice.
    #[test]
    fn the_canonical_form_is_its_own(
        w in proptest::option::of(1..=16_383_u32),
        h in proptest::option::of(1..=16_383_u32),
        ratio in 100..=300_u32,
        q in 1..=100_u32,
    ) {
        let side = |name, value: Option<u32>| value.map(|value| format!("{name}={value}&")).unwrap_or_default();
        let ratio = format!("{}.{:02}", ratio / 100, ratio % 100);
        let query = format!("{}{}dpr={ratio}&q={q}", side("w", w), side("h", h));
        let once = Request::parse("a", &query, None, Rules::default(), NOW).expect("valid");
        let twice = Request::parse("a", &once.query(), None, Rules::default(), NOW).expect("valid");
        prop_assert_eq!(once.transform, twice.transform);
        let size = once.transform.size;
        let sides = [size.width, size.height].into_iter().flatten();
        prop_assert!(sides.clone().all(|side| (1..=2048).contains(&side)), "{:?}", size);
        prop_assert_eq!(sides.count(), usize::from(w.is_some()) + usize::from(h.is_some()));
    }

    #[test]
    fn no_text_makes_it_panic(key in "\\PC{0,40}", query in "\\PC{0,80}", accept in "\\PC{0,40}") {
        if let Ok(request) = Request::parse(&key, &query, Some(&accept), Rules::default(), NOW) {
            prop_assert!(request.key.as_str().bytes().all(|byte| byte.is_ascii_graphic()));
            prop_assert!(request.query().bytes().all(|byte| byte.is_ascii_alphanumeric() || b"=&".contains(&byte)));
        }
    }
}
