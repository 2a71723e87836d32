//! Numbers as people read them. A number and its unit stay on one line.

/// 1751882 as 1,751,882.
pub fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// 0.93124 as 93.12 %.
pub(crate) fn percent(share: f64) -> String {
    format!("{:.2}\u{a0}%", 100.0 * share)
}

/// 173621139 as 174 MB.
pub(crate) fn megabytes(bytes: u64) -> String {
    format!("{:.0}\u{a0}MB", bytes as f64 / 1e6)
}

/// 58 s, 34 min, 3 h 20 min.
pub fn duration(seconds: f64) -> String {
    let minutes = (seconds / 60.0).round();
    match minutes {
        _ if seconds < 119.5 => format!("{seconds:.0}\u{a0}s"),
        _ if minutes < 120.0 => format!("{minutes:.0}\u{a0}min"),
        _ => format!("{:.0}\u{a0}h {:.0}\u{a0}min", (minutes / 60.0).floor(), minutes % 60.0),
    }
}

/// 0.43125 as 0.4313, 7.84e21 as it is.
pub fn loss(value: f64) -> String {
    match value.abs() < 1e5 {
        true => format!("{value:.4}"),
        false => format!("{value:.2e}"),
    }
}

/// `text` of a value, or a dash where there is none.
pub(crate) fn or_dash<T>(value: Option<T>, text: impl FnOnce(T) -> String) -> String {
    value.map_or_else(|| "–".to_owned(), text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_for_people() {
        assert_eq!(thousands(1_751_882), "1,751,882");
        assert_eq!(thousands(890), "890");
        assert_eq!(percent(0.931_24), "93.12\u{a0}%");
        assert_eq!(megabytes(173_621_139), "174\u{a0}MB");
        let durations = [0.4, 58.4, 119.6, 2040.0, 7170.0, 12_000.0]
            .map(|seconds| duration(seconds).replace('\u{a0}', " "));
        assert_eq!(durations, ["0 s", "58 s", "2 min", "34 min", "2 h 0 min", "3 h 20 min"]);
        assert_eq!((loss(0.431_25), loss(7.84e21)), ("0.4313".to_owned(), "7.84e21".to_owned()));
        assert_eq!(or_dash(None, thousands), "–");
    }
}
