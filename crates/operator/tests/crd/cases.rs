//! Good and bad objects for every rule of the CRDs, as changes to one plain object of each kind. Two judges read this table: the unit tests of `crd`, with a
//! CEL interpreter, and the integration tests, with a real API server. Only the second judges what the schema says without CEL.

use serde_json::{Value, json};

/// The kind an object is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    School,
    DatabaseServer,
}

/// What becomes of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expected {
    Taken,
    /// Refused by one CEL rule, whose message holds this text.
    Broken(&'static str),
    /// Refused by the schema's bounds, with a message that holds this text.
    OutOfBounds(&'static str),
}

use Expected::{Broken, OutOfBounds, Taken};
use Kind::{DatabaseServer, School};

/// A new object: the plain one with `change` merged into it (RFC 7386).
pub(crate) struct Creation {
    pub(crate) kind: Kind,
    pub(crate) change: Value,
    pub(crate) expected: Expected,
}

/// A change: the plain object with `before` and `status` merged in, to which `after` is merged.
pub(crate) struct Update {
    pub(crate) before: Value,
    pub(crate) status: Value,
    pub(crate) after: Value,
    pub(crate) expected: Expected,
}

/// The least that makes an object of a kind.
pub(crate) fn plain(kind: Kind) -> Value {
    match kind {
        School => json!({
            "apiVersion": "dailycare.io/v1alpha1", "kind": "School",
            "metadata": {"name": "northside", "namespace": "default"},
            "spec": {
                "code": "northside", "displayName": "Northside High", "email": "office@northside.example",
                "adminUser": {"name": "Ana Sousa", "email": "ana@northside.example"}
            }
        }),
        DatabaseServer => json!({
            "apiVersion": "dailycare.io/v1alpha1", "kind": "DatabaseServer",
            "metadata": {"name": "pg-1"},
            "spec": {"host": "pg-1.db.example", "tls": {"mode": "require"}, "adminSecretRef": {"name": "pg-1-admin"}, "tiers": ["standard"]}
        }),
    }
}

/// `change` merged into `target` as a JSON merge patch.
pub(crate) fn merge(target: &mut Value, change: &Value) {
    let Value::Object(fields) = change else {
        *target = change.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    for (key, field) in fields {
        if field.is_null() {
            target.as_object_mut().expect("an object").remove(key);
        } else {
            merge(&mut target[key], field);
        }
    }
}

fn spec(kind: Kind, fields: &Value, expected: Expected) -> Creation {
    Creation { kind, change: json!({"spec": fields}), expected }
}

fn named(kind: Kind, length: usize, expected: Expected) -> Creation {
    Creation { kind, change: json!({"metadata": {"name": "n".repeat(length)}}), expected }
}

fn tier(tier: &str) -> Value {
    json!({"placement": {"tier": tier}})
}

fn template(part: &str, key: &str, value: &str) -> Value {
    json!({"credentials": {"secretTemplate": {part: {key: value}}}})
}

fn entries(part: &str, count: usize) -> Value {
    let entries: Value = (0..count).map(|n| (format!("key-{n}"), json!("v"))).collect::<serde_json::Map<_, _>>().into();
    json!({"credentials": {"secretTemplate": {part: entries}}})
}

/// Objects to create.
pub(crate) fn creations() -> Vec<Creation> {
    [names_and_codes(), texts(), school_options(), secret_templates(), hosts(), server_options()].into_iter().flatten().collect()
}

fn names_and_codes() -> Vec<Creation> {
    const NAME: &str = "metadata.name must have at most 48 characters";
    const CODE: &str = "use 2 to 40 lower-case letters, digits and hyphens";
    let mut cases = vec![
        named(School, 48, Taken),
        named(School, 49, Broken(NAME)),
        named(DatabaseServer, 63, Taken),
        named(DatabaseServer, 64, Broken("metadata.name must have at most 63 characters")),
        spec(School, &json!({"code": "a".repeat(40)}), Taken),
        spec(School, &json!({"code": "a".repeat(41)}), OutOfBounds("Too long: may not be more than 40")),
        spec(School, &json!({"code": "a".repeat(64)}), OutOfBounds("Too long: may not be more than 40")),
        spec(School, &json!({"code": null}), OutOfBounds("spec.code: Required value")),
        spec(School, &json!({"code": 7}), OutOfBounds("must be of type string")),
    ];
    cases.extend(["ab", "a--b", "escola-1", "x9"].map(|code| spec(School, &json!({"code": code}), Taken)));
    let bad = ["", "a", "Escola A", "a--b_", "-a", "a-", "1a", "ab\n", "a'b", "a\"b", "aé", "\u{430}bc", "a.b", "AB"];
    cases.extend(bad.map(|code| spec(School, &json!({"code": code}), Broken(CODE))));
    cases
}

fn texts() -> Vec<Creation> {
    const TEXT: &str = "write at least one visible character";
    const EMAIL: &str = "write an e-mail address";
    const PHONE: &str = "digits, spaces and ( ) . / -";
    let long_email = format!("{}@school.example", "a".repeat(200));
    let mut cases = vec![
        spec(School, &json!({"displayName": "Escola Básica n.º 1 \"A Ponte\" 学校"}), Taken),
        spec(School, &json!({"displayName": ""}), OutOfBounds("should be at least 1 chars long")),
        spec(School, &json!({"displayName": "é".repeat(200)}), Taken),
        spec(School, &json!({"displayName": "é".repeat(201)}), OutOfBounds("Too long: may not be more than 200")),
        spec(School, &json!({"adminUser": {"name": "Zoë\nO'Neil"}}), Broken(TEXT)),
        spec(School, &json!({"adminUser": {"email": "ana"}}), Broken(EMAIL)),
        spec(School, &json!({"adminUser": null}), OutOfBounds("spec.adminUser: Required value")),
        spec(School, &json!({"email": long_email}), OutOfBounds("Too long: may not be more than 200")),
        spec(School, &json!({"phoneNumber": "0".repeat(21)}), OutOfBounds("Too long: may not be more than 20")),
    ];
    cases.extend(["   ", "a\u{0}b", "a\nb", "a\tb", "a\u{7f}"].map(|name| spec(School, &json!({"displayName": name}), Broken(TEXT))));
    cases.extend(["a@b.pt", "o'neil+x@sub.école.example", "\"a\"@b.c"].map(|email| spec(School, &json!({"email": email}), Taken)));
    let bad =
        ["", "a", "a@b", "@b.pt", "a@", "a@b.", "a@.pt", "a@b..pt", "a b@c.pt", "a@b@c.pt", "a@b.pt\n", "a\u{a0}@b.pt", "a\u{0}@b.pt"];
    cases.extend(bad.map(|email| spec(School, &json!({"email": email}), Broken(EMAIL))));
    cases.extend(["+351 210 000 000", "112", "(02) 30/40-50.60"].map(|phone| spec(School, &json!({"phoneNumber": phone}), Taken)));
    cases.extend(["", "+", "12", "call me", "1\n2345", "++123"].map(|phone| spec(School, &json!({"phoneNumber": phone}), Broken(PHONE))));
    cases
}

fn school_options() -> Vec<Creation> {
    const NAME: &str = "use the name of an object";
    const UNSUPPORTED: &str = "Unsupported value";
    let limit = |limit: i64, expected| spec(School, &json!({"database": {"connectionLimit": limit}}), expected);
    let pin = |server: &str, expected| spec(School, &json!({"placement": {"serverName": server}}), expected);
    let secret = |name: &str, expected| spec(School, &json!({"credentials": {"secretName": name}}), expected);
    vec![
        spec(School, &tier("premium"), Taken),
        spec(School, &tier("basic"), Taken),
        spec(School, &tier("Premium"), OutOfBounds(UNSUPPORTED)),
        spec(School, &tier("unknown"), OutOfBounds(UNSUPPORTED)),
        spec(School, &json!({"deletionPolicy": "Delete"}), Taken),
        spec(School, &json!({"deletionPolicy": "Retain"}), Taken),
        spec(School, &json!({"deletionPolicy": "delete"}), OutOfBounds(UNSUPPORTED)),
        spec(School, &json!({"state": "Suspended"}), Taken),
        spec(School, &json!({"state": "Active"}), Taken),
        spec(School, &json!({"state": "Off"}), OutOfBounds(UNSUPPORTED)),
        pin("pg-1", Taken),
        pin("pg.north", Taken),
        pin("PG", Broken(NAME)),
        pin("", Broken(NAME)),
        pin("a..b", Broken(NAME)),
        pin(&"a".repeat(64), OutOfBounds("Too long: may not be more than 63")),
        secret("northside-database", Taken),
        secret("a_b", Broken(NAME)),
        secret("northside-admin", Broken("choose another name: the Secret <name>-admin")),
        secret(&"a".repeat(64), OutOfBounds("Too long: may not be more than 63")),
        limit(1, Taken),
        limit(1000, Taken),
        limit(0, OutOfBounds("should be greater than or equal to 1")),
        limit(1001, OutOfBounds("should be less than or equal to 1000")),
    ]
}

fn secret_templates() -> Vec<Creation> {
    const RESERVED: &str = "choose other keys";
    const KEY: &str = "use keys of the form name or prefix/name";
    const VALUE: &str = "use label values of letters";
    let mut cases = vec![
        spec(School, &template("labels", "example.com/team", "north_1.a"), Taken),
        spec(School, &template("labels", "team", ""), Taken),
        spec(School, &template("labels", "not-dailycare.io/x", "a"), Taken),
        spec(School, &template("annotations", "example.com/note", "any text: of ünusual form"), Taken),
        spec(School, &template("labels", "team", "a b"), Broken(VALUE)),
        spec(School, &template("labels", "team", "-a"), Broken(VALUE)),
        spec(School, &template("labels", "team", &"a".repeat(64)), OutOfBounds("Too long: may not be more than 63")),
        spec(School, &template("annotations", "note", &"a".repeat(1025)), OutOfBounds("Too long: may not be more than 1024")),
        spec(School, &entries("labels", 16), Taken),
        spec(School, &entries("labels", 17), OutOfBounds("Too many: 17: must have at most 16 items")),
        spec(School, &entries("annotations", 17), OutOfBounds("Too many: 17: must have at most 16 items")),
    ];
    for key in ["", "a/b/c", "/a", "a/", "Example.com/a", "a b", "-a", &"a".repeat(64), &format!("{}/a", "b".repeat(316))] {
        cases.push(spec(School, &template("labels", key, "a"), Broken(KEY)));
        cases.push(spec(School, &template("annotations", key, "a"), Broken(KEY)));
    }
    let reserved = [
        "dailycare.io/school",
        "app.kubernetes.io/instance",
        "argocd.argoproj.io/tracking-id",
        "helm.sh/chart",
        "meta.helm.sh/release-name",
        "kustomize.toolkit.fluxcd.io/name",
        "kubectl.kubernetes.io/last-applied-configuration",
    ];
    for key in reserved {
        cases.push(spec(School, &template("labels", key, "a"), Broken(RESERVED)));
        cases.push(spec(School, &template("annotations", key, "a"), Broken(RESERVED)));
    }
    cases
}

fn hosts() -> Vec<Creation> {
    const HOST: &str = "use an IP address or a DNS name in lower case";
    let host = |host: &str, expected| spec(DatabaseServer, &json!({"host": host}), expected);
    let mut cases = vec![
        host("", OutOfBounds("should be at least 1 chars long")),
        host(&format!("{}.example", "a.".repeat(123)), OutOfBounds("Too long: may not be more than 253")),
    ];
    cases.extend(["pg", "pg-1.db.svc.cluster.local", "127.0.0.1", "2001:db8::1", &"a".repeat(63)].map(|text| host(text, Taken)));
    let long = "a".repeat(64);
    let bad = ["PG", "pg.", ".pg", "pg:5432", "postgresql://pg", "[::1]", "a b", "pg_1", "-a", "a\n", &long];
    cases.extend(bad.map(|text| host(text, Broken(HOST))));
    cases
}

fn server_options() -> Vec<Creation> {
    const CA: &str = "verify-ca and verify-full need caSecretRef";
    const SELECTOR: &str = "from: Selector needs a selector";
    const KEY: &str = "use the name of a key in the Secret";
    let server = |fields: Value, expected| spec(DatabaseServer, &fields, expected);
    let tls = |mode: &str, expected| spec(DatabaseServer, &json!({"tls": {"mode": mode}}), expected);
    let verified = |key: &str, expected| {
        spec(DatabaseServer, &json!({"tls": {"mode": "verify-full", "caSecretRef": {"name": "pg-1-ca", "key": key}}}), expected)
    };
    let selected = |labels: Value, expected| {
        spec(DatabaseServer, &json!({"allowedNamespaces": {"from": "Selector", "selector": {"matchLabels": labels}}}), expected)
    };
    vec![
        tls("disable", Taken),
        tls("require", Taken),
        tls("verify-ca", Broken(CA)),
        tls("verify-full", Broken(CA)),
        tls("prefer", OutOfBounds("Unsupported value")),
        tls("VerifyFull", OutOfBounds("Unsupported value")),
        verified("ca.crt", Taken),
        verified("a/b", Broken(KEY)),
        verified("", Broken(KEY)),
        server(json!({"tls": {"mode": "verify-ca", "caSecretRef": {"name": "pg-1-ca"}}}), Taken),
        server(json!({"tls": {"mode": "verify-ca", "caSecretRef": {"name": "PG"}}}), Broken("use the name of an object")),
        server(json!({"passwords": "Verifier", "tls": {"mode": "disable"}}), Taken),
        server(json!({"passwords": "Plain", "tls": {"mode": "require"}}), Taken),
        server(json!({"passwords": "Plain", "tls": {"mode": "disable"}}), Broken("passwords: Plain needs an encrypted connection")),
        server(json!({"passwords": "plain", "tls": {"mode": "require"}}), OutOfBounds("Unsupported value")),
        server(json!({"tls": null}), OutOfBounds("spec.tls: Required value")),
        server(json!({"adminSecretRef": {"name": "A b"}}), Broken("use the name of an object")),
        server(json!({"adminSecretRef": null}), OutOfBounds("spec.adminSecretRef: Required value")),
        server(json!({"port": 1}), Taken),
        server(json!({"port": 65535}), Taken),
        server(json!({"port": 0}), OutOfBounds("should be greater than or equal to 1")),
        server(json!({"port": 65536}), OutOfBounds("should be less than or equal to 65535")),
        server(json!({"tiers": ["premium", "standard", "basic"]}), Taken),
        server(json!({"tiers": []}), OutOfBounds("should have at least 1 items")),
        server(json!({"tiers": ["basic", "basic"]}), OutOfBounds("Duplicate value")),
        server(json!({"tiers": ["gold"]}), OutOfBounds("Unsupported value")),
        server(json!({"capacity": {"maxSchools": 0}}), Taken),
        server(json!({"capacity": {"maxSchools": -1}}), OutOfBounds("should be greater than or equal to 0")),
        server(json!({"schedulable": false}), Taken),
        server(json!({"schedulable": "no"}), OutOfBounds("must be of type boolean")),
        server(json!({"allowedNamespaces": {"from": "All"}}), Taken),
        server(json!({"allowedNamespaces": {"from": "Same"}}), OutOfBounds("Unsupported value")),
        server(json!({"allowedNamespaces": {"from": "Selector"}}), Broken(SELECTOR)),
        selected(json!({"region": "north"}), Taken),
        selected(json!({}), OutOfBounds("should have at least 1 properties")),
        selected(json!({"a b": "north"}), Broken("use keys of the form")),
        selected(json!({"region": "no rth"}), Broken("use label values of letters")),
    ]
}

/// Changes to a School.
pub(crate) fn updates() -> Vec<Update> {
    [changes_before_placement(), changes_after_placement()].into_iter().flatten().collect()
}

fn changes_before_placement() -> Vec<Update> {
    const CODE: &str = "the code cannot be changed";
    const SERVER: &str = "serverName cannot be changed or removed once set";
    const SECRET: &str = "secretName cannot be changed or removed once set";
    let change = |before: Value, after: Value, expected| Update { before, status: json!({}), after, expected };
    let pin = |server: &str| json!({"placement": {"serverName": server}});
    let secret = |name: &str| json!({"credentials": {"secretName": name}});
    vec![
        change(json!({}), json!({"displayName": "Northside", "email": "new@northside.example"}), Taken),
        change(json!({}), json!({"adminUser": {"name": "Rui Alves", "email": "rui@northside.example"}}), Taken),
        change(json!({}), json!({"code": "southside"}), Broken(CODE)),
        change(json!({}), pin("pg-1"), Taken),
        change(pin("pg-1"), json!({"placement": {"tier": "basic"}}), Taken),
        change(pin("pg-1"), pin("pg-2"), Broken(SERVER)),
        change(pin("pg-1"), json!({"placement": {"serverName": null}}), Broken(SERVER)),
        change(pin("pg-1"), json!({"placement": null}), Broken(SERVER)),
        change(json!({}), secret("own"), Taken),
        change(secret("own"), secret("other"), Broken(SECRET)),
        change(secret("own"), json!({"credentials": {"secretName": null, "secretTemplate": {"labels": {"a": "b"}}}}), Broken(SECRET)),
        change(secret("own"), json!({"credentials": null}), Broken(SECRET)),
        change(secret("own"), template("labels", "team", "north"), Taken),
    ]
}

fn changes_after_placement() -> Vec<Update> {
    const ADMIN: &str = "adminUser names the first administrator and is set once; manage users in the school's application";
    const TIER: &str = "the school is placed and stays in its tier";
    const SERVER: &str = "the school is placed and is not moved";
    const SECRET: &str = "the credentials are in the Secret named by status.credentials.secretName";
    let placed = || {
        json!({
            "tenantId": "0191f2c4-0000-5000-8000-000000000000",
            "placement": {"serverName": "pg-1", "tier": "standard"},
            "credentials": {"secretName": "northside-db"},
            "adminUser": {"name": "Ana Sousa", "email": "ana@northside.example", "secretName": "northside-admin"}
        })
    };
    let change = |after: Value, expected| Update { before: json!({}), status: placed(), after, expected };
    vec![
        change(json!({"displayName": "Northside", "state": "Suspended", "deletionPolicy": "Delete"}), Taken),
        change(json!({"adminUser": {"name": "Rui Alves"}}), Broken(ADMIN)),
        change(json!({"adminUser": {"email": "rui@northside.example"}}), Broken(ADMIN)),
        change(tier("standard"), Taken),
        change(tier("premium"), Broken(TIER)),
        change(json!({"placement": {"serverName": "pg-1"}}), Taken),
        change(json!({"placement": {"serverName": "pg-2"}}), Broken(SERVER)),
        change(json!({"credentials": {"secretName": "northside-db"}}), Taken),
        change(json!({"credentials": {"secretName": "own"}}), Broken(SECRET)),
        change(json!({"credentials": {"secretTemplate": {"labels": {"team": "north"}}}}), Taken),
        Update {
            before: tier("premium"),
            status: json!({"placement": {"tier": "premium"}}),
            after: json!({"placement": null}),
            expected: Broken(TIER),
        },
        Update {
            before: json!({}),
            status: json!({"adminUser": {"secretName": "a"}}),
            after: json!({"adminUser": {"name": "Rui"}}),
            expected: Taken,
        },
    ]
}
