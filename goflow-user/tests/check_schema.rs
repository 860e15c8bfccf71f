//! `docs/check.schema.json` and `docs/graph.schema.json` are as strict as they look, and `docs/check.md` explains them: every
//! property, every word, and every rule that there is. Real output is held against them by the integration tests.
#![expect(clippy::unwrap_used, reason = "a step that fails is a failed test")]

use std::collections::BTreeSet;

use goflow_user::detect::{Confidence, RULES};
use serde_json::Value;

const SCHEMAS: [&str; 2] =
    [include_str!("../../docs/check.schema.json"), include_str!("../../docs/graph.schema.json")];
const PAGE: &str = include_str!("../../docs/check.md");

fn schemas() -> Vec<Value> {
    SCHEMAS.iter().map(|text| serde_json::from_str(text).unwrap()).collect()
}

fn walk(value: &Value, each: &mut dyn FnMut(&Value)) {
    each(value);
    match value {
        Value::Object(object) => object.values().for_each(|child| walk(child, each)),
        Value::Array(array) => array.iter().for_each(|child| walk(child, each)),
        _ => {}
    }
}

/// What the page has between backquotes, and each piece of a path there.
fn explained() -> BTreeSet<String> {
    let spans = PAGE.split('`').skip(1).step_by(2);
    let pieces = spans.flat_map(|span| span.split(['.', '[', ']']).chain([span]));
    pieces.map(str::to_owned).collect()
}

#[test]
fn the_schemas_are_schemas_and_allow_no_field_that_they_do_not_name() {
    for schema in schemas() {
        jsonschema::validator_for(&schema).unwrap();
        walk(&schema, &mut |value| {
            if value["type"] == "object" {
                assert_eq!(value["additionalProperties"], false, "{value:#}");
            }
        });
    }
}

#[test]
fn every_field_is_required_but_those_that_only_one_kind_of_source_has() {
    let mut optional = BTreeSet::new();
    for schema in schemas() {
        walk(&schema, &mut |value| {
            let Some(properties) = value["properties"].as_object().filter(|_| value["type"] == "object")
            else {
                return;
            };
            let required = value["required"].as_array().unwrap();
            optional.extend(properties.keys().filter(|key| !required.iter().any(|one| one == *key)).cloned());
        });
    }
    assert_eq!(optional, BTreeSet::from(["core".to_owned(), "command".to_owned()]));
}

#[test]
fn the_page_explains_every_property_and_every_word_a_field_can_have() {
    let explained = explained();
    let mut names = BTreeSet::new();
    for schema in schemas() {
        walk(&schema, &mut |value| {
            names.extend(value["properties"].as_object().into_iter().flat_map(|of| of.keys().cloned()));
            let words = value["enum"].as_array().into_iter().flatten().filter_map(Value::as_str);
            // The runtime's words for the state of a goroutine are on the page of the snapshot.
            let is_state =
                value["enum"].as_array().is_some_and(|of| of.iter().any(|word| word == "copystack"));
            names.extend(words.filter(|_| !is_state).map(str::to_owned));
        });
    }
    let links = |name: &String| PAGE.contains(&format!("[{name}](rules/{name}.md)"));
    // Severities stand in the table of the rules, which is no place for quotes.
    let plain = |name: &String| PAGE.contains(&format!("| {name} |"));
    let missing: Vec<_> =
        names.iter().filter(|name| !explained.contains(*name) && !links(name) && !plain(name)).collect();
    assert!(missing.is_empty(), "not on the page: {missing:?}");
}

#[test]
fn the_schema_knows_every_rule_and_how_sure_a_finding_can_be() {
    let schema = &schemas()[0]["$defs"]["finding"]["properties"];
    let words = |field: &str| -> BTreeSet<String> {
        let all = schema[field]["enum"].as_array().unwrap();
        all.iter().map(|word| word.as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(words("rule"), RULES.iter().map(|rule| rule.id.to_owned()).collect());
    assert_eq!(words("severity"), ["note", "warning", "error"].map(str::to_owned).into());
    assert_eq!(words("confidence"), Confidence::ALL.iter().map(|one| one.name().to_owned()).collect());
}
