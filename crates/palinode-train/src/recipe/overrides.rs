//! Single fields of a recipe by their dotted names.

use crate::error::{Error, Result};
use serde::Serialize;
use toml::{Table, Value};

/// A field (dotted) and its value.
pub type Override = (String, Value);

/// Reads `FIELD=VALUE`. A value that is not valid TOML is taken as a string.
///
/// # Errors
/// [`palinode::Error::Config`] where there is no `=`.
pub fn parse_override(text: &str) -> Result<Override> {
    let Some((field, value)) = text.split_once('=') else {
        return Err(Error::config(text, "expected FIELD=VALUE"));
    };
    let value = value.trim();
    let parsed = toml::from_str::<Table>(&format!("value = {value}"))
        .ok()
        .filter(|table| table.len() == 1)
        .and_then(|mut table| table.remove("value"));
    if parsed.is_none() && value.parse::<f64>().is_ok() {
        let reason =
            format!("{value} is a number that is too large, or not written as TOML has it");
        return Err(Error::config(field.trim(), reason));
    }
    Ok((field.trim().to_owned(), parsed.unwrap_or_else(|| Value::String(value.to_owned()))))
}

/// Every field of `recipe` by its dotted name, with its value as text; `name` is for messages.
///
/// # Errors
/// [`palinode::Error::Config`] where a value has no TOML form (a seed beyond 2⁶³).
pub(super) fn fields_of(recipe: &impl Serialize, name: &str) -> Result<Vec<(String, String)>> {
    let failed = |error: String| Error::config(name, error);
    let text = toml::to_string(recipe).map_err(|error| failed(error.to_string()))?;
    let table = toml::from_str::<Table>(&text).map_err(|error| failed(error.to_string()))?;
    Ok(flatten("", &table))
}

/// The values of a table and of the tables inside it, by their dotted names.
pub(super) fn flatten(prefix: &str, table: &Table) -> Vec<(String, String)> {
    let inner = |(key, value): (&String, &Value)| match value {
        Value::Table(inner) => flatten(&format!("{prefix}{key}."), inner),
        Value::String(text) => vec![(format!("{prefix}{key}"), text.clone())],
        value => vec![(format!("{prefix}{key}"), value.to_string())],
    };
    table.iter().flat_map(inner).collect()
}

/// Removes `field` (dotted), if it is there.
pub(super) fn remove(table: &mut Table, field: &str) {
    let mut place = table;
    let mut parts = field.split('.').peekable();
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            place.remove(part);
            return;
        }
        match place.get_mut(part).and_then(Value::as_table_mut) {
            Some(next) => place = next,
            None => return,
        }
    }
}

/// Sets `field` (dotted) to `value`.
pub(super) fn set(table: &mut Table, field: &str, value: Value) -> Result<()> {
    let mut place = table;
    let mut parts = field.split('.').peekable();
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            place.insert(part.to_owned(), value);
            return Ok(());
        }
        let next = place.entry(part).or_insert_with(|| Value::Table(Table::new()));
        place = next.as_table_mut().ok_or_else(|| {
            Error::config(field, format!("`{part}` is a value and has no fields"))
        })?;
    }
    Ok(())
}
