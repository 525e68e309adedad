//! The rules of both schemas, in CEL, each with a message that says what to do. They refuse early what [`super::convert`] would refuse late; they are not the last line.
//!
//! A rule about a change sits on the parent of an optional field, because the API server does not evaluate a field's own rule when the field is removed.
//! Must not be the only check of anything.

use kube::core::{Reason, Rule};
use schemars::{Schema, SchemaGenerator, json_schema};

fn invalid(rule: &str, message: &str) -> Rule {
    Rule::new(rule).message(message).reason(Reason::FieldValueInvalid)
}

fn forbidden(rule: &str, message: &str) -> Rule {
    Rule::new(rule).message(message).reason(Reason::FieldValueForbidden)
}

/// Every derived name then fits 63 characters.
pub(super) fn name_length() -> Rule {
    invalid(
        "self.metadata.name.size() <= 48",
        "metadata.name must have at most 48 characters, because the names of Secrets are made from it",
    )
}

/// A server's name becomes the value of a label.
pub(super) fn server_name_length() -> Rule {
    invalid("self.metadata.name.size() <= 63", "metadata.name must have at most 63 characters, because it is used as the value of a label")
}

pub(super) fn code_format() -> Rule {
    invalid(
        "self.matches('^[a-z][a-z0-9-]{0,38}[a-z0-9]$')",
        "use 2 to 40 lower-case letters, digits and hyphens, starting with a letter and ending with a letter or digit",
    )
}

pub(super) fn kept_code() -> Rule {
    forbidden(
        "self == oldSelf",
        "the code cannot be changed, because the school's database is named after it; create another School instead",
    )
}

/// Names for people. PostgreSQL stores no NUL, and line breaks would break messages.
pub(super) fn text() -> Rule {
    invalid(
        r"self.matches('[^ ]') && !self.matches('\\p{Cc}')",
        "write at least one visible character and no line breaks, tabs or other control characters",
    )
}

pub(super) fn email() -> Rule {
    invalid(
        r"self.matches('^[^@\\s\\p{Z}\\p{C}]+@[^@\\s\\p{Z}\\p{C}.]+([.][^@\\s\\p{Z}\\p{C}.]+)+$')",
        "write an e-mail address such as office@school.example",
    )
}

pub(super) fn phone_number() -> Rule {
    invalid("self.matches('^[+]?[0-9 ()./-]{3,19}$')", "use 3 to 19 digits, spaces and ( ) . / - with an optional + in front")
}

pub(super) fn object_name() -> Rule {
    invalid(
        "self.matches('^[a-z0-9]([a-z0-9-]*[a-z0-9])?([.][a-z0-9]([a-z0-9-]*[a-z0-9])?)*$')",
        "use the name of an object: lower-case letters, digits, hyphens and dots, starting and ending with a letter or digit",
    )
}

pub(super) fn secret_key() -> Rule {
    invalid("self.matches('^[-._a-zA-Z0-9]+$')", "use the name of a key in the Secret: letters, digits, hyphens, dots and underscores")
}

/// An IP address, or a DNS name in lower case.
pub(super) fn host() -> Rule {
    invalid(
        "isIP(self) || self.matches('^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?([.][a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$')",
        "use an IP address or a DNS name in lower case, without port or scheme",
    )
}

/// Once recorded, the administrator is an account that only its school manages.
pub(super) fn first_administrator() -> Rule {
    forbidden(
        "!has(self.status) || !has(self.status.adminUser) || \
         ((!has(self.status.adminUser.name) || self.status.adminUser.name == self.spec.adminUser.name) && \
         (!has(self.status.adminUser.email) || self.status.adminUser.email == self.spec.adminUser.email))",
        "adminUser names the first administrator and is set once; manage users in the school's application",
    )
    .field_path(".spec.adminUser")
}

/// Nothing moves a placed school, so another tier would never be granted.
pub(super) fn bound_tier() -> Rule {
    forbidden(
        "!has(self.status) || !has(self.status.placement) || !has(self.status.placement.tier) || \
         (has(self.spec.placement) && has(self.spec.placement.tier) ? self.spec.placement.tier : 'standard') == self.status.placement.tier",
        "the school is placed and stays in its tier; set tier back to the value in status.placement.tier",
    )
    .field_path(".spec.placement")
}

/// A placed school may be pinned, but only to where it is.
pub(super) fn bound_server() -> Rule {
    forbidden(
        "!has(self.spec.placement) || !has(self.spec.placement.serverName) || \
         !has(self.status) || !has(self.status.placement) || !has(self.status.placement.serverName) || \
         self.spec.placement.serverName == self.status.placement.serverName",
        "the school is placed and is not moved; name the server in status.placement.serverName or none",
    )
    .field_path(".spec.placement.serverName")
}

/// The Secret's name, once recorded, is the one applications have mounted.
pub(super) fn bound_secret() -> Rule {
    forbidden(
        "!has(self.spec.credentials) || !has(self.spec.credentials.secretName) || \
         !has(self.status) || !has(self.status.credentials) || !has(self.status.credentials.secretName) || \
         self.spec.credentials.secretName == self.status.credentials.secretName",
        "the credentials are in the Secret named by status.credentials.secretName; name that one or none",
    )
    .field_path(".spec.credentials.secretName")
}

/// The two Secrets of a School must not meet.
pub(super) fn own_secret() -> Rule {
    invalid(
        "!has(self.spec.credentials) || !has(self.spec.credentials.secretName) || self.spec.credentials.secretName != self.metadata.name + '-admin'",
        "choose another name: the Secret <name>-admin holds the administrator's temporary password",
    )
    .field_path(".spec.credentials.secretName")
}

pub(super) fn pinned_server() -> Rule {
    forbidden(
        "!has(oldSelf.placement) || !has(oldSelf.placement.serverName) || \
         (has(self.placement) && has(self.placement.serverName) && self.placement.serverName == oldSelf.placement.serverName)",
        "serverName cannot be changed or removed once set, because the operator does not move schools",
    )
    .field_path(".placement.serverName")
}

pub(super) fn kept_secret() -> Rule {
    forbidden(
        "!has(oldSelf.credentials) || !has(oldSelf.credentials.secretName) || \
         (has(self.credentials) && has(self.credentials.secretName) && self.credentials.secretName == oldSelf.credentials.secretName)",
        "secretName cannot be changed or removed once set, because applications have that Secret mounted",
    )
    .field_path(".credentials.secretName")
}

pub(super) fn ca_for_verification() -> Rule {
    Rule::new("!self.mode.startsWith('verify-') || has(self.caSecretRef)")
        .message("verify-ca and verify-full need caSecretRef: a Secret in the operator's namespace with the authority's certificates")
        .reason(Reason::FieldValueRequired)
        .field_path(".caSecretRef")
}

/// A plain password must not be read on its way.
pub(super) fn plain_passwords() -> Rule {
    Rule::new("!has(self.passwords) || self.passwords != 'Plain' || self.tls.mode != 'disable'")
        .message("passwords: Plain needs an encrypted connection; set tls.mode to require, verify-ca or verify-full")
        .reason(Reason::FieldValueForbidden)
        .field_path(".passwords")
}

pub(super) fn selector_when_selecting() -> Rule {
    Rule::new("self.from != 'Selector' || has(self.selector)")
        .message("from: Selector needs a selector; give selector.matchLabels or use from: All")
        .reason(Reason::FieldValueRequired)
        .field_path(".selector")
}

/// Prefixes whose owners would take over or remove the Secret: the operator itself, GitOps tools that prune what carries their labels, and Kubernetes.
pub(super) const RESERVED: [&str; 7] = [
    "dailycare.io/",
    "app.kubernetes.io/",
    "argocd.argoproj.io/",
    "helm.sh/",
    "meta.helm.sh/",
    "kustomize.toolkit.fluxcd.io/",
    "kubectl.kubernetes.io/",
];

fn reserved() -> serde_json::Value {
    let prefixes = RESERVED.map(|prefix| format!("'{prefix}'")).join(", ");
    serde_json::json!({
        "rule": format!("self.all(key, ![{prefixes}].exists(prefix, key.startsWith(prefix)))"),
        "message": format!("choose other keys: {} are reserved for the operator and for deployment tools", RESERVED.join(", ")),
        "reason": "FieldValueForbidden",
    })
}

fn keys() -> serde_json::Value {
    serde_json::json!({
        "rule": "self.all(key, key.size() <= 317 && \
                 key.matches('^([a-z0-9]([a-z0-9-]*[a-z0-9])?([.][a-z0-9]([a-z0-9-]*[a-z0-9])?)*/)?[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$'))",
        "message": "use keys of the form name or prefix/name: the prefix a DNS name, the name at most 63 letters, digits, hyphens, dots and underscores",
        "reason": "FieldValueInvalid",
    })
}

fn label_values() -> serde_json::Value {
    serde_json::json!({
        "rule": "self.all(key, self[key].matches('^([A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?)?$'))",
        "message": "use label values of letters, digits, hyphens, dots and underscores, starting and ending with a letter or digit",
        "reason": "FieldValueInvalid",
    })
}

/// Labels for a Secret.
pub(super) fn labels(_: &mut SchemaGenerator) -> Schema {
    map(63, &[reserved(), keys(), label_values()])
}

/// Annotations for a Secret.
pub(super) fn annotations(_: &mut SchemaGenerator) -> Schema {
    map(1024, &[reserved(), keys()])
}

/// Labels that a namespace must have. At least one, because an empty selector would match every namespace by accident.
pub(super) fn match_labels(_: &mut SchemaGenerator) -> Schema {
    let mut schema = map(63, &[keys(), label_values()]);
    schema.insert("minProperties".to_owned(), 1.into());
    schema
}

fn map(longest_value: u32, rules: &[serde_json::Value]) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 16,
        "additionalProperties": {"type": "string", "maxLength": longest_value},
        "x-kubernetes-validations": rules,
    })
}
