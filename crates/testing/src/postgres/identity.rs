//! A system identifier of its own for a data directory that was copied. `initdb` draws one for each cluster; copies of one template would all be the same
//! server to whoever tells servers apart by it.
//!
//! Must only be used on a directory whose server was stopped in order, and that no other server was copied from since.

use std::fs;
use std::path::Path;

use aws_lc_rs::rand;

use crate::Result;
use crate::error::Doing;

/// Where the identifier stands in the header of a WAL file, which has no checksum.
const IN_WAL: usize = 24;
/// Shorter and longer ones than those of the versions that are tested are not searched for.
const CONTROL_DATA: std::ops::Range<usize> = 200..600;

/// Draws an identifier and writes it wherever the server compares it: into the control file and into the WAL that a start reads.
///
/// # Errors
/// When a file cannot be read or written, or is not what it should be.
pub(super) fn renew(data: &Path) -> Result<()> {
    let mut identifier = [0; 8];
    rand::fill(&mut identifier).map_err(std::io::Error::other).doing(|| "draw a system identifier".into())?;
    // PostgreSQL shows it as a signed number in places.
    identifier[7] &= 0x7f;
    let control = data.join("global/pg_control");
    let mut bytes = fs::read(&control).doing(|| format!("read {}", control.display()))?;
    let end = checksum_at(&bytes).ok_or_else(|| std::io::Error::other("no checksum")).doing(|| format!("read {}", control.display()))?;
    bytes[..8].copy_from_slice(&identifier);
    let checksum = crc32c(&bytes[..end]).to_ne_bytes();
    bytes[end..end + 4].copy_from_slice(&checksum);
    fs::write(&control, bytes).doing(|| format!("write {}", control.display()))?;
    let wal = data.join("pg_wal");
    for entry in fs::read_dir(&wal).doing(|| format!("read {}", wal.display()))? {
        let file = entry.doing(|| format!("read {}", wal.display()))?.path();
        if file.is_file() {
            write_at(&file, IN_WAL, &identifier).doing(|| format!("write {}", file.display()))?;
        }
    }
    Ok(())
}

fn write_at(file: &Path, offset: usize, bytes: &[u8]) -> std::io::Result<()> {
    use std::os::unix::fs::FileExt as _;
    fs::OpenOptions::new().write(true).open(file)?.write_all_at(bytes, u64::try_from(offset).unwrap_or_default())
}

/// The checksum comes right after the control data, whose length differs by version.
fn checksum_at(bytes: &[u8]) -> Option<usize> {
    CONTROL_DATA.step_by(4).find(|&end| bytes.get(end..end + 4).is_some_and(|found| found == crc32c(&bytes[..end]).to_ne_bytes()))
}

/// CRC-32C, as PostgreSQL uses it.
fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0x82f6_3b78 * (crc & 1))))
}

#[cfg(test)]
mod tests {
    use super::crc32c;

    #[test]
    fn the_checksum_is_crc_32c() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }
}
