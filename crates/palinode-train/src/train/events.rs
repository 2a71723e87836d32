//! Curves for TensorBoard: an event file.
//!
//! A record is its length (u64), a masked CRC-32C of the length, the data, and a masked CRC-32C of the
//! data, all little-endian. The data are `Event` messages of protocol buffers. Sources: TensorFlow's `record_writer.cc`, `event.proto` and `summary.proto`.

use super::metrics::Row;

/// The event file of a run: scalars `loss/train`, `accuracy/validation` and so on by epoch.
///
/// Times are seconds of training since `began`, in seconds of Unix time.
pub(super) fn event_file(began: f64, rows: &[Row]) -> Vec<u8> {
    let mut file = Vec::new();
    let mut version = number(1, &began.to_le_bytes(), DOUBLE);
    version.extend(bytes(3, b"brain.Event:2"));
    append(&mut file, &version);
    let mut seconds = 0.0;
    for row in rows {
        seconds += row.seconds;
        for (what, value) in [
            ("loss", Some(row.loss)),
            ("accuracy", Some(row.accuracy)),
            ("learning_rate", Some(row.learning_rate)),
            ("images_per_second", Some(row.images_per_second)),
            ("peak_bytes", row.peak_bytes.map(|bytes| bytes as f64)),
        ] {
            let Some(value) = value else { continue };
            let tag = format!("{what}/{}", row.split);
            let mut scalar = bytes(1, tag.as_bytes());
            scalar.extend(number(2, &(value as f32).to_le_bytes(), FLOAT));
            let mut event = number(1, &(began + seconds).to_le_bytes(), DOUBLE);
            event.extend(key(2, VARINT));
            event.extend(varint(row.epoch as u64));
            event.extend(bytes(5, &bytes(1, &scalar)));
            append(&mut file, &event);
        }
    }
    file
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
mod tests {
    use super::*;

    /// The bytes that `tests/fixtures/make_events.py` writes, which shares no code with this file.
    const EXPECTED: &[u8] = include_bytes!("../../tests/fixtures/events.tfevents");

    fn rows() -> [Row; 3] {
        let row = |epoch, split: &str, numbers: [f64; 5], peak_bytes: u64| Row {
            epoch,
            split: split.into(),
            loss: numbers[0],
            accuracy: numbers[1],
            learning_rate: numbers[2],
            seconds: numbers[3],
            images_per_second: numbers[4],
            peak_bytes: Some(peak_bytes),
        };
        [
            row(1, "train", [0.5, 0.75, 0.1, 3.0, 100.0], 1 << 30),
            row(1, "validation", [0.625, 0.7, 0.1, 0.5, 250.0], 1 << 30),
            row(300, "train", [0.125, 0.96875, 0.001, 2.5, 120.5], (1 << 30) + 4096),
        ]
    }

    #[test]
    fn the_bytes_are_those_of_another_writer() {
        let found = event_file(1_700_000_000.25, &rows());
        let difference = found.iter().zip(EXPECTED).position(|(found, expected)| found != expected);
        assert_eq!(difference, None, "the first byte that differs");
        assert_eq!(found.len(), EXPECTED.len());
    }

    #[test]
    fn more_rows_leave_what_was_written_as_it_was() {
        let few = event_file(5.0, &rows()[..1]);
        assert!(event_file(5.0, &rows()).starts_with(&few));
    }
}
