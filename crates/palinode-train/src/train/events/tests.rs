//! What event files hold.

use super::*;

/// The bytes that `tests/fixtures/make_events.py` writes, which shares no code with this file.
const EXPECTED: &[u8] = include_bytes!("../../../tests/fixtures/events.tfevents");

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
        ..Row::default()
    };
    [
        row(1, "train", [0.5, 0.75, 0.1, 3.0, 100.0], 1 << 30),
        row(1, "validation", [0.625, 0.7, 0.1, 0.5, 250.0], 1 << 30),
        row(300, "train", [0.125, 0.96875, 0.001, 2.5, 120.5], (1 << 30) + 4096),
    ]
}

/// The points of a row.
fn points(row: &Row) -> [(String, f64); 5] {
    [
        ("loss", row.loss),
        ("accuracy", row.accuracy),
        ("learning_rate", row.learning_rate),
        ("images_per_second", row.images_per_second),
        ("peak_bytes", row.peak_bytes.unwrap() as f64),
    ]
    .map(|(what, value)| (format!("{what}/{}", row.split), value))
}

#[test]
fn the_bytes_are_those_of_another_writer() {
    let mut time = 1_700_000_000.25;
    let mut found = Vec::new();
    append(&mut found, &version(time));
    for row in rows() {
        time += row.seconds;
        for (tag, value) in points(&row) {
            append(&mut found, &event(time, &tag, row.epoch as u64, value));
        }
    }
    let difference = found.iter().zip(EXPECTED).position(|(found, expected)| found != expected);
    assert_eq!(difference, None, "the first byte that differs");
    assert_eq!(found.len(), EXPECTED.len());
}

#[test]
fn points_are_found_again_as_far_as_a_file_is_whole() {
    let all: Vec<(String, u64)> = records(EXPECTED).filter_map(point).collect();
    let expected = rows().map(|row| points(&row).map(|(tag, _)| (tag, row.epoch as u64)));
    assert_eq!(all, expected.concat());
    for end in 0..EXPECTED.len() {
        let found: Vec<_> = records(&EXPECTED[..end]).filter_map(point).collect();
        assert!(all.starts_with(&found) && found.len() < all.len());
        let mut damaged = EXPECTED.to_vec();
        damaged[end] ^= 0x40;
        // Whatever the bytes are, it ends.
        records(&damaged).filter_map(point).count();
    }
}

#[test]
fn no_point_stands_twice_and_every_process_has_a_file_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let found = || -> Vec<(String, u64)> {
        let files = names(folder.path()).unwrap();
        let files: Vec<_> =
            files.iter().map(|name| std::fs::read(folder.path().join(name)).unwrap()).collect();
        files.iter().flat_map(|file| records(file).filter_map(point)).collect()
    };
    let mut first = EventLog::open(folder.path()).unwrap();
    first.add(&rows()[..1]).unwrap();
    let begun = std::fs::read(folder.path().join(&names(folder.path()).unwrap()[0])).unwrap();
    first.add(&rows()[..2]).unwrap();
    let path = folder.path().join(&names(folder.path()).unwrap()[0]);
    let file = std::fs::read(&path).unwrap();
    assert!(file.starts_with(&begun), "points are appended");
    // Killed in the middle of a record.
    std::fs::write(&path, &file[..file.len() - 3]).unwrap();
    let mut second = EventLog::open(folder.path()).unwrap();
    second.add(&rows()).unwrap();
    second.add(&rows()).unwrap();
    assert_eq!(names(folder.path()).unwrap().len(), 2);
    let expected = rows().map(|row| points(&row).map(|(tag, _)| (tag, row.epoch as u64)));
    assert_eq!(found(), expected.concat());
    EventLog::open(folder.path()).unwrap().add(&rows()).unwrap();
    assert_eq!(names(folder.path()).unwrap().len(), 2, "nothing new, no new file");
}
