//! Clients that ask for everything, theirs or not, and the judgement of every answer.

use std::time::Duration;

use reqwest::header::HeaderMap;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use tokio::time::timeout;
use uuid::Uuid;

use super::report::Fault;
use super::schools::{Made, NEVER, Phase, Subject, key};
use super::{Arena, Running};

/// Longer than anything here may take: a request that is not answered by then is a finding.
const ANSWER: Duration = Duration::from_mins(1);

/// `SplitMix64`: reproducible from its seed, and of no use for secrets.
pub(crate) struct Random(u64);

/// Who asks.
#[derive(Clone, Copy, Debug)]
enum Caller {
    Admin,
    Reader,
    Forged(u64),
    Nobody,
    /// Signed as it should be, for a school that there is not.
    OfNoSchool,
    /// Of the platform, where every school is another's.
    Staff,
}

/// What the request says of the school beside its token.
#[derive(Clone, Copy, Debug)]
enum Named {
    Nothing,
    Id,
    Code,
    /// In headers that nobody may believe.
    Forwarded,
    OtherId,
    OtherCode,
    Twice,
    TwoSchools,
    Malformed(u64),
}

/// What is asked for.
#[derive(Debug)]
struct Ask {
    method: Method,
    path: String,
    body: Option<Value>,
    key: Option<String>,
    condition: Option<&'static str>,
    /// What somebody entitled is answered.
    expected: &'static [u16],
    then: Then,
}

/// What the answer means for what is known.
#[derive(Clone, Debug)]
enum Then {
    Nothing,
    /// It shows something of the school's own.
    Shows,
    /// A list that must hold nothing.
    ShowsNothing,
    List,
    Made(u64),
    /// Sent again: the same row as before.
    Same(Made),
    Removed {
        made: Made,
        /// No attempt was made before whose outcome is unknown.
        first: bool,
    },
}

/// What came back.
struct Answer {
    status: u16,
    headers: HeaderMap,
    bytes: Vec<u8>,
    body: Value,
}

/// One client.
pub(crate) struct Asker<'a> {
    arena: &'a Arena,
    random: Random,
    http: reqwest::Client,
    /// The school that it works in for a while, at one replica, as people do; strangers' requests come in between.
    school: usize,
    replica: usize,
}

const READS: &[u16] = &[200];
const GONE: &[u16] = &[404];

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    pub(crate) fn of<'t, T>(&mut self, list: &'t [T]) -> &'t T {
        let at = self.below(list.len() as u64);
        &list[usize::try_from(at).unwrap()]
    }
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

impl<'a> Asker<'a> {
    pub(crate) fn new(arena: &'a Arena, seed: u64) -> Self {
        let http = reqwest::Client::builder().no_proxy().timeout(ANSWER).pool_idle_timeout(Duration::from_secs(2)).build().unwrap();
        let mut random = Random::new(seed);
        let school = usize::try_from(random.below(arena.subjects.len() as u64)).unwrap();
        Self { arena, http, school, replica: school % 2, random }
    }

    /// One request of any kind, judged.
    pub(crate) async fn ask(&mut self) {
        let subject = self.subject();
        let (caller, named) = (self.caller(), self.named());
        let ask = if matches!((caller, refusal(caller, named)), (Caller::Admin, None)) {
            self.entitled(subject)
        } else {
            self.harmless(subject, matches!(caller, Caller::Reader))
        };
        let before = subject.phase();
        let request = self.request(subject, caller, named, &ask);
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
                self.arena.findings.unexpected(|| format!("{caller:?} {named:?} {ask:?}: no answer: {error:?}"));
                None
            }
            Some(Ok(answer)) => Some(answer),
        };
        let after = subject.phase();
        if let Some(answer) = &answer {
            self.judge(subject, caller, named, &ask, answer, (before, after));
        }
        self.learn(subject, &ask, answer.as_ref());
    }

    /// Asks again for all that is unknown, until it is known.
    pub(crate) async fn settle(&mut self, subject: &Subject) {
        loop {
            let ask = {
                let mut ledger = subject.ledger();
                match (ledger.unknown.pop(), ledger.removing.pop()) {
                    (None, None) => return,
                    (None, Some(made)) => remove(made, false),
                    (Some(serial), removing) => {
                        ledger.removing.extend(removing);
                        create(subject, serial)
                    }
                }
            };
            let request = self.request(subject, Caller::Admin, Named::Nothing, &ask);
            let answer = fetch(request).await;
            if let Ok(answer) = &answer {
                self.judge(subject, Caller::Admin, Named::Nothing, &ask, answer, (subject.phase(), subject.phase()));
            }
            self.learn(subject, &ask, answer.ok().as_ref());
        }
    }

    /// One school for some thirty requests, and any other now and then.
    fn subject(&mut self) -> &'a Subject {
        if self.random.below(30) == 0 {
            self.school = usize::try_from(self.random.below(self.arena.subjects.len() as u64)).unwrap();
            self.replica = usize::from(self.random.below(2) == 0);
        }
        if self.random.below(12) == 0 { self.random.of(&self.arena.subjects) } else { &self.arena.subjects[self.school] }
    }

    fn caller(&mut self) -> Caller {
        match self.random.below(100) {
            0..8 => Caller::Reader,
            8..15 => Caller::Forged(self.random.next()),
            15..18 => Caller::Nobody,
            18..20 => Caller::OfNoSchool,
            20..22 => Caller::Staff,
            _ => Caller::Admin,
        }
    }

    fn named(&mut self) -> Named {
        match self.random.below(100) {
            0..10 => Named::Id,
            10..20 => Named::Code,
            20..24 => Named::Forwarded,
            24..28 => Named::OtherId,
            28..32 => Named::OtherCode,
            32..34 => Named::Twice,
            34..36 => Named::TwoSchools,
            36..40 => Named::Malformed(self.random.next()),
            _ => Named::Nothing,
        }
    }

    /// Another school than this one.
    fn other(&mut self, subject: &Subject) -> &'a Subject {
        loop {
            let other = self.random.of(&self.arena.subjects);
            if other.index != subject.index {
                return other;
            }
        }
    }

    /// What somebody who may do everything in the school asks for.
    fn entitled(&mut self, subject: &Subject) -> Ask {
        let planted = *self.random.of(&subject.planted);
        let other = self.other(subject);
        let theirs = *self.random.of(&other.planted);
        match self.random.below(100) {
            0..18 => read(format!("/children/{planted}"), READS, Then::Shows),
            18..30 => read(format!("/children?limit={}", 1 + self.random.below(20)), READS, Then::List),
            30..34 => match self.random.of(&[subject, other]).cursor() {
                Some(cursor) => read(format!("/children?limit=5&after={cursor}"), READS, Then::Nothing),
                None => read("/children?limit=1".into(), READS, Then::List),
            },
            34..40 => read(format!("/children?name={}", subject.marker), READS, Then::Shows),
            40..44 => read(format!("/children?name={}", other.marker), READS, Then::ShowsNothing),
            44..46 => read(format!("/children?class_id={}", other.class), READS, Then::ShowsNothing),
            46..48 => read(format!("/children?guardian_id={}", other.guardian), READS, Then::ShowsNothing),
            48..58 => read(format!("/children/{theirs}"), GONE, Then::Nothing),
            58..61 => change(theirs, &subject.marker, GONE),
            61..63 => Ask {
                method: Method::DELETE,
                path: format!("/children/{theirs}"),
                condition: Some("*"),
                ..read(String::new(), GONE, Then::Nothing)
            },
            63..68 => change(planted, &subject.marker, READS),
            68..78 => self.documented(subject, other),
            78..90 => create(subject, subject.next()),
            90..95 => Self::again(subject),
            _ => match subject.ledger().present.pop() {
                Some(made) => remove(made, true),
                None => create(subject, subject.next()),
            },
        }
    }

    /// A creation that was asked for before, whether or not its answer came.
    fn again(subject: &Subject) -> Ask {
        let mut ledger = subject.ledger();
        if let Some(serial) = ledger.unknown.pop() {
            return create(subject, serial);
        }
        match ledger.present.last().copied() {
            Some(made) => Ask { then: Then::Same(made), ..create(subject, made.serial) },
            None => read("/children?limit=1".into(), READS, Then::List),
        }
    }

    /// Any path of the document, with ids of either school: whatever it answers, it holds nothing of the other's.
    fn documented(&mut self, subject: &Subject, other: &Subject) -> Ask {
        let template = self.random.of(&self.arena.paths).clone();
        let ids = [subject.planted[0], other.planted[0], other.class, subject.class, other.guardian, other.admin];
        let mut path = String::new();
        for part in template.split('/').skip(1) {
            path.push('/');
            if part.starts_with('{') {
                path += &self.random.of(&ids).to_string();
            } else {
                path += part;
            }
        }
        read(path, &[200, 400, 403, 404, 422], Then::Nothing)
    }

    /// What refused people ask for: if it were done, the count of rows in the end would show it.
    fn harmless(&mut self, subject: &Subject, reader: bool) -> Ask {
        let planted = *self.random.of(&subject.planted);
        let (reads, writes): (&[u16], &[u16]) = if reader { (READS, &[403]) } else { (&[], &[]) };
        match self.random.below(6) {
            0 => Ask { expected: writes, then: Then::Nothing, ..create(subject, NEVER + self.random.below(NEVER)) },
            1 => Ask { expected: writes, ..change(planted, &subject.marker, writes) },
            2 => Ask { expected: writes, then: Then::Nothing, ..remove(Made { serial: 0, id: planted }, false) },
            3 => read(format!("/children/{planted}"), reads, Then::Nothing),
            4 => read("/children?limit=3".into(), reads, Then::Nothing),
            _ => read(format!("/children?name={}", subject.marker), reads, Then::Nothing),
        }
    }

    fn request(&mut self, subject: &Subject, caller: Caller, named: Named, ask: &Ask) -> RequestBuilder {
        let address = self.arena.replicas()[self.replica].address;
        let mut request = self.http.request(ask.method.clone(), format!("http://{address}/api/v1{}", ask.path));
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
        if let Some(key) = &ask.key {
            request = request.header("idempotency-key", key);
        }
        if let Some(condition) = ask.condition {
            request = request.header("if-match", condition);
        }
        match &ask.body {
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

    fn judge(&self, subject: &Subject, caller: Caller, named: Named, ask: &Ask, answer: &Answer, (before, after): (Phase, Phase)) {
        let findings = &self.arena.findings;
        findings.answered(answer.status);
        let context = |what: &str| {
            let text = String::from_utf8_lossy(&answer.bytes);
            format!("{what}: {} as {caller:?} with {named:?}: {ask:?}\n  {} {text:.600}", subject.marker, answer.status)
        };
        let refusal = refusal(caller, named);
        let own = matches!((caller, &refusal), (Caller::Admin | Caller::Reader, None)).then_some(subject.index);
        self.search(own, ask, answer, &context);

        let code = answer.body["error"]["code"].as_str().unwrap_or_default();
        let for_now = matches!(answer.status, 429 | 503);
        if for_now && !answer.headers.contains_key("retry-after") {
            findings.unexpected(|| context("without Retry-After"));
        }
        if let Some((status, expected)) = refusal {
            if !(answer.status == status && (expected.is_empty() || code == expected) || answer.status == 503) {
                findings.unexpected(|| context("not refused as it should be"));
            }
            return;
        }
        let suspended = answer.status == 403 && code == "TENANT_SUSPENDED";
        let (closed, open) = (before == after && before.suspended(), before == after && before.serves());
        let right = if closed { suspended } else { for_now || ask.expected.contains(&answer.status) && !suspended || suspended && !open };
        if !right {
            findings.unexpected(|| context(if closed { "suspended" } else { "not as expected" }));
        }
        if open {
            findings.entitled(!for_now);
        }
        if answer.status == 200 && !Self::shows_as_it_should(subject, ask, answer) {
            findings.unexpected(|| context("shows other than it should"));
        }
    }

    /// The one question of all this: is anything of anybody else's in the answer?
    fn search(&self, own: Option<usize>, ask: &Ask, answer: &Answer, context: &impl Fn(&str) -> String) {
        let oracle = &self.arena.oracle;
        // Who reads an audit reads which ids were asked for, and those may be another school's: a record of it tells what a caller sent, not what it got.
        let asked_for = |bytes: &[u8]| oracle.markers_in(own, bytes);
        let shown = |bytes: &[u8]| oracle.foreign(own, bytes);
        let found = if ask.path.starts_with("/audit") {
            asked_for(&answer.bytes)
        } else if ask.path.ends_with("/export") && answer.status == 200 {
            let mut rest = answer.body.clone();
            let accesses = rest["data"]["accesses"].take();
            [asked_for(accesses.to_string().as_bytes()), shown(rest.to_string().as_bytes())].concat()
        } else {
            shown(&answer.bytes)
        };
        let headers = answer.headers.values().flat_map(|value| shown(value.as_bytes()));
        for found in headers.chain(found) {
            self.arena.findings.foreign(|| context(&format!("{found:?}")));
        }
    }

    fn shows_as_it_should(subject: &Subject, ask: &Ask, answer: &Answer) -> bool {
        match ask.then {
            Then::Shows => answer.body.to_string().contains(&subject.marker),
            Then::ShowsNothing => answer.body["data"] == json!([]),
            _ => true,
        }
    }

    fn learn(&self, subject: &Subject, ask: &Ask, answer: Option<&Answer>) {
        let status = answer.map(|answer| answer.status);
        let id = || answer.and_then(|answer| answer.body["data"]["id"].as_str()).and_then(|id| id.parse().ok());
        match ask.then {
            Then::Nothing | Then::Shows | Then::ShowsNothing => {}
            Then::List => {
                if let Some(cursor) = answer.and_then(|answer| answer.body["next"].as_str()) {
                    subject.keep_cursor(cursor.to_owned());
                }
            }
            Then::Made(serial) => match id().filter(|_| status == Some(201)) {
                Some(id) => {
                    self.arena.oracle.learn(subject.index, id);
                    subject.ledger().present.push(Made { serial, id });
                }
                None => subject.ledger().unknown.push(serial),
            },
            Then::Same(made) => {
                if status == Some(201) && id() != Some(made.id) {
                    self.arena.findings.wrong_row(|| format!("{}: {made:?} asked for again is {:?}", subject.marker, id()));
                }
            }
            Then::Removed { made, first } => match status {
                Some(204) => subject.ledger().removed.push(made.serial),
                Some(404) => {
                    if first {
                        self.arena.findings.wrong_row(|| format!("{}: {made:?} is lost", subject.marker));
                    }
                    subject.ledger().removed.push(made.serial);
                }
                _ => subject.ledger().removing.push(made),
            },
        }
    }
}

/// How a request is refused before anything is looked at; none for one that is let in. An empty code is any.
fn refusal(caller: Caller, named: Named) -> Option<(u16, &'static str)> {
    match (caller, named) {
        (_, Named::Twice | Named::TwoSchools) => Some((400, "MALFORMED_REQUEST")),
        (Caller::Forged(_) | Caller::Nobody, _) => Some((401, "UNAUTHENTICATED")),
        (_, Named::Malformed(_)) | (Caller::OfNoSchool, _) => Some((400, "INVALID_TENANT")),
        (Caller::Staff, _) => Some((403, "FORBIDDEN")),
        (_, Named::OtherId | Named::OtherCode) => Some((403, "TENANT_MISMATCH")),
        (Caller::Admin | Caller::Reader, Named::Nothing | Named::Id | Named::Code | Named::Forwarded) => None,
    }
}

/// Texts that a lenient reader would take for a school's name.
fn malformed(way: u64, subject: &Subject, other: &Subject) -> String {
    let (id, code) = (subject.tenant.to_string(), &subject.marker);
    match way % 9 {
        0 => id.to_uppercase().replacen(|c: char| c.is_ascii_digit(), "A", 1),
        1 => format!("{id},{}", other.tenant),
        2 => format!("{id}, {id}"),
        3 => String::new(),
        4 => format!("{id}_"),
        5 => format!("%63{}", &code[1..]),
        6 => code.to_uppercase(),
        7 => format!("{code}' OR '1'='1"),
        _ => format!("{{{id}}}"),
    }
}

fn read(path: String, expected: &'static [u16], then: Then) -> Ask {
    Ask { method: Method::GET, path, body: None, key: None, condition: None, expected, then }
}

fn create(subject: &Subject, serial: u64) -> Ask {
    let (body, key) = (Some(subject.child(serial)), Some(key(serial)));
    Ask { method: Method::POST, body, key, ..read("/children".into(), &[201], Then::Made(serial)) }
}

fn change(id: Uuid, marker: &str, expected: &'static [u16]) -> Ask {
    let body = Some(json!({ "notes": format!("{marker} alterada") }));
    Ask { method: Method::PATCH, body, condition: Some("*"), ..read(format!("/children/{id}"), expected, Then::Nothing) }
}

fn remove(made: Made, first: bool) -> Ask {
    let then = Then::Removed { made, first };
    Ask {
        method: Method::DELETE,
        condition: Some("*"),
        ..read(format!("/children/{}", made.id), if first { &[204] } else { &[204, 404] }, then)
    }
}

async fn fetch(request: RequestBuilder) -> reqwest::Result<Answer> {
    let answer = request.send().await?;
    let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
    let bytes = answer.bytes().await?.to_vec();
    let body = serde_json::from_slice(&bytes).unwrap_or_default();
    Ok(Answer { status, headers, bytes, body })
}
