//! Pages from the templates in `templates/`.

use crate::error::{Error, Result};
use askama::Template;

/// The version that stands at the foot of every page.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The text of a page; `name` is the file it is meant for.
///
/// # Errors
/// [`palinode::Error::Format`] where the template cannot be rendered.
pub(crate) fn render(page: &impl Template, name: &str) -> Result<String> {
    page.render().map_err(|error| Error::format(name, error.to_string()))
}
