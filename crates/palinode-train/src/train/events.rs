//! Curves for TensorBoard: event files.
//!
//! A record is its length (u64), a masked CRC-32C of the length, the data, and a masked CRC-32C of the
//! data, all little-endian. The data are `Event` messages of protocol buffers. Sources: TensorFlow's
//! `record_writer.cc`, `event.proto` and `summary.proto`.

use super::lock::host;
use super::metrics::Row;
use crate::error::{Error, Result};
use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// How names of event files begin; TensorBoard recognises them by it.
const PREFIX: &str = "events.out.tfevents.";

/// The event files of a run: scalars `loss/train`, `accuracy/validation` and so on by epoch.
///
/// TensorBoard reads files to their ends, one after the other in the order of their names, and never from
/// the beginning again. So points are appended, every process writes a file of its own, and a point that
/// stands in one of them is never written again.
#[derive(Debug, Default)]
pub(super) struct EventLog {
    directory: PathBuf,
    /// Made with the first point.
    file: Option<(File, PathBuf)>,
    /// Tag and step of every point.
    written: BTreeSet<(String, u64)>,
}

impl EventLog {
    /// The log of the run in `directory`. A file of an earlier process may end in the middle of a record.
    ///
    /// # Errors
    /// [`palinode::Error::Io`] where a file of it cannot be read.
    pub fn open(directory: &Path) -> Result<Self> {
        let mut written = BTreeSet::new();
        for name in names(directory)? {
            let bytes = palinode::file::read(&directory.join(name))?;
            written.extend(records(&bytes).filter_map(point));
        }
        Ok(Self { directory: directory.to_owned(), file: None, written })
    }

    /// Appends the points of `rows` that are not there yet.
    ///
    /// # Errors
    /// [`palinode::Error::Io`] naming the file.
    pub fn add(&mut self, rows: &[Row]) -> Result<()> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        let mut bytes = Vec::new();
        for row in rows {
            for (what, value) in [
                ("loss", Some(row.loss)),
                ("accuracy", Some(row.accuracy)),
                ("learning_rate", Some(row.learning_rate)),
                ("images_per_second", Some(row.images_per_second)),
                ("peak_bytes", row.peak_bytes.map(|bytes| bytes as f64)),
                ("drift", row.drift.largest()),
                ("gradient_drift", row.gradient_drift),
            ] {
                let Some(value) = value else { continue };
                let (tag, step) = (format!("{what}/{}", row.split), row.epoch as u64);
                if self.written.insert((tag.clone(), step)) {
                    append(&mut bytes, &event(now, &tag, step, value));
                }
            }
        }
        if bytes.is_empty() {
            return Ok(());
        }
        let (file, path) = match self.file.take() {
            Some(open) => self.file.insert(open),
            None => {
                let (path, file) = self.create(now)?;
                let mut head = Vec::new();
                append(&mut head, &version(now));
                head.append(&mut bytes);
                bytes = head;
                self.file.insert((file, path))
            }
        };
        file.write_all(&bytes).and_then(|()| file.flush()).map_err(Error::io(path))
    }

    /// A new file whose name comes after those of all others.
    fn create(&self, now: f64) -> Result<(PathBuf, File)> {
        let seconds = |name: &String| name.strip_prefix(PREFIX)?.get(..10)?.parse::<u64>().ok();
        let last = names(&self.directory)?.iter().filter_map(seconds).max();
        let begun = (now as u64).max(last.map_or(0, |last| last + 1));
        let name = format!("{PREFIX}{begun:010}.{}.{}", host(), std::process::id());
        let path = self.directory.join(name);
        let file = OpenOptions::new().append(true).create_new(true).open(&path);
        Ok((path.clone(), file.map_err(Error::io(&path))?))
    }
}

/// The names of the event files in a directory, in order.
fn names(directory: &Path) -> Result<Vec<String>> {
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Error::io(directory)(error)),
    };
    let names = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
    let mut names: Vec<String> = names.filter(|name| name.starts_with(PREFIX)).collect();
    names.sort();
    Ok(names)
}

/// The message that every file begins with.
fn version(time: f64) -> Vec<u8> {
    let mut version = number(1, &time.to_le_bytes(), DOUBLE);
    version.extend(bytes(3, b"brain.Event:2"));
    version
}

/// The message of a point.
fn event(time: f64, tag: &str, step: u64, value: f64) -> Vec<u8> {
    let mut scalar = bytes(1, tag.as_bytes());
    scalar.extend(number(2, &(value as f32).to_le_bytes(), FLOAT));
    let mut event = number(1, &time.to_le_bytes(), DOUBLE);
    event.extend(key(2, VARINT));
    event.extend(varint(step));
    event.extend(bytes(5, &bytes(1, &scalar)));
    event
}

/// The data of the whole records at the beginning of a file.
fn records(mut file: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (&length, rest) = file.split_first_chunk::<8>()?;
        let length = usize::try_from(u64::from_le_bytes(length)).ok()?;
        // A checksum of four bytes in front of the data and one behind.
        let data = rest.get(4..)?.get(..length)?;
        let sum = rest.get(4 + length..)?.first_chunk::<4>()?;
        if masked(data).to_le_bytes() != *sum {
            return None;
        }
        file = &rest[8 + length..];
        Some(data)
    })
}

/// Tag and step of a record that holds a point.
fn point(event: &[u8]) -> Option<(String, u64)> {
    let (mut step, mut tag) = (0, None);
    for (field, content) in fields(event) {
        match (field, content) {
            (2, Content::Number(number)) => step = number,
            (5, Content::Bytes(summary)) => {
                let (_, value) = fields(summary).find(|(field, _)| *field == 1)?;
                let Content::Bytes(value) = value else { return None };
                let (_, name) = fields(value).find(|(field, _)| *field == 1)?;
                let Content::Bytes(name) = name else { return None };
                tag = Some(String::from_utf8_lossy(name).into_owned());
            }
            _ => (),
        }
    }
    tag.map(|tag| (tag, step))
}

/// What a field of a message holds.
enum Content<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    Other,
}

/// The fields of a message, as far as it is well-formed.
fn fields(mut message: &[u8]) -> impl Iterator<Item = (u64, Content<'_>)> {
    fn number(message: &mut &[u8]) -> Option<u64> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let (&byte, rest) = message.split_first()?;
            *message = rest;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }
    std::iter::from_fn(move || {
        let key = number(&mut message)?;
        let mut take = |length: usize| {
            let (taken, rest) = message.split_at_checked(length)?;
            message = rest;
            Some(taken)
        };
        let content = match key & 7 {
            DOUBLE => take(8).map(|_| Content::Other)?,
            FLOAT => take(4).map(|_| Content::Other)?,
            VARINT => Content::Number(number(&mut message)?),
            BYTES => {
                let length = usize::try_from(number(&mut message)?).ok()?;
                let (content, rest) = message.split_at_checked(length)?;
                message = rest;
                Content::Bytes(content)
            }
            _ => return None,
        };
        Some((key >> 3, content))
    })
}

const VARINT: u64 = 0;
const DOUBLE: u64 = 1;
const BYTES: u64 = 2;
const FLOAT: u64 = 5;

/// A record's framing around `data`.
fn append(file: &mut Vec<u8>, data: &[u8]) {
    let length = (data.len() as u64).to_le_bytes();
    file.extend(length);
    file.extend(masked(&length).to_le_bytes());
    file.extend(data);
    file.extend(masked(data).to_le_bytes());
}

/// The masked CRC-32C of the format: rotated by 15 bits, plus a constant.
fn masked(data: &[u8]) -> u32 {
    crc32c::crc32c(data).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// A field's number and wire type.
fn key(field: u64, wire: u64) -> Vec<u8> {
    varint(field << 3 | wire)
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

fn number(field: u64, bytes: &[u8], wire: u64) -> Vec<u8> {
    let mut all = key(field, wire);
    all.extend(bytes);
    all
}

fn bytes(field: u64, content: &[u8]) -> Vec<u8> {
    let mut all = key(field, BYTES);
    all.extend(varint(content.len() as u64));
    all.extend(content);
    all
}

#[cfg(test)]
mod tests;
