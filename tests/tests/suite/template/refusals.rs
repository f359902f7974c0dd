//! What a deployment is refused with: no sentence of the templates is without a case in `scripts/estate/refused.py`, which
//! the emulator refuses.

use serde_json::Value;
use tests::template::{list, load};

use super::read;

/// The texts of each case: parameters, their values, and last a part of the sentence.
fn cases() -> Vec<Vec<String>> {
    let script = read("scripts/estate/refused.py");
    let cases = script.split("\n    (").skip(1).map(|rest| rest.split("\n    (").next().unwrap());
    let texts = |case: &str| {
        let end = case.find("),\n").unwrap_or(case.len());
        case[..end].split('"').skip(1).step_by(2).map(str::to_owned).collect()
    };
    cases.map(texts).collect()
}

/// The values of all members of one name.
fn members<'a>(value: &'a Value, name: &str, found: &mut Vec<&'a str>) {
    match value {
        Value::Object(all) => {
            found.extend(all.get(name).and_then(Value::as_str));
            all.values().for_each(|inner| members(inner, name, found));
        }
        Value::Array(items) => items.iter().for_each(|inner| members(inner, name, found)),
        _ => {}
    }
}

#[test]
fn every_rule_refuses_something() {
    let cases = cases();
    let script = read("scripts/estate/refused.py");
    let (_, elsewhere) = script.split_once("EDGE_ELSEWHERE = \"").unwrap();
    let elsewhere = elsewhere.split('"').next().unwrap();
    // What is but the name of a parameter is no part of a sentence.
    let parts = cases.iter().map(|case| case.last().unwrap().as_str()).filter(|part| part.contains(' '));
    let sentences: Vec<&str> = parts.chain([elsewhere]).collect();
    let mut count = 0;
    for file in ["template.yaml", "infra/edge.yaml"] {
        let template = load(file);
        let mut descriptions = Vec::new();
        members(&template["Rules"], "AssertDescription", &mut descriptions);
        for description in descriptions {
            let has_case = sentences.iter().any(|sentence| description.contains(sentence));
            assert!(has_case, "{file}: nothing is refused with \"{description}\"");
            count += 1;
        }
    }
    assert!(count >= 40, "{count}");
}

#[test]
fn every_pattern_refuses_something() {
    let cases = cases();
    let mut count = 0;
    for file in ["template.yaml", "infra/edge.yaml"] {
        for (name, facts) in load(file)["Parameters"].as_object().unwrap() {
            let description = facts["ConstraintDescription"].as_str();
            let is_list = !list(&facts["AllowedValues"]).is_empty();
            let is_bound = ["AllowedPattern", "MinLength", "MinValue"].iter().any(|key| !facts[*key].is_null());
            assert!(
                !is_bound || description.is_some() || facts["AllowedPattern"].is_null(),
                "{file}: {name} says nothing"
            );
            if !is_bound && description.is_none() {
                continue;
            }
            // Of a list, and of a length, the emulator says nothing but the name.
            let has_case = cases.iter().any(|case| {
                let sentence = case.last().unwrap();
                let is_its_own = match description {
                    Some(text) if !is_list => text.contains(sentence.as_str()),
                    _ => sentence == name,
                };
                case[..case.len() - 1].contains(name) && is_its_own
            });
            assert!(has_case, "{file}: no value of {name} is refused");
            count += 1;
        }
    }
    assert!(count >= 35, "{count}");
}
