//! Pages about runs: `report.html` of a finished run, and a comparison of several. Each is one
//! self-contained file; the HTML is in `templates/`.

mod comparison;
mod confusion;
mod curves;
mod html;
mod mistakes;
mod numbers;
mod page;

pub use comparison::{Compared, comparison};
pub use curves::curves;
pub(crate) use html::{VERSION, render};
pub(crate) use numbers::percent;
pub use numbers::{duration, loss, thousands};
pub(crate) use page::EPOCH_COLUMNS;
pub use page::Report;
