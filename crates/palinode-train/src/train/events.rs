//! Curves for TensorBoard: an event file.
//!
//! A record is its length (u64), a masked CRC-32C of the length, the data, and a masked CRC-32C of the
//! data, all little-endian; the data are `Event` messages of protocol buffers, of which three fields
//! are needed. Sources: TensorFlow's `record_writer.cc`, `event.proto` and `summary.proto`.

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
            ("loss", row.loss),
            ("accuracy", row.accuracy),
            ("learning_rate", row.learning_rate),
            ("images_per_second", row.images_per_second),
            ("peak_bytes", row.peak_bytes as f64),
        ] {
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

/// CRC-32C, rotated and shifted so that the checksum of a file of checksums stays one.
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

    fn row(epoch: usize) -> Row {
        Row {
            epoch,
            split: "train".into(),
            loss: 0.5,
            accuracy: 0.75,
            learning_rate: 0.1,
            seconds: 3.0,
            images_per_second: 100.0,
            peak_bytes: 1 << 30,
        }
    }

    /// The first record byte by byte, as TensorFlow's own writer makes it (length and checksums of
    /// `brain.Event:2` at time 0 checked with TensorBoard's reader).
    #[test]
    fn framing_and_checksums() {
        let file = event_file(0.0, &[]);
        assert_eq!(&file[..8], &24_u64.to_le_bytes());
        assert_eq!(u32::from_le_bytes([file[8], file[9], file[10], file[11]]), masked(&file[..8]));
        assert_eq!(&file[12..21], &[9, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(&file[21..23], &[0x1a, 13]);
        assert_eq!(&file[23..36], b"brain.Event:2");
        assert_eq!(file.len(), 8 + 4 + 24 + 4);
        // The CRC-32C of the standard's example, masked.
        assert_eq!(
            masked(b"123456789"),
            0xe306_9283_u32.rotate_right(15).wrapping_add(0xa282_ead8)
        );
    }

    #[test]
    fn every_number_of_every_epoch_is_there() {
        let (one, two) = (event_file(5.0, &[row(1)]), event_file(5.0, &[row(1), row(300)]));
        assert!(two.starts_with(&one), "what was written stays as it was");
        let tags = two.windows(10).filter(|window| *window == b"loss/train").count();
        assert_eq!(tags, 2);
        assert!(two.windows(4).any(|window| window == 0.75_f32.to_le_bytes()));
    }
}
