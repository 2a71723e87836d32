//! How much room a text takes. The viewer's font is not known here, so these are estimates on the wide
//! side.

/// The width of one line at a font size, in pixels.
pub(super) fn width(text: &str, size: f64) -> f64 {
    text.chars().map(|c| size * width_of(c)).sum()
}

/// Relative to the font size.
fn width_of(c: char) -> f64 {
    match c {
        'i' | 'j' | 'l' | '.' | ',' | ':' | ';' | '|' | '\'' | '!' | ' ' => 0.33,
        'f' | 'r' | 't' | '(' | ')' | '-' | '/' => 0.42,
        'm' | 'w' | 'M' | 'W' | '%' | '@' | '–' => 0.95,
        'A'..='Z' => 0.72,
        // East Asian scripts and pictographs.
        '\u{2e80}'..='\u{d7ff}' | '\u{f900}'..='\u{faff}' | '\u{ff00}'..='\u{ff60}' => 1.05,
        '\u{1f000}'..='\u{1faff}' => 1.3,
        _ => 0.62,
    }
}

/// Lines of at most `room` pixels: broken at spaces, and inside a word that is longer than a line.
pub(super) fn wrap(text: &str, size: f64, room: f64) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut line = String::new();
    for word in text.split_whitespace() {
        let joined = if line.is_empty() { word.to_owned() } else { format!("{line} {word}") };
        if width(&joined, size) <= room {
            line = joined;
            continue;
        }
        if !line.is_empty() {
            lines.push(std::mem::take(&mut line));
        }
        for c in word.chars() {
            if !line.is_empty() && width(&line, size) + size * width_of(c) > room {
                lines.push(std::mem::take(&mut line));
            }
            line.push(c);
        }
    }
    if !line.is_empty() || lines.is_empty() {
        lines.push(line);
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_fit_and_nothing_is_lost() {
        let text = "hamiltonian-74, regularized, a-name-without-a-single-space-in-it ✓ 漢字";
        let lines = wrap(text, 14.0, 120.0);
        assert!(lines.len() > 3);
        assert!(lines.iter().all(|line| width(line, 14.0) <= 120.0), "{lines:?}");
        let plain = |text: &str| text.replace(' ', "");
        assert_eq!(plain(&lines.concat()), plain(text));
        assert_eq!(wrap("", 14.0, 120.0), [""]);
        assert_eq!(wrap("wide", 14.0, 1.0), ["w", "i", "d", "e"]);
    }
}
