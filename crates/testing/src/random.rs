//! Credentials of throw-away servers.
//!
//! Must not be used for anything that lasts.

use aws_lc_rs::rand;

use super::Result;
use super::error::Doing;

/// Thirty-two random hexadecimal digits: nothing that a URL, a CSV file or SQL would have to quote.
///
/// # Errors
/// When the system has no randomness.
pub(super) fn random_token() -> Result<String> {
    let mut bytes = [0; 16];
    rand::fill(&mut bytes).map_err(std::io::Error::other).doing(|| "draw a random token".into())?;
    Ok(format!("{:032x}", u128::from_ne_bytes(bytes)))
}
