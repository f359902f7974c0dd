//! Roles: who may take them on, and that they hold no more than somebody here has written down.

use serde_json::Value;
use tests::template::{list, load, named};

use super::{FILES, functions};

/// A role of these is taken on by a service that does not say for which account it does so.
const WITHOUT_ACCOUNT: [(&str, &str); 1] = [(
    "EdgeFunction",
    "Lambda takes an execution role on for functions that were made with iam:PassRole, and for no others",
)];

/// What stands under a name, anywhere in a template, with the resource that it is of.
fn all_of(wanted: &str) -> Vec<(String, Value)> {
    fn collect(value: &Value, wanted: &str, found: &mut Vec<Value>) {
        match value {
            Value::Object(members) => {
                for (name, inner) in members {
                    if name == wanted {
                        found.push(inner.clone());
                    }
                    collect(inner, wanted, found);
                }
            }
            Value::Array(items) => items.iter().for_each(|inner| collect(inner, wanted, found)),
            _ => {}
        }
    }
    let mut all = Vec::new();
    for file in FILES {
        for (resource, properties) in load(file)["Resources"].as_object().unwrap() {
            let mut found = Vec::new();
            collect(properties, wanted, &mut found);
            all.extend(found.into_iter().map(|value| (resource.clone(), value)));
        }
    }
    all
}

/// A service acts for whoever asks it to. The account in the condition keeps others from asking for our roles.
#[test]
fn a_service_takes_a_role_on_for_this_account_only() {
    let mut without = Vec::new();
    let documents = all_of("AssumeRolePolicyDocument");
    for (resource, document) in &documents {
        for statement in list(&document["Statement"]) {
            assert!(!list(&statement["Principal"]["Service"]).is_empty(), "{resource}: {statement}");
            let account = &statement["Condition"]["StringEquals"]["aws:SourceAccount"];
            if account.is_null() {
                without.push(resource.as_str());
            } else {
                assert_eq!(account["Ref"], "AWS::AccountId", "{resource}");
            }
        }
    }
    assert!(documents.len() >= 5, "{}", documents.len());
    assert_eq!(without, WITHOUT_ACCOUNT.map(|(resource, _)| resource));
}

/// What AWS puts into a policy of its own is not ours to say. SAM adds one for the log of each function, which the
/// boundary of the functions takes back.
#[test]
fn no_policy_is_of_aws() {
    assert_eq!(all_of("ManagedPolicyArns"), []);
    for (resource, policies) in all_of("Policies") {
        for policy in list(&policies) {
            let ours = policy["Ref"] == "MiddlewarePolicy";
            assert!(ours || policy.is_object() && policy["Ref"].is_null(), "{resource}: {policy}");
        }
    }
    for (resource, role) in all_of("ServiceRoleArn").into_iter().chain(all_of("Role")) {
        assert!(role["Fn::GetAtt"].is_string(), "{resource}: {role}");
    }
}

/// `CodeDeploy` moves the aliases of the functions that there are.
#[test]
fn codedeploy_moves_the_functions_and_nothing_else() {
    let template = load("template.yaml");
    assert_eq!(template["Globals"]["Function"]["DeploymentPreference"]["Role"]["Fn::GetAtt"], "DeploymentRole.Arn");
    let policy = &template["Resources"]["DeploymentRole"]["Properties"]["Policies"][0]["PolicyDocument"];
    let statements = list(&policy["Statement"]);
    let moves: Vec<&Value> = statements.into_iter().filter(|one| one["Resource"] != "*").collect();
    let [moves] = moves[..] else { panic!("{moves:?}") };
    let expected: Vec<String> =
        functions().into_iter().flat_map(|(_, name, _)| [format!("{name}."), format!("{name}.:*")]).collect();
    let mut granted: Vec<String> = list(&moves["Resource"]).into_iter().map(named).collect();
    granted.sort();
    let mut wanted = expected;
    wanted.sort();
    assert_eq!(granted, wanted);
}

/// What names everything is tied to something else, or only lists.
#[test]
fn what_codedeploy_may_change_has_a_name() {
    for (file, role) in [("template.yaml", "DeploymentRole"), ("infra/container.yaml", "CodeDeployRole")] {
        let template = load(file);
        let policy = &template["Resources"][role]["Properties"]["Policies"][0]["PolicyDocument"];
        for statement in list(&policy["Statement"]).into_iter().filter(|one| one["Resource"] == "*") {
            for action in list(&statement["Action"]) {
                let lists = action.as_str().unwrap().contains(":Describe");
                let tied = statement["Condition"]["ArnEquals"]["ecs:cluster"]["Fn::GetAtt"] == "Cluster.Arn";
                assert!(lists || tied, "{role}: {action} on everything");
            }
        }
    }
}
