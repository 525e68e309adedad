//! Tests of sealing, of what is derived from a key, and of the two key files.
//!
//! Must not hold a real key.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain::names::{ClusterUid, TenantId};
use postgres::session::Credentials;
use registry::seal::{Error, KEY_BYTES, OpeningKeys, Sealed, sealing_line};
use secrecy::{ExposeSecret as _, SecretString};
use uuid::Uuid;

use super::Keyring;
use super::key::{CREDENTIALS, FINGERPRINT, MIGRATOR, derive, extract};

const A: TenantId = TenantId(Uuid::from_u128(1));
const B: TenantId = TenantId(Uuid::from_u128(2));

fn credentials() -> Credentials {
    Credentials { username: "dailycare_tenant_north_a".into(), password: "canary".into() }
}

fn ring(files: &[&SecretString]) -> Keyring {
    Keyring::parse(&files.iter().map(|file| file.expose_secret()).collect::<String>().into()).unwrap()
}

fn file(id: &str) -> SecretString {
    Keyring::generate_file(id).unwrap()
}

fn opening(file: &SecretString) -> OpeningKeys {
    OpeningKeys::parse(&Keyring::opening_file(file).unwrap()).unwrap()
}

#[test]
fn sealed_credentials_open_for_their_tenant_and_for_no_other() {
    let ring = ring(&[&file("k1")]);
    let sealed = ring.seal(A, &credentials()).unwrap();
    let opened = ring.open(A, &sealed).unwrap();
    assert_eq!((opened.username.as_str(), opened.password.expose_secret()), ("dailycare_tenant_north_a", "canary"));
    assert_eq!(ring.open(B, &sealed).unwrap_err(), Error::Refused);
    assert_ne!(ring.seal(A, &credentials()).unwrap(), sealed, "a nonce was used twice");
}

#[test]
fn a_single_flipped_bit_or_missing_byte_is_refused() {
    let ring = ring(&[&file("k1")]);
    let sealed = ring.seal(A, &credentials()).unwrap();
    for bit in 0..sealed.bytes.len() * 8 {
        let mut altered = sealed.clone();
        altered.bytes[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(ring.open(A, &altered).unwrap_err(), Error::Refused, "bit {bit}");
    }
    for length in 0..sealed.bytes.len() {
        let cut = Sealed { bytes: sealed.bytes[..length].to_vec(), ..sealed.clone() };
        assert_eq!(ring.open(A, &cut).unwrap_err(), Error::Refused, "{length} bytes");
    }
}

#[test]
fn after_a_rotation_old_seals_open_and_new_ones_use_the_first_key() {
    let (old, new) = (file("old"), file("new"));
    let sealed = ring(&[&old]).seal(A, &credentials()).unwrap();
    let rotated = ring(&[&new, &old]);
    assert!(rotated.open(A, &sealed).is_ok());
    assert!(!rotated.is_current(A, &sealed, &credentials()), "an old seal passes for current");
    assert!(rotated.contains(A, &sealed, &credentials()) && !rotated.contains(B, &sealed, &credentials()));
    assert!(!rotated.contains(A, &sealed, &Credentials { password: "other".into(), ..credentials() }));
    let resealed = rotated.seal(A, &credentials()).unwrap();
    assert_eq!(resealed.key_id, "new");
    assert!(rotated.is_current(A, &resealed, &credentials()));
    assert_eq!(ring(&[&new]).open(A, &sealed).unwrap_err(), Error::UnknownKey);
}

#[test]
fn a_key_id_does_not_open_what_another_key_of_that_id_sealed() {
    let sealed = ring(&[&file("k1")]).seal(A, &credentials()).unwrap();
    assert_eq!(ring(&[&file("k1")]).open(A, &sealed).unwrap_err(), Error::Refused);
}

#[test]
fn a_fingerprint_differs_by_password_tenant_and_key_and_outlives_a_rotation() {
    let (old, new) = (file("old"), file("new"));
    let (before, after) = (ring(&[&old]), ring(&[&new, &old]));
    let password = SecretString::from("canary");
    let fingerprint = before.fingerprint(A, &password).unwrap();
    assert!(fingerprint.len() == 32 && fingerprint.bytes().all(|b| b.is_ascii_hexdigit()), "{fingerprint}");
    assert!(Keyring::is_fingerprint(&fingerprint) && !Keyring::is_fingerprint("by hand"));
    assert_eq!(before.fingerprint(A, &password).unwrap(), fingerprint);
    assert_ne!(before.fingerprint(B, &password).unwrap(), fingerprint);
    assert_ne!(before.fingerprint(A, &"canarz".into()).unwrap(), fingerprint);
    assert_ne!(after.fingerprint(A, &password).unwrap(), fingerprint);
    assert!(after.fingerprints(A, &password).contains(&fingerprint));
    assert!(!after.fingerprints(A, &"canarz".into()).contains(&fingerprint));
}

#[test]
fn a_key_file_is_refused_by_line_number_and_never_quoted() {
    let good = file("k1");
    let (text, short) = (good.expose_secret(), STANDARD.encode([7; 31]));
    let parse = |file: String| Keyring::parse(&file.into()).unwrap_err();
    assert_eq!(parse("# only a comment\n\n".into()), Error::NoKey);
    assert_eq!(parse(format!("{text}canary")), Error::BadLine(2));
    assert_eq!(parse(format!("k:{short}")), Error::BadLine(1));
    assert_eq!(parse(format!("a b:{}", text.split_once(':').unwrap().1)), Error::BadLine(1));
    assert_eq!(parse(format!("{text}{text}")), Error::Repeated(2));
}

#[test]
fn keys_show_their_ids_and_nothing_more() {
    let file = file("k1");
    assert_eq!(format!("{:?}", ring(&[&file])), "[\"k1\"]");
    assert_eq!(format!("{:?}", opening(&file)), "[\"k1\"]");
}

#[test]
fn opening_keys_open_every_sealing_keys_seals_for_their_tenant_alone() {
    let (old, new) = (file("old"), file("new"));
    let both = SecretString::from(format!("# two keys\n\n{}{}", new.expose_secret(), old.expose_secret()));
    let keys = opening(&both);
    for sealed in [&old, &new].map(|file| ring(&[file]).seal(A, &credentials()).unwrap()) {
        let opened = keys.open(A, &sealed).unwrap();
        assert_eq!((opened.username.as_str(), opened.password.expose_secret()), ("dailycare_tenant_north_a", "canary"));
        assert_eq!(keys.open(B, &sealed).unwrap_err(), Error::Refused);
    }
    let sealed = ring(&[&old]).seal(A, &credentials()).unwrap();
    assert_eq!(opening(&new).open(A, &sealed).unwrap_err(), Error::UnknownKey);
}

#[test]
fn an_opening_file_is_the_same_each_time_and_holds_no_other_derived_key() {
    let sealing = file("k1");
    let printed = Keyring::opening_file(&sealing).unwrap();
    let text = printed.expose_secret();
    assert_eq!(Keyring::opening_file(&sealing).unwrap().expose_secret(), text);
    let bytes = STANDARD.decode(text.trim().strip_prefix("open:k1:").unwrap()).unwrap();
    let line = sealing_line(sealing.expose_secret().trim()).unwrap();
    let prk = extract(&line);
    assert_eq!(bytes[..KEY_BYTES], *derive(&prk, CREDENTIALS).unwrap());
    for secret in [line.bytes.to_vec(), derive(&prk, FINGERPRINT).unwrap().to_vec(), derive(&prk, MIGRATOR).unwrap().to_vec()] {
        assert!(secret.windows(8).all(|part| bytes.windows(8).all(|other| part != other)), "the API gets more than opens");
    }
    // A thief's best attempt: use it as a sealing key.
    let forced = ring(&[&format!("k1:{}\n", STANDARD.encode(&bytes[..KEY_BYTES])).into()]);
    let password = |ring: &Keyring| ring.migrator_password(ClusterUid(Uuid::from_u128(3)), "7301").unwrap();
    assert_ne!(password(&forced).expose_secret(), password(&ring(&[&sealing])).expose_secret());
}

#[test]
fn neither_key_file_passes_for_the_other_with_or_without_its_prefix() {
    let sealing = file("k1");
    let printed = Keyring::opening_file(&sealing).unwrap();
    let (master, open) = (sealing.expose_secret().trim(), printed.expose_secret().trim());
    let opening = |text: String| OpeningKeys::parse(&text.into()).unwrap_err();
    let keyring = |text: String| Keyring::parse(&text.into()).unwrap_err();
    assert_eq!(opening(format!("# ours\n{master}")), Error::SealingKey(2));
    assert_eq!(opening(format!("{open}\n{master}")), Error::SealingKey(2), "an id that is there already hid it");
    assert_eq!(opening(master.replacen("k1", "open", 1)), Error::SealingKey(1));
    assert_eq!(keyring(format!("{master}\n{open}")), Error::OpeningKey(2));
    assert_eq!(opening(format!("open:{master}")), Error::BadOpeningLine(1));
    assert_eq!(keyring(open.replacen("open:", "", 1)), Error::BadLine(1));
    assert_eq!(opening(open.replacen("k1", "k2", 1)), Error::BadOpeningLine(1), "a key went under another's id");
    assert_eq!(opening(format!("{open}\n{open}")), Error::Repeated(2));
    assert_eq!(opening("# none\n".into()), Error::NoKey);
    let messages = Error::SealingKey(1).to_string() + &Error::OpeningKey(1).to_string();
    assert!(messages.contains("dailycare opening-keys") && messages.contains("dailycare sealing-key"), "{messages}");
}
