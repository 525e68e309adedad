//! What a write costs: how often the API waits for the school's database.
//!
//! A relay in front of the server counts its `ReadyForQuery` messages, which end each round trip, whatever was sent for it. Must not count the time.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;
use sqlx::AssertSqlSafe;
use testing::until;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use uuid::Uuid;

use super::nursery::{NOON, Nursery, created};

/// Counts the round trips of every connection through it.
struct Relay {
    port: u16,
    round_trips: Arc<AtomicUsize>,
}

impl Relay {
    async fn before(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let relay = Self { port: listener.local_addr().unwrap().port(), round_trips: Arc::default() };
        let round_trips = Arc::clone(&relay.round_trips);
        tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                tokio::spawn(pass(client, server, Arc::clone(&round_trips)));
            }
        });
        relay
    }

    /// The least that this work costs: when every statement is prepared, and nothing writes the records of reads at the same time.
    async fn least(&self, mut work: impl AsyncFnMut()) -> usize {
        let mut least = usize::MAX;
        for _ in 0..6 {
            let before = self.round_trips.load(Ordering::SeqCst);
            work().await;
            least = least.min(self.round_trips.load(Ordering::SeqCst) - before);
        }
        least
    }
}

async fn pass(client: TcpStream, server: u16, round_trips: Arc<AtomicUsize>) {
    let server = TcpStream::connect(("127.0.0.1", server)).await.unwrap();
    let ((mut from_client, mut to_client), (mut from_server, mut to_server)) = (client.into_split(), server.into_split());
    tokio::spawn(async move { tokio::io::copy(&mut from_client, &mut to_server).await });
    // Each message of the server is a letter, a length that counts itself, and a content.
    let mut head = [0; 5];
    while from_server.read_exact(&mut head).await.is_ok() {
        let length = u32::from_be_bytes(head[1..].try_into().unwrap());
        let mut content = vec![0; length as usize - 4];
        if from_server.read_exact(&mut content).await.is_err() {
            break;
        }
        // Before the client can know of it.
        if head[0] == b'Z' {
            round_trips.fetch_add(1, Ordering::SeqCst);
        }
        if to_client.write_all(&[&head[..], &content].concat()).await.is_err() {
            break;
        }
    }
}

/// A school whose route leads through a relay.
async fn relayed() -> (Nursery, Relay) {
    let nursery = Nursery::open().await;
    let world = nursery.school.world();
    let relay = Relay::before(world.platform.server.port()).await;
    let update = format!("UPDATE registry.tenants SET port = {} WHERE id = '{}'", relay.port, nursery.school.id());
    sqlx::raw_sql(AssertSqlSafe(update)).execute(&world.platform.operator).await.unwrap();
    let counted = || relay.round_trips.load(Ordering::SeqCst);
    until("the new route", async || nursery.admin.get("/activities").await.status == 200 && counted() > 0).await;
    (nursery, relay)
}

#[tokio::test]
async fn a_keyed_activity_takes_six_round_trips_and_a_change_of_it_four() {
    let (nursery, relay) = relayed().await;
    let (admin, child) = (&nursery.admin, &nursery.children[0]);
    let nap = || json!({"child_id": child, "kind": "nap", "nap_quality": "calm", "started_at": NOON});
    let keyed = async || drop(created(admin.post_keyed("/activities", &Uuid::new_v4().to_string(), nap()).await));
    assert_eq!(relay.least(keyed).await, 6, "a POST with a key");
    let plain = async || drop(created(admin.post("/activities", nap()).await));
    assert_eq!(relay.least(plain).await, 4, "a POST without a key");

    let answer = admin.post("/activities", nap()).await;
    let (path, mut tag) = (format!("/activities/{}", answer.id()), answer.etag());
    let changes = [json!({"notes": "Dormiu bem"}), json!({"notes": null, "class_id": nursery.class}), json!({})];
    for body in changes {
        let change = async || {
            let renewed = admin.patch(&path, &tag, body.clone()).await;
            assert_eq!(renewed.status, 200, "{}", renewed.body);
            tag = renewed.etag();
        };
        assert_eq!(relay.least(change).await, 4, "PATCH {body}");
    }

    let stale = async || assert_eq!(admin.patch(&path, "\"999\"", json!({"notes": "x"})).await.status, 412);
    assert!(relay.least(stale).await <= 4, "a refused PATCH");
}

#[tokio::test]
async fn an_answer_that_is_given_again_takes_at_most_five_round_trips() {
    let (nursery, relay) = relayed().await;
    let body = json!({"child_id": nursery.children[0], "kind": "nap", "started_at": NOON});
    let first = created(nursery.admin.post_keyed("/activities", "again", body.clone()).await);
    let again = async || {
        let answer = nursery.admin.post_keyed("/activities", "again", body.clone()).await;
        assert_eq!((answer.status, answer.data()), (201, &first));
    };
    assert!(relay.least(again).await <= 5);
}
