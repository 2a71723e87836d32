//! Experiments: recipes × subsets × seeds, run one after the other, and the tables and figures of their
//! results.
//!
//! An experiment is a TOML file ([`Plan`]). All its results are in one directory: the runs, `table.md`,
//! `table.csv`, the figures and `index.html`. All but the runs are written again after every finished
//! run, so they are always complete for the rows they show.

mod claims;
mod figures;
mod finished;
mod page;
mod plan;
mod record;
mod results;
mod run;
mod table;

pub use figures::{accuracy_by_parameters, accuracy_by_subset};
pub use finished::Finished;
pub use plan::{EXPERIMENT_VERSION, Plan, RowPlan, Trial};
pub use record::{TableRecord, read_table};
pub use run::run;
pub use table::{TableRow, table_rows};
