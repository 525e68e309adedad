//! Applying and deleting Schools, as a GitOps client would: many at once, eight requests in flight.
//!
//! Must not wait for the operator.

use std::collections::HashMap;
use std::time::Instant;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use kube::Api;
use kube::api::{DeleteParams, PostParams};
use operator::crd::School;
use operator::crd::school::{AdminUser, DeletionPolicy, SchoolSpec};

use crate::Outcome;

/// Requests in flight.
const AT_ONCE: usize = 8;

/// `count` codes that start with `prefix`. They are the Schools' names too.
pub(crate) fn codes(prefix: &str, count: usize) -> Vec<String> {
    (1..=count).map(|number| format!("{prefix}-{number:03}")).collect()
}

pub(crate) fn school(code: &str) -> School {
    let spec = SchoolSpec {
        code: code.to_owned(),
        display_name: format!("School {code}"),
        email: format!("office@{code}.example"),
        admin_user: AdminUser { name: "Ana Sousa".to_owned(), email: format!("ana.sousa@{code}.example") },
        deletion_policy: Some(DeletionPolicy::Delete),
        ..SchoolSpec::default()
    };
    School::new(code, spec)
}

/// Creates a School for each code; `each` is given every one as soon as it exists. Returns when each request was begun.
pub(crate) async fn apply(api: &Api<School>, codes: &[String], each: impl Fn(School)) -> Outcome<HashMap<String, Instant>> {
    let creating = PostParams { field_manager: Some("bench".to_owned()), ..PostParams::default() };
    let requests = codes.iter().map(async |code| {
        let begun = Instant::now();
        let created = api.create(&creating, &school(code)).await?;
        Ok::<_, kube::Error>((code.clone(), begun, created))
    });
    let begun = stream::iter(requests).buffer_unordered(AT_ONCE).map_ok(|(code, begun, created)| {
        each(created);
        (code, begun)
    });
    Ok(begun.try_collect().await?)
}

/// Asks for the deletion of every School.
pub(crate) async fn delete(api: &Api<School>, codes: &[String]) -> Outcome {
    let deleting = DeleteParams::default();
    let requests = codes.iter().map(async |code| api.delete(code, &deleting).await.map(drop));
    Ok(stream::iter(requests).buffer_unordered(AT_ONCE).try_collect().await?)
}
