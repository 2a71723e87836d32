//! Named arrays, as in weight files.

use std::collections::BTreeMap;

/// An array of f32, row-major.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    /// The length of every axis.
    pub shape: Vec<usize>,
    /// The elements, as many as the shape has.
    pub values: Vec<f32>,
}

/// Arrays by name.
pub type Arrays = BTreeMap<String, Array>;
