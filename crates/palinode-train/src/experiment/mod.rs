//! Experiments: recipes × subsets × seeds, run one after the other, and the tables and figures that
//! come of them.
//!
//! An experiment is a TOML file ([`Plan`]); what it writes lies in one directory: the runs, `table.md`,
//! `table.csv`, the figures and `index.html`, all of them anew after every finished run, so that they
//! are complete for the rows they show.

mod figures;
mod page;
mod plan;
mod run;
mod table;

pub use page::comparison;
pub use plan::{EXPERIMENT_VERSION, Plan, RowPlan, Trial};
pub use run::{Finished, run};
pub use table::{Line, lines};
