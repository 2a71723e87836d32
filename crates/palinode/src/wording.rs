//! Words for people: messages of parsers, names from files, and long lists.

/// What parsers call a type, and what people call it.
const WORDS: [(&str, &str); 12] = [
    ("usize", "a whole number that is not negative"),
    ("u64", "a whole number that is not negative"),
    ("u32", "a whole number that is not negative"),
    ("u16", "a whole number that is not negative"),
    ("u8", "a whole number from 0 to 255"),
    ("i64", "a whole number"),
    ("f64", "a number"),
    ("f32", "a number"),
    ("a sequence", "a list"),
    ("a boolean", "true or false"),
    ("a borrowed string", "text"),
    ("a string", "text"),
];

/// A message of serde, or of a parser on it, without the names of Rust's types.
pub fn in_words(message: &str) -> String {
    let in_a_name = |c: char| c.is_alphanumeric() || c == '_';
    let mut parts = message.split("expected ");
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        text += "expected ";
        if let Some(rest) = part.strip_prefix("struct ") {
            text += "a table";
            text += rest.trim_start_matches(in_a_name);
            continue;
        }
        let found = WORDS.iter().find(|(name, _)| {
            let rest = part.strip_prefix(name);
            rest.is_some_and(|rest| !rest.starts_with(in_a_name))
        });
        match found {
            Some((name, words)) => text += &part.replacen(name, words, 1),
            None => text += part,
        }
    }
    text
}

/// Text without control characters, which a terminal would obey: they are written as `\u{1b}`.
pub fn plain(text: &str) -> String {
    let visible = |c: char| match c.is_control() {
        true => c.escape_default().to_string(),
        false => c.to_string(),
    };
    text.chars().map(visible).collect()
}

/// The first ten of `items`, and how many follow: "and 7 `more`". `separator` stands between all of them.
pub fn first_ten(
    items: impl ExactSizeIterator<Item = String>,
    separator: &str,
    more: &str,
) -> String {
    const NAMED: usize = 10;
    let count = items.len();
    let mut named: Vec<String> = items.take(NAMED).collect();
    if count > NAMED {
        named.push(format!("and {} {more}", count - NAMED));
    }
    named.join(separator)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_obeys_nothing_in_plain_text() {
        assert_eq!(plain("a b\t\u{1b}[31mred"), "a b\\t\\u{1b}[31mred");
        assert_eq!(plain("Ångström – 猫"), "Ångström – 猫");
    }

    #[test]
    fn a_long_list_ends_with_the_number_of_the_others() {
        let list = |count: usize| first_ten((0..count).map(|n| n.to_string()), "; ", "more");
        assert_eq!(list(0), "");
        assert_eq!(list(10), "0; 1; 2; 3; 4; 5; 6; 7; 8; 9");
        assert_eq!(list(12), "0; 1; 2; 3; 4; 5; 6; 7; 8; 9; and 2 more");
    }

    #[test]
    fn types_have_names_that_people_know() {
        let cases = [
            (
                "invalid type: string \"x\", expected usize",
                "expected a whole number that is not negative",
            ),
            ("invalid type: integer `1`, expected struct OptimizerRecipe", "expected a table"),
            ("invalid type: map, expected a sequence in `a`", "expected a list in `a`"),
            ("expected u8x", "expected u8x"),
            ("expected `relu`, `tanh`", "expected `relu`, `tanh`"),
        ];
        for (message, words) in cases {
            assert!(in_words(message).ends_with(words), "{}", in_words(message));
        }
        assert_eq!(
            in_words("ä expected f64, expected i64"),
            "ä expected a number, expected a whole number"
        );
    }
}
