//! What CloudFront keeps and passes on, against what the code reads. A parameter that it does not know of would be cut
//! off, and another one's page given in answer.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tests::template::{list, load};

use super::{code_of, groups, paths, quoted, read};

/// The query strings that a policy names.
fn query_strings(policy: &str, config: &str) -> BTreeSet<String> {
    let edge = load("infra/edge.yaml");
    let properties = &edge["Resources"][policy]["Properties"][config];
    let inner = &properties["ParametersInCacheKeyAndForwardedToOrigin"];
    let strings = if inner.is_null() { properties } else { inner };
    let strings = &strings["QueryStringsConfig"];
    assert_eq!(strings["QueryStringBehavior"], "whitelist", "{policy}");
    list(&strings["QueryStrings"]).into_iter().map(|name| name.as_str().unwrap().to_owned()).collect()
}

/// The fields of what a route group reads its queries into: each `Query<Name>`, without `apart`.
fn parameters(group: &str, apart: &[&str]) -> BTreeSet<String> {
    let code = code_of(&format!("functions/{group}/src"));
    let all = format!("{code}{}", code_of("shared/src/http"));
    let types = code.split(": Query<").skip(1).map(|rest| rest.split('>').next().unwrap());
    let types: BTreeSet<&str> = types.filter(|name| !apart.contains(name)).collect();
    let fields = |name: &&str| {
        let (_, body) = all.split_once(&format!("struct {name} {{\n")).unwrap_or_else(|| panic!("no struct {name}"));
        let body = body.split_once("\n}").unwrap().0;
        let lines = body.lines().filter_map(|line| line.trim().trim_start_matches("pub ").split_once(": Option<"));
        lines.map(|(name, _)| name.to_owned()).collect::<Vec<_>>()
    };
    types.iter().flat_map(fields).collect()
}

#[test]
fn pages_of_products_are_kept_by_all_that_they_depend_on() {
    let kept = query_strings("ProductsCache", "CachePolicyConfig");
    assert_eq!(kept, parameters("products", &["SyncQuery"]));
    let passed: BTreeSet<_> =
        kept.union(&query_strings("ProductsRequest", "OriginRequestPolicyConfig")).cloned().collect();
    assert_eq!(passed, parameters("products", &[]), "the delta is never kept, and needs more");
}

/// An answer to a web page names its origin (`CORS_ORIGINS`): another page's would be of no use to it. And the question that
/// a browser asks first reaches the service whole.
#[test]
fn web_pages_get_answers_of_their_own() {
    let edge = load("infra/edge.yaml");
    let headers = |policy: &str, config: &str, inner: &str| -> BTreeSet<String> {
        let config = &edge["Resources"][policy]["Properties"][config];
        let config = if inner.is_empty() { config } else { &config[inner] };
        assert_eq!(config["HeadersConfig"]["HeaderBehavior"], "whitelist", "{policy}");
        let names = list(&config["HeadersConfig"]["Headers"]).into_iter();
        names.map(|name| name.as_str().unwrap().to_lowercase()).collect()
    };
    let kept = headers("ProductsCache", "CachePolicyConfig", "ParametersInCacheKeyAndForwardedToOrigin");
    assert_eq!(kept, ["origin"].map(str::to_owned).into());
    let passed = headers("ProductsRequest", "OriginRequestPolicyConfig", "");
    for asked in ["access-control-request-method", "access-control-request-headers"] {
        assert!(passed.contains(asked), "{asked}");
    }
    let private = &edge["Resources"]["PrivateRequest"]["Properties"]["OriginRequestPolicyConfig"]["HeadersConfig"];
    assert_eq!(private["HeaderBehavior"], "allViewerAndWhitelistCloudFront");
}

/// The viewer function folds `dpr` into the sides, and leaves out nothing else.
#[test]
fn thumbnails_are_kept_by_all_that_they_depend_on() {
    let code = code_of("functions/thumbnails/core/src/request");
    let (_, names) = code.split_once("const NAMES: [&str; 8] = [").unwrap();
    let mut known: BTreeSet<String> = quoted(names.split_once(']').unwrap().0).into_iter().map(str::to_owned).collect();
    let viewer = read("functions/thumbnails/edge/viewer.js");
    let (_, names) = viewer.split_once("const names = [").unwrap();
    let names: BTreeSet<String> =
        names.split_once(']').unwrap().0.split('\'').skip(1).step_by(2).map(str::to_owned).collect();
    assert_eq!(names, known, "viewer.js");
    assert!(known.remove("dpr"));
    assert_eq!(query_strings("ImagesCache", "CachePolicyConfig"), known);
}

/// The behaviours that keep answers are for public routes; what is somebody's own passes through.
#[test]
fn nothing_private_is_kept() {
    let edge = load("infra/edge.yaml");
    let config = &edge["Resources"]["Distribution"]["Properties"]["DistributionConfig"];
    let disabled = "4135ea2d-6df8-44a3-9df3-4b5a84be39ad";
    assert_eq!(config["DefaultCacheBehavior"]["CachePolicyId"], disabled, "CachingDisabled");
    let patterns: Vec<&str> = list(&config["CacheBehaviors"])
        .into_iter()
        .filter(|behavior| behavior["CachePolicyId"] != disabled)
        .map(|behavior: &Value| behavior["PathPattern"].as_str().unwrap())
        .collect();
    let is_kept = |path: &str| patterns.iter().any(|pattern| path.starts_with(pattern.strip_suffix('*').unwrap()));
    let (mut kept, mut passed) = (BTreeSet::new(), BTreeSet::new());
    for group in groups() {
        for path in ["v1", "v2"].into_iter().flat_map(|version| paths(&group, version)) {
            let groups = if is_kept(&path) { &mut kept } else { &mut passed };
            groups.insert(group.clone());
        }
    }
    assert_eq!(kept, ["products", "thumbnails"].map(str::to_owned).into());
    assert_eq!(passed, ["home", "orders", "users"].map(str::to_owned).into());
    for group in kept {
        assert!(!code_of(&format!("functions/{group}/src")).contains("cache::private("), "{group} has a private route");
    }
}

/// Another method is the service's to refuse, in its error model: `CloudFront` would answer 403 with a page of its own.
/// What S3 serves has no service behind it.
#[test]
fn every_method_reaches_who_refuses_it() {
    let edge = load("infra/edge.yaml");
    let config = &edge["Resources"]["Distribution"]["Properties"]["DistributionConfig"];
    let others = list(&config["CacheBehaviors"]);
    let behaviors = others.iter().filter(|behavior| behavior["PathPattern"] != "/originals/*");
    let mut count = 0;
    for behavior in behaviors.copied().chain([&config["DefaultCacheBehavior"]]) {
        let methods = json!(["GET", "HEAD", "OPTIONS", "PUT", "POST", "PATCH", "DELETE"]);
        assert_eq!(behavior["AllowedMethods"], methods, "{}", behavior["PathPattern"]);
        count += 1;
    }
    assert!(count >= 4, "{count}");
}
