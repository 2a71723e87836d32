//! Gzipped tar archives of data sets.

use crate::error::{Error, Result};
use flate2::read::GzDecoder;
use std::fs::File;
use std::io::{BufReader, Read, Write};
use std::path::{Component, Path, PathBuf};

/// Unpacks the files of a gzipped tar archive into `directory`, at most `largest` bytes.
///
/// Only plain files and folders whose names stay inside `directory` are unpacked.
pub(super) fn unpack(archive: &Path, directory: &Path, largest: u64) -> Result<()> {
    let file = File::open(archive).map_err(Error::io(archive))?;
    let broken = |error: std::io::Error| Error::format(archive, format!("broken archive: {error}"));
    // One byte more than allowed, to notice an archive that is too large.
    let bytes = GzDecoder::new(BufReader::new(file)).take(largest + 1);
    let mut tar = tar::Archive::new(bytes);
    let mut total = 0_u64;
    for entry in tar.entries().map_err(broken)? {
        let mut entry = entry.map_err(broken)?;
        let name = entry.path().map_err(broken)?.into_owned();
        let inside =
            name.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
        if !inside {
            let reason = format!("entry `{}` points outside the archive", name.display());
            return Err(Error::format(archive, reason));
        }
        let target: PathBuf = directory.join(&name);
        match entry.header().entry_type() {
            tar::EntryType::Directory => {
                std::fs::create_dir_all(&target).map_err(Error::io(&target))?;
            }
            tar::EntryType::Regular => {
                total = total.saturating_add(entry.size());
                if total > largest {
                    let reason = format!("unpacks to more than {largest} bytes");
                    return Err(Error::format(archive, reason));
                }
                if let Some(parent) = target.parent() {
                    std::fs::create_dir_all(parent).map_err(Error::io(parent))?;
                }
                let part = target.with_extension("unpacking");
                let mut into = File::create(&part).map_err(Error::io(&part))?;
                copy(&mut entry, archive, &mut into, &part)?;
                std::fs::rename(&part, &target).map_err(Error::io(&target))?;
            }
            other => {
                let reason = format!("entry `{}` is {other:?}, expected a file", name.display());
                return Err(Error::format(archive, reason));
            }
        }
    }
    if total == 0 {
        return Err(Error::format(archive, "there is no file in it"));
    }
    Ok(())
}

/// Copies an entry of `archive` into the file `path`.
fn copy(entry: &mut impl Read, archive: &Path, into: &mut File, path: &Path) -> Result<()> {
    let mut buffer = vec![0; 1 << 16];
    loop {
        let count = entry
            .read(&mut buffer)
            .map_err(|error| Error::format(archive, format!("broken archive: {error}")))?;
        if count == 0 {
            return Ok(());
        }
        into.write_all(&buffer[..count]).map_err(Error::io(path))?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn archives_unpack_inside_their_directory_and_no_further() {
        let folder = tempfile::tempdir().unwrap();
        let archive = folder.path().join("a.tar.gz");
        let pack = |name: &[u8], kind: tar::EntryType, bytes: &[u8]| {
            let file = File::create(&archive).unwrap();
            let mut tar =
                tar::Builder::new(flate2::write::GzEncoder::new(file, flate2::Compression::fast()));
            let mut header = tar::Header::new_gnu();
            header.set_size(bytes.len() as u64);
            header.set_entry_type(kind);
            header.set_mode(0o644);
            // (The library itself would refuse such names.)
            header.as_old_mut().name[..name.len()].copy_from_slice(name);
            header.set_cksum();
            tar.append(&header, bytes).unwrap();
            tar.into_inner().unwrap().finish().unwrap();
        };
        let into = folder.path().join("into");
        pack(b"inner/file.bin", tar::EntryType::Regular, &[7; 1000]);
        unpack(&archive, &into, 1 << 20).unwrap();
        assert_eq!(std::fs::read(into.join("inner/file.bin")).unwrap(), [7; 1000]);
        let message = |largest| unpack(&archive, &into, largest).unwrap_err().to_string();
        assert!(message(999).contains("more than 999 bytes"), "{}", message(999));
        pack(b"../outside.bin", tar::EntryType::Regular, b"x");
        assert!(message(1 << 20).contains("points outside"));
        pack(b"/absolute.bin", tar::EntryType::Regular, b"x");
        assert!(message(1 << 20).contains("points outside"));
        pack(b"link", tar::EntryType::Symlink, b"");
        assert!(message(1 << 20).contains("expected a file"));
        let bytes = std::fs::read(&archive).unwrap();
        std::fs::write(&archive, &bytes[..bytes.len() / 2]).unwrap();
        assert!(message(1 << 20).contains("broken archive"), "{}", message(1 << 20));
        std::fs::write(&archive, b"no archive").unwrap();
        assert!(message(1 << 20).contains("broken archive"));
    }
}
