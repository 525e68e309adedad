//! Every text of the document is there, is a sentence, and is grammatical where it is composed from names.

use std::collections::BTreeSet;

use serde_json::Value;

use super::operations;
use crate::router::document;

/// Words that begin with a vowel's letter and a consonant's sound, or the other way round.
const SOUNDS_LIKE_A_CONSONANT: [&str; 5] = ["one", "user", "unique", "uuid", "utc"];
const SOUNDS_LIKE_A_VOWEL: [&str; 2] = ["hour", "honest"];

/// At least three words, and a full stop at the end.
fn is_sentence(text: &str) -> bool {
    text.split_whitespace().count() >= 3 && text.trim_end().ends_with('.')
}

/// The description of a property: beside its schema, or with the schema that it may have beside null.
fn description(schema: &Value) -> Option<&str> {
    let choices = ["oneOf", "anyOf", "allOf"].iter().filter_map(|keyword| schema[keyword].as_array()).flatten();
    schema["description"].as_str().or_else(|| choices.into_iter().find_map(|choice| choice["description"].as_str()))
}

/// The properties of every schema within `value`, with where they stand.
fn properties<'a>(value: &'a Value, place: &str, found: &mut Vec<(String, &'a Value)>) {
    match value {
        Value::Object(fields) => {
            for (name, part) in fields {
                let place = format!("{place}/{name}");
                if name == "properties" {
                    found.extend(part.as_object().unwrap().iter().map(|(name, schema)| (format!("{place}/{name}"), schema)));
                }
                properties(part, &place, found);
            }
        }
        Value::Array(items) => items.iter().enumerate().for_each(|(i, item)| properties(item, &format!("{place}/{i}"), found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Every summary and description within `value`.
fn texts<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
    match value {
        Value::Object(fields) => {
            found.extend(["summary", "description"].into_iter().filter_map(|name| fields.get(name)?.as_str()));
            fields.values().for_each(|field| texts(field, found));
        }
        Value::Array(items) => items.iter().for_each(|item| texts(item, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// The articles of a text that do not fit the words after them: `a activity`, `an child`.
fn wrong_articles(text: &str) -> Vec<String> {
    let pieces: Vec<&str> = text.split_whitespace().collect();
    let wrong = pieces.windows(2).filter(|pair| {
        let next = pair[1].trim_start_matches(['"', '`', '(']).to_lowercase();
        let whole = next.trim_end_matches(|c: char| !c.is_alphanumeric());
        let vowel = match whole {
            _ if SOUNDS_LIKE_A_CONSONANT.contains(&whole) => false,
            _ if SOUNDS_LIKE_A_VOWEL.contains(&whole) => true,
            _ => next.starts_with(['a', 'e', 'i', 'o', 'u']),
        };
        match pair[0].trim_start_matches('(') {
            "a" | "A" => vowel,
            "an" | "An" => !vowel,
            _ => false,
        }
    });
    wrong.map(|pair| pair.join(" ")).collect()
}

#[test]
fn wrong_articles_are_found() {
    assert_eq!(wrong_articles("Delete a activity, an enrolment, an child. A user has an hour."), ["a activity,", "an child."]);
}

#[test]
fn every_operation_has_a_summary_and_a_description() {
    let document = document();
    for (name, operation, parameters) in operations(&document) {
        let summary = operation["summary"].as_str().unwrap_or_default();
        assert!(summary.contains(' ') || summary.starts_with("Log"), "{name}: {summary:?} is no summary");
        assert!(!summary.ends_with('.') && !summary.contains('\n'), "{name}: {summary:?} is longer than a line");
        assert!(
            operation.get("description").and_then(Value::as_str).is_some_and(is_sentence),
            "{name}: {:?}",
            operation.get("description")
        );
        for parameter in parameters {
            assert!(parameter["description"].as_str().is_some_and(is_sentence), "{name}: {parameter}");
        }
        for (status, response) in operation["responses"].as_object().unwrap() {
            let shared = response.get("$ref").is_some();
            assert!(shared || response["description"].as_str().is_some_and(is_sentence), "{name} {status}: {response}");
            for (header, value) in response["headers"].as_object().into_iter().flatten() {
                let shared = value.get("$ref").is_some();
                assert!(shared || value["description"].as_str().is_some_and(is_sentence), "{name} {status}: {header}");
            }
        }
    }
}

#[test]
fn every_schema_and_every_field_of_one_has_a_description() {
    let document = document();
    for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
        assert!(schema["description"].as_str().is_some_and(|text| text.ends_with('.')), "{name}: {:?}", schema["description"]);
    }
    let mut found = Vec::new();
    properties(&document, "", &mut found);
    let silent = found.iter().filter(|(_, schema)| !description(schema).is_some_and(is_sentence));
    let silent: Vec<_> = silent.map(|(place, schema)| format!("{place}: {:?}", description(schema))).collect();
    assert_eq!(silent, [""; 0]);
}

#[test]
fn every_article_fits_the_word_after_it() {
    let document = document();
    let mut found = Vec::new();
    texts(&document, &mut found);
    let wrong: Vec<_> = found.into_iter().flat_map(wrong_articles).collect();
    assert_eq!(wrong, [""; 0]);
}

/// An id is camelCase and begins with the verb of the method; work that is not of one record has a verb of its own.
#[test]
fn operation_ids_have_one_style() {
    let document = document();
    for (name, operation, _) in operations(&document) {
        let id = operation["operationId"].as_str().unwrap();
        assert!(id.starts_with(|c: char| c.is_ascii_lowercase()) && id.chars().all(char::is_alphanumeric), "{name}: {id}");
        let verbs: &[&str] = match name.split(' ').next().unwrap() {
            "GET" => &["list", "get", "export"],
            "PUT" => &["put"],
            "PATCH" => &["update"],
            "DELETE" => &["delete"],
            _ => &[""],
        };
        assert!(verbs.iter().any(|verb| id.starts_with(verb)), "{name}: {id}");
    }
}

#[test]
fn paths_and_tags_are_written_with_hyphens_and_query_parameters_with_underscores() {
    let document = document();
    let part = |text: &str| text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
    for path in document["paths"].as_object().unwrap().keys() {
        let literal = |part: &&str| !part.is_empty() && !part.starts_with('{') && !part.contains('.');
        assert!(path.split('/').filter(literal).all(part), "{path}");
    }
    let declared: BTreeSet<&str> = document["tags"].as_array().unwrap().iter().map(|tag| tag["name"].as_str().unwrap()).collect();
    let mut used = BTreeSet::new();
    for (name, operation, parameters) in operations(&document) {
        used.extend(operation["tags"].as_array().unwrap().iter().filter_map(Value::as_str));
        let query = parameters.iter().filter(|parameter| parameter["in"] == "query");
        for parameter in query.filter_map(|parameter| parameter["name"].as_str()) {
            assert!(parameter.chars().all(|c| c.is_ascii_lowercase() || c == '_'), "{name}: {parameter}");
        }
    }
    assert_eq!(declared, used);
    assert!(declared.iter().all(|tag| part(tag)), "{declared:?}");
    assert!(document["tags"].as_array().unwrap().iter().all(|tag| tag["description"].as_str().is_some_and(is_sentence)));
}
