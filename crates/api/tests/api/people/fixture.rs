//! Shorthands for requests about people, and a platform with a cache.

use api_testing::{Answer, Client, World, cached_in};
use serde_json::{Value, json};
use testing::{Redis, Version};

/// The one field that a refusal names, and how it is wrong.
pub(crate) fn field(answer: &Answer) -> (String, String) {
    let mut fields = answer.fields();
    assert_eq!(fields.len(), 1, "{}", answer.body);
    fields.remove(0)
}

pub(crate) fn refused(answer: &Answer, status: u16, at: &str, how: &str) {
    assert_eq!((answer.status, field(answer)), (status, (at.to_owned(), how.to_owned())), "{}", answer.body);
}

/// Creates, and gives the id.
pub(crate) async fn made(client: &Client, path: &str, body: Value) -> String {
    let answer = client.post(path, body).await;
    assert_eq!(answer.status, 201, "{}", answer.body);
    answer.data()["id"].as_str().unwrap().to_owned()
}

pub(crate) async fn child(client: &Client, name: &str) -> String {
    made(client, "/children", json!({ "full_name": name })).await
}

pub(crate) async fn class(client: &Client, name: &str, capacity: Option<i16>) -> String {
    made(client, "/classes", json!({ "name": name, "school_year": 2026, "capacity": capacity })).await
}

/// What `pick` gives of each row of a list.
pub(crate) async fn listed(client: &Client, path: &str, pick: &str) -> Vec<String> {
    let answer = client.get(path).await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.body);
    answer.data().as_array().unwrap().iter().map(|row| row[pick].as_str().unwrap().to_owned()).collect()
}

pub(crate) async fn tag(client: &Client, path: &str) -> String {
    client.get(path).await.etag()
}

/// A world with a cache: what is written must be seen through it.
pub(crate) async fn cached() -> (World, Redis) {
    let redis = Redis::start(&[]).await.unwrap();
    (World::start(Version::V15, cached_in(&redis.url())).await, redis)
}
