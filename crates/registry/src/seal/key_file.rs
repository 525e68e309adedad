//! The form of key files: a key a line, under an id that no other line has. Must not quote a line.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret as _, SecretString};
use zeroize::Zeroizing;

use super::Error;

/// A line's key and its name.
pub struct Line {
    /// The name that stands beside everything that it sealed.
    pub id: String,
    /// The key.
    pub bytes: Zeroizing<Vec<u8>>,
}

/// Reads every line but those that are empty or start with `#`; `read` makes of one, with its number, what it stands for.
///
/// # Errors
/// What `read` says of a line, a repeated id, or a file without a key.
pub fn lines(file: &SecretString, read: impl Fn(&str, usize) -> Result<Line, Error>) -> Result<Vec<Line>, Error> {
    let mut lines: Vec<Line> = Vec::new();
    for (number, text) in (1..).zip(file.expose_secret().lines().map(str::trim)) {
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        let line = read(text, number)?;
        if lines.iter().any(|known| known.id == line.id) {
            return Err(Error::Repeated(number));
        }
        lines.push(line);
    }
    if lines.is_empty() { Err(Error::NoKey) } else { Ok(lines) }
}

/// `key-id:base64` of so many bytes.
#[must_use]
pub fn line(text: &str, length: usize) -> Option<Line> {
    let (id, encoded) = text.split_once(':')?;
    let word = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    let bytes = Zeroizing::new(STANDARD.decode(encoded.trim()).ok()?);
    let fits = !id.is_empty() && id.len() <= 63 && id.bytes().all(word) && bytes.len() == length;
    fits.then(|| Line { id: id.to_owned(), bytes })
}
