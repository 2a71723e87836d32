//! Messages of parsers in words for people.

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
    let mut parts = message.split("expected ");
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        text += "expected ";
        if let Some(rest) = part.strip_prefix("struct ") {
            let name = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').count();
            text += "a table";
            text += &rest[name..];
            continue;
        }
        let found = WORDS.iter().find(|(name, _)| {
            let rest = part.strip_prefix(name);
            rest.is_some_and(|rest| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_'))
        });
        match found {
            Some((name, words)) => text += &part.replacen(name, words, 1),
            None => text += part,
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

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
