//! Clients that send requests of every kind, permitted or not. `choosing` picks the next request, `judging` checks its answer.
//!
//! Must not cause faults: `chaos` does.

mod choosing;
mod judging;
mod request;

use std::time::Duration;

use reqwest::RequestBuilder;
use reqwest::header::HeaderMap;
use serde_json::Value;
use testing::Random;
use tokio::time::timeout;
use uuid::Uuid;

use self::request::{Caller, Named, Operation, create, malformed, refusal, remove};
use super::report::Fault;
use super::schools::Subject;
use super::{Arena, Running};

/// Longer than anything here may take: a request that is not answered by then is a finding.
const ANSWER: Duration = Duration::from_mins(1);

/// What came back.
struct Answer {
    status: u16,
    headers: HeaderMap,
    bytes: Vec<u8>,
    body: Value,
}

/// One client.
pub(crate) struct Client<'a> {
    arena: &'a Arena,
    random: Random,
    http: reqwest::Client,
    /// The school that it works in for a while, at one replica, as people do; strangers' requests come in between.
    school: usize,
    replica: usize,
}

/// Every path that can be read, by the API's own document, with `{…}` where an id goes.
pub(crate) async fn documented(api: &Running) -> Vec<String> {
    let document: Value = reqwest::get(format!("http://{}/openapi.json", api.address)).await.unwrap().json().await.unwrap();
    let paths = document["paths"].as_object().unwrap().iter().filter(|(_, item)| item.get("get").is_some());
    let below = paths.filter_map(|(path, _)| path.strip_prefix("/api/v1").map(str::to_owned));
    let paths: Vec<String> = below.filter(|path| !path.starts_with("/auth") && !path.starts_with("/platform")).collect();
    assert!(paths.iter().any(|path| path == "/children"), "{paths:?}");
    paths
}

impl<'a> Client<'a> {
    pub(crate) fn new(arena: &'a Arena, seed: u64) -> Self {
        let http = reqwest::Client::builder().no_proxy().timeout(ANSWER).pool_idle_timeout(Duration::from_secs(2)).build().unwrap();
        let mut random = Random::new(seed);
        let school = usize::try_from(random.below(arena.subjects.len() as u64)).unwrap();
        Self { arena, http, school, replica: school % 2, random }
    }

    /// One request of any kind, judged.
    pub(crate) async fn send_one(&mut self) {
        let subject = self.subject();
        let (caller, named) = (self.caller(), self.named());
        let operation = if matches!((caller, refusal(caller, named)), (Caller::Admin, None)) {
            self.entitled(subject)
        } else {
            self.harmless(subject, matches!(caller, Caller::Reader))
        };
        let before = subject.phase();
        let request = self.request(subject, caller, named, &operation);
        let hurried = (self.random.below(50) == 0).then(|| Duration::from_millis(self.random.below(15)));
        let answer = match hurried {
            Some(patience) => timeout(patience, fetch(request)).await.ok(),
            None => Some(fetch(request).await),
        };
        let answer = match answer {
            None => {
                self.arena.findings.fault(Fault::Disconnected, 1);
                None
            }
            Some(Err(error)) => {
                self.arena.findings.unexpected(|| format!("{caller:?} {named:?} {operation:?}: no answer: {error:?}"));
                None
            }
            Some(Ok(answer)) => Some(answer),
        };
        let after = subject.phase();
        if let Some(answer) = &answer {
            self.judge(subject, caller, named, &operation, answer, (before, after));
        }
        self.learn(subject, &operation, answer.as_ref());
    }

    /// Repeats every request whose outcome is unknown, until it is known.
    pub(crate) async fn settle(&mut self, subject: &Subject) {
        loop {
            let operation = {
                let mut children = subject.children();
                match (children.unknown.pop(), children.removing.pop()) {
                    (None, None) => return,
                    (None, Some(made)) => remove(made, false),
                    (Some(serial), removing) => {
                        children.removing.extend(removing);
                        create(subject, serial)
                    }
                }
            };
            let request = self.request(subject, Caller::Admin, Named::Nothing, &operation);
            let answer = fetch(request).await;
            if let Ok(answer) = &answer {
                self.judge(subject, Caller::Admin, Named::Nothing, &operation, answer, (subject.phase(), subject.phase()));
            }
            self.learn(subject, &operation, answer.ok().as_ref());
        }
    }

    fn request(&mut self, subject: &Subject, caller: Caller, named: Named, operation: &Operation) -> RequestBuilder {
        let address = self.arena.replicas()[self.replica].address;
        let mut request = self.http.request(operation.method.clone(), format!("http://{address}/api/v1{}", operation.path));
        let signer = &self.arena.signer;
        let token = match caller {
            Caller::Admin => Some(signer.token(subject.admin, Some(subject.tenant), "SchoolAdmin")),
            Caller::Reader => Some(signer.token(subject.reader, Some(subject.tenant), "ReadOnly")),
            Caller::Forged(way) => Some(signer.forged(way, subject.admin, subject.tenant)),
            Caller::Nobody => None,
            // Few of them, so that they are remembered as absent too.
            Caller::OfNoSchool => {
                Some(signer.token(subject.admin, Some(Uuid::from_u128(1 + u128::from(self.random.below(20)))), "SchoolAdmin"))
            }
            Caller::Staff => Some(signer.token(Uuid::from_u128(7), None, "PlatformAdmin")),
        };
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        for (name, value) in self.headers(subject, named) {
            request = request.header(name, value);
        }
        if let Some(key) = &operation.key {
            request = request.header("idempotency-key", key);
        }
        if let Some(condition) = operation.condition {
            request = request.header("if-match", condition);
        }
        match &operation.body {
            Some(body) => request.json(body),
            None => request,
        }
    }

    fn headers(&mut self, subject: &Subject, named: Named) -> Vec<(&'static str, String)> {
        const NAME: &str = "x-tenant-id";
        let (id, other) = (subject.tenant.to_string(), self.other(subject));
        match named {
            Named::Nothing => Vec::new(),
            Named::Id => vec![(NAME, id)],
            Named::Code => vec![(NAME, subject.marker.clone())],
            Named::Forwarded => vec![
                ("x-forwarded-tenant", other.tenant.to_string()),
                ("x-forwarded-tenant-id", other.marker.clone()),
                ("x-forwarded-host", format!("{}.example", other.marker)),
                ("forwarded", format!("host={}.example", other.marker)),
            ],
            Named::OtherId => vec![(NAME, other.tenant.to_string())],
            Named::OtherCode => vec![(NAME, other.marker.clone())],
            Named::Twice => vec![(NAME, id.clone()), (NAME, id)],
            Named::TwoSchools => vec![(NAME, id), (NAME, other.tenant.to_string())],
            Named::Malformed(way) => vec![(NAME, malformed(way, subject, other))],
        }
    }
}

async fn fetch(request: RequestBuilder) -> reqwest::Result<Answer> {
    let answer = request.send().await?;
    let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
    let bytes = answer.bytes().await?.to_vec();
    let body = serde_json::from_slice(&bytes).unwrap_or_default();
    Ok(Answer { status, headers, bytes, body })
}
