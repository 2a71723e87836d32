//! What a trained network does to small changes: the stability that the report's theory promises, measured.
//!
//! A network is linearised at real images (`palinode::network::LinearizedNetwork`), in f64, and the eigenvalues and
//! singular values of what it does are found from products with vectors alone.

mod krylov;
mod measure;
mod product;
mod robustness;
mod robustness_chart;
mod singular;
mod stability;
mod stability_charts;
mod stability_page;
mod vector;

pub use krylov::Eigenvalue;
pub use measure::{StabilityOptions, stability};
pub use product::Product;
pub use robustness::{Attack, Robustness, robustness};
pub use robustness_chart::robustness_chart;
pub use singular::SingularValue;
pub use stability::{BlockStability, Growth, NetworkStability, UnitStability};
pub use stability_charts::{bounds_chart, growth_chart, spectrum_chart};
pub use stability_page::{stability_page, stability_table};
