//! Settings of a recipe's text that an override makes meaningless.

use super::overrides::Override;
use toml::{Table, Value};

/// What belongs to a named model.
const OF_MODEL: &[&str] = &[
    "model.blocks",
    "model.transitions",
    "model.widths",
    "model.scheme",
    "model.residual",
    "model.layout",
    "model.step",
    "model.bottleneck",
    "model.groups",
    "model.block_norm",
    "model.options",
    "training.mode",
    "training.state",
];

/// What belongs to a variant.
const OF_VARIANT: &[&str] = &["model.residual", "model.dropout", "model.stem.norm"];

/// What also belongs to the variant `inception-large`.
const OF_LARGE: &[&str] = &["model.blocks", "model.widths"];

/// What belongs to a scheme.
const OF_SCHEME: &[&str] = &["model.residual", "model.options", "training.mode", "training.state"];

/// What belongs to a data set.
const OF_DATA: &[&str] = &["data.dir", "data.fold"];

/// The fields of the recipe `table` that give way to `overrides`: those that belong to the model, the variant,
/// the scheme or the data set that an override replaces.
///
/// So a recipe in which every choice is written out, like the `config.toml` of a run, can be begun from
/// like a short one.
pub(super) fn replaced_fields(table: &Table, overrides: &[Override]) -> Vec<&'static str> {
    let given = |name: &str| overrides.iter().find(|(field, _)| field == name).map(|o| &o.1);
    let there = |section: &str, field: &str| table.get(section).and_then(|table| table.get(field));
    let large = |value: Option<&Value>| value.and_then(Value::as_str) == Some("inception-large");
    let mut fields = Vec::new();
    let changes = |section: &str, field: &str| {
        given(&format!("{section}.{field}")).filter(|value| Some(*value) != there(section, field))
    };
    if changes("model", "name").is_some() {
        fields.extend(OF_MODEL);
    }
    if let Some(variant) = changes("model", "variant") {
        fields.extend(OF_VARIANT);
        if large(Some(variant)) || large(there("model", "variant")) {
            fields.extend(OF_LARGE);
        }
    }
    if changes("model", "scheme").is_some() {
        fields.extend(OF_SCHEME);
    }
    if changes("data", "name").is_some() {
        fields.extend(OF_DATA);
    }
    fields
}
