//! Reading a token: its form, its header, its signature and its claims, each strictly.
//!
//! The cryptography is jsonwebtoken's; the reading is not, because its numbers may be floats, its header members may repeat and its issuers may be
//! lists. Must not fetch anything, and must not believe a claim before the signature is verified: until then `iss` chooses whose keys to try, and nothing else.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::crypto;
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::keys::VerifyingKey;

/// Why a token is not accepted, for the log alone: it quotes nothing of the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct Refusal(pub(super) &'static str);

pub(super) type Result<T> = std::result::Result<T, Refusal>;

/// Bytes of the longest token.
pub(super) const MOST: usize = 8 * 1024;
const KID_MOST: usize = 128;
/// Seconds for which a token counts after its end.
pub(super) const LEEWAY: i64 = 5;
/// Seconds by which the issuing clock may be ahead of this one: own tokens carry the master database's.
const AHEAD: i64 = 60;
/// The end of the year 9999; later times are refused.
const LAST: i64 = 253_402_300_799;
/// Members that would have the token choose its key or its processing.
const FORBIDDEN: [&str; 7] = ["crit", "jku", "jwk", "x5u", "x5c", "b64", "zip"];

/// A token whose form is right. Its claims are not verified yet.
pub(super) struct Presented<'a> {
    pub(super) kid: String,
    algorithm: String,
    claims: Map<String, Value>,
    message: &'a str,
    signature: &'a str,
}

/// Claims whose signature was verified.
pub(super) struct Claims(Map<String, Value>);

impl<'a> Presented<'a> {
    pub(super) fn parse(token: &'a str) -> Result<Self> {
        if token.len() > MOST {
            return Err(Refusal("the token is too long"));
        }
        let (message, signature) = token.rsplit_once('.').ok_or(Refusal("the token has no signature"))?;
        let (header, claims) = message.split_once('.').ok_or(Refusal("the token has too few parts"))?;
        if claims.contains('.') {
            return Err(Refusal("the token has too many parts"));
        }
        let header = object(header).ok_or(Refusal("the token's header cannot be read"))?;
        let claims = object(claims).ok_or(Refusal("the token's claims cannot be read"))?;
        if FORBIDDEN.iter().any(|member| header.contains_key(*member)) {
            return Err(Refusal("the token's header says how it is to be verified"));
        }
        match header.get("typ") {
            None => {}
            Some(Value::String(typ)) if is_access_token(typ) => {}
            Some(_) => return Err(Refusal("the token is of another type")),
        }
        let text = |member| header.get(member).and_then(Value::as_str).map(str::to_owned);
        let kid = text("kid").filter(|kid| !kid.is_empty() && kid.len() <= KID_MOST).ok_or(Refusal("the token names no key"))?;
        let algorithm = text("alg").ok_or(Refusal("the token names no algorithm"))?;
        Ok(Self { kid, algorithm, claims, message, signature })
    }

    /// The issuer that the token names.
    pub(super) fn issuer(&self) -> Option<&str> {
        self.claims.get("iss").and_then(Value::as_str)
    }

    /// Returns the claims if this key signed them by its own algorithm.
    pub(super) fn verify(self, key: &VerifyingKey) -> Result<Claims> {
        if self.algorithm != key.name {
            return Err(Refusal("the token names another algorithm than its key's"));
        }
        match crypto::verify(self.signature, self.message.as_bytes(), &key.key, key.algorithm) {
            Ok(true) => Ok(Claims(self.claims)),
            _ => Err(Refusal("the signature is wrong")),
        }
    }
}

/// Whose tokens they are, and so how strictly their times are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum IssuedBy {
    /// By this API: `exp`, `nbf` and `iat` in whole seconds.
    Us,
    /// By another issuer: as RFC 7519 has it, `nbf` may be absent, and times may have fractions.
    Another,
}

/// When a token was issued, and from and until when it counts: seconds since 1970, checked against this clock and each other.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    pub(super) issued_at: i64,
    pub(super) expires: i64,
}

impl Claims {
    pub(super) fn text(&self, claim: &str) -> Option<&str> {
        self.0.get(claim).and_then(Value::as_str).filter(|text| !text.is_empty())
    }

    pub(super) fn has(&self, claim: &str) -> bool {
        self.0.contains_key(claim)
    }

    pub(super) fn value(&self, claim: &str) -> Option<&Value> {
        self.0.get(claim)
    }

    /// A UUID in its one canonical form.
    pub(super) fn uuid(&self, claim: &str) -> Option<Uuid> {
        self.text(claim).and_then(uuid)
    }

    /// The audience is this one, alone.
    pub(super) fn is_only_for(&self, audience: &str) -> bool {
        self.text("aud") == Some(audience)
    }

    /// The audience is this one, or a list of texts with it (RFC 7519 §4.1.3), as other issuers write it.
    pub(super) fn is_for(&self, audience: &str) -> bool {
        match self.0.get("aud") {
            Some(Value::Array(list)) => list.iter().all(Value::is_string) && list.iter().any(|one| one == audience),
            _ => self.is_only_for(audience),
        }
    }

    /// Checks `exp`, `nbf` and `iat` at `now`; none may last longer than `life` seconds.
    pub(super) fn times(&self, issued_by: IssuedBy, now: i64, life: i64) -> Result<Times> {
        let time = |claim| self.time(claim, issued_by);
        let (expires, issued_at) = (time("exp")?, time("iat")?);
        let begins = if issued_by == IssuedBy::Us || self.has("nbf") { time("nbf")? } else { issued_at };
        if expires <= now - LEEWAY {
            return Err(Refusal("the token has expired"));
        }
        if begins > now + AHEAD {
            return Err(Refusal("the token does not count yet"));
        }
        if issued_at > now + AHEAD {
            return Err(Refusal("the token was issued in the future"));
        }
        if expires <= issued_at || expires - issued_at > life {
            return Err(Refusal("the token lasts longer than tokens do"));
        }
        Ok(Times { issued_at, expires })
    }

    /// A number of seconds without its fraction; a text or a number beyond time itself is none.
    fn time(&self, claim: &str, issued_by: IssuedBy) -> Result<i64> {
        let time = self.0.get(claim).and_then(|time| match issued_by {
            IssuedBy::Us => time.as_i64(),
            IssuedBy::Another => time.as_i64().or_else(|| whole_seconds(time.as_f64()?)),
        });
        time.filter(|time| (0..=LAST).contains(time)).ok_or(Refusal("exp, nbf or iat is missing or no time"))
    }
}

#[expect(clippy::cast_possible_truncation, reason = "within the range, every number is whole seconds and a fraction, which is cut off")]
fn whole_seconds(time: f64) -> Option<i64> {
    #[expect(clippy::cast_precision_loss, reason = "it has fewer bits than a float holds")]
    let last = LAST as f64;
    (0.0..=last).contains(&time).then_some(time as i64)
}

/// The media type of an access token or of any token, as issuers write it: with or without `application/`, in any case (RFC 7515 §4.1.9, RFC 9068 §2.1).
fn is_access_token(typ: &str) -> bool {
    let typ = typ.to_ascii_lowercase();
    matches!(typ.strip_prefix("application/").unwrap_or(&typ), "jwt" | "at+jwt")
}

pub(super) fn uuid(text: &str) -> Option<Uuid> {
    if text.len() == 36 { Uuid::try_parse(text).ok().filter(|id| !id.is_nil()) } else { None }
}

fn object(part: &str) -> Option<Map<String, Value>> {
    let bytes = URL_SAFE_NO_PAD.decode(part).ok()?;
    serde_json::from_slice::<Unique>(&bytes).ok().map(|unique| unique.0)
}

/// A JSON object none of whose members repeats: readers disagree on which one counts.
struct Unique(Map<String, Value>);

impl<'de> Deserialize<'de> for Unique {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct Members;

        impl<'de> Visitor<'de> for Members {
            type Value = Unique;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> std::result::Result<Unique, A::Error> {
                let mut members = Map::new();
                while let Some((name, value)) = access.next_entry::<String, Value>()? {
                    if members.insert(name, value).is_some() {
                        return Err(A::Error::custom("a member repeats"));
                    }
                }
                Ok(Unique(members))
            }
        }

        deserializer.deserialize_map(Members)
    }
}
