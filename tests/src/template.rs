//! `template.yaml` and its parts under `infra/`, as `CloudFormation` reads them.

use std::{fs, path::Path};

use saphyr::{LoadableYamlNode, Scalar, Yaml};
use serde_json::{Map, Value, json};

/// Reads a template of the project. A short form such as `!Ref Name` becomes the long one, `{"Ref": "Name"}`; what
/// `!GetAtt` names stays one text with a dot in it.
///
/// # Panics
/// When the file is not there or is not YAML.
pub fn load(path: &str) -> Value {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the project").join(path);
    let text = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let documents = Yaml::load_from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}"));
    json_of(&documents[0])
}

fn json_of(node: &Yaml) -> Value {
    match node {
        Yaml::Value(Scalar::Null) => Value::Null,
        Yaml::Value(Scalar::Boolean(value)) => json!(value),
        Yaml::Value(Scalar::Integer(value)) => json!(value),
        Yaml::Value(Scalar::FloatingPoint(value)) => json!(value.into_inner()),
        Yaml::Value(Scalar::String(value)) => json!(value),
        Yaml::Sequence(items) => items.iter().map(json_of).collect(),
        Yaml::Mapping(members) => members.iter().map(|(name, value)| (key(name), json_of(value))).collect(),
        Yaml::Tagged(tag, inner) => {
            let name = tag.suffix.as_str();
            let long = if matches!(name, "Ref" | "Condition") { name.to_owned() } else { format!("Fn::{name}") };
            Value::Object(Map::from_iter([(long, json_of(inner))]))
        }
        other => panic!("a template has no {other:?}"),
    }
}

fn key(node: &Yaml) -> String {
    node.as_str().map_or_else(|| json_of(node).to_string(), str::to_owned)
}

/// The resources of one type, by their names.
///
/// # Panics
/// When the template has no resources.
pub fn resources<'a>(template: &'a Value, kind: &'a str) -> impl Iterator<Item = (&'a str, &'a Value)> {
    let all = template["Resources"].as_object().expect("resources");
    all.iter().filter(move |(_, resource)| resource["Type"] == kind).map(|(name, resource)| (name.as_str(), resource))
}

/// A list, or the one item that stands for it. What a condition switches on counts as there.
pub fn list(value: &Value) -> Vec<&Value> {
    match value {
        Value::Array(items) => items.iter().flat_map(list).collect(),
        Value::Object(members) if members.contains_key("Fn::If") => {
            let branches = members["Fn::If"].as_array().map_or(&[][..], Vec::as_slice);
            branches.iter().skip(1).filter(|branch| branch["Ref"] != "AWS::NoValue").flat_map(list).collect()
        }
        Value::Null => Vec::new(),
        one => vec![one],
    }
}

/// What an expression names, without its punctuation: `!GetAtt Data.Outputs.UsersTableArn` is `UsersTable`, and
/// `!Sub '${ProductsTableArn}/index/featured'` is `ProductsTable/index/featured`.
///
/// # Panics
/// When it is no text, `Ref`, `GetAtt` or `Sub`.
pub fn named(value: &Value) -> String {
    let text = ["Ref", "Fn::GetAtt", "Fn::Sub"].iter().find_map(|form| value[form].as_str()).or(value.as_str());
    let text = text.unwrap_or_else(|| panic!("{value} is not a name"));
    let text = text.replace("${AWS::Partition}", "aws").replace("arn:aws:s3:::", "");
    text.replace("Data.Outputs.", "").replace("Arn", "").replace(['$', '{', '}'], "")
}

/// What an expression of a file names; where it is a parameter of a part, what `template.yaml` hands over for it.
///
/// # Panics
/// When nothing is handed over.
pub fn handed(file: &str, value: &Value) -> String {
    let parameter = value["Ref"].as_str().filter(|_| file != "template.yaml");
    let Some(parameter) = parameter else { return named(value) };
    let template = load("template.yaml");
    let part = resources(&template, "AWS::CloudFormation::Stack")
        .find(|(_, part)| part["Properties"]["TemplateURL"] == file)
        .map(|(_, part)| named(&part["Properties"]["Parameters"][parameter]));
    part.unwrap_or_else(|| panic!("{file} is no part of template.yaml"))
}

/// The namespace that functions are told to record their metrics in.
pub fn namespace() -> String {
    named(&load("template.yaml")["Globals"]["Function"]["Environment"]["Variables"]["METRICS_NAMESPACE"])
}
