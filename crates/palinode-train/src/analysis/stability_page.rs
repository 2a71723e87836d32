//! The stability of networks as a page.

use super::product::Product;
use super::stability::{BlockStability, UnitStability};
use super::stability_charts::{Named, for_page};
use crate::error::Result;
use crate::report::render;
use askama::Template;

#[derive(Template)]
#[template(path = "stability.html")]
struct Page<'a> {
    title: &'static str,
    networks: Vec<String>,
    heads: [&'static str; HEADS.len()],
    rows: Vec<[String; HEADS.len()]>,
    explanations: &'a [[&'static str; 2]],
    spectrum: Vec<String>,
    bounds: Vec<String>,
    growth: Vec<String>,
}

/// The heads of the table of units.
const HEADS: [&str; 10] = [
    "network, unit",
    "h",
    "max Re λ",
    "skew in",
    "eq. 2",
    "max |hλ|",
    "bound / limit",
    "safe h",
    "σ max",
    "exponents",
];

/// What the columns mean.
const EXPLANATIONS: [[&str; 2]; 8] = [
    [
        "max Re λ",
        "The largest real part of an eigenvalue of the Jacobian of the right-hand side, over the examined blocks, and its \
         error. Where the Jacobian is skew in an inner product, the error is what rounding leaves of that; otherwise it \
         is the residual of the eigenvalue.",
    ],
    [
        "skew in",
        "The inner product in which the Jacobian is skew, which was checked at random vectors. All eigenvalues are \
         imaginary then.",
    ],
    ["eq. 2", "Whether max Re λ ≤ 0 within the error: equation 2 of the report."],
    ["max |hλ|", "The largest eigenvalue at these images, times the step size."],
    [
        "bound / limit",
        "An upper bound of |hλ| at any image, from the norms of the kernels, and the limit below which the scheme is stable.",
    ],
    ["safe h", "The step size for which the bound would be at the limit."],
    [
        "σ max",
        "The largest singular value of the derivative of the unit's output with respect to its input: the most that a small \
         change grows in the unit.",
    ],
    [
        "exponents",
        "Lyapunov exponents ln(‖δY(T)‖/‖δY(0)‖)/T of the unit: the mean of the random directions, and that of the \
         direction that grows most.",
    ],
];

/// The heads and the rows of the table of all units.
pub fn stability_table(networks: &[Named]) -> (Vec<String>, Vec<Vec<String>>) {
    let rows = rows(networks).into_iter().map(Vec::from).collect();
    (HEADS.map(str::to_owned).to_vec(), rows)
}

fn rows(networks: &[Named]) -> Vec<[String; HEADS.len()]> {
    let of = |(name, found): &Named| {
        let units = found.units.iter().enumerate();
        units.map(|(index, unit)| row(&format!("{name}, {index}"), unit)).collect::<Vec<_>>()
    };
    networks.iter().flat_map(of).collect()
}

fn row(name: &str, unit: &UnitStability) -> [String; HEADS.len()] {
    let dash = || "–".to_owned();
    let number = |value: Option<f64>| value.map_or_else(dash, |value| format!("{value:.2}"));
    let right = unit.rightmost();
    let skew_in = |product| match product {
        Product::Euclidean => "Euclidean",
        Product::Energy => "energy",
        Product::Image => "image",
    };
    let bound = unit.largest_bound().zip(unit.limit());
    [
        name.to_owned(),
        unit.step.to_string(),
        right.map_or_else(dash, BlockStability::real_part),
        right.and_then(|own| own.skew_in).map_or_else(dash, |product| skew_in(product).to_owned()),
        if unit.is_stable() { "holds" } else { "fails" }.to_owned(),
        format!("{:.2}", unit.step * unit.radius()),
        bound.map_or_else(dash, |(bound, limit)| format!("{bound:.2} / {limit}")),
        number(unit.largest_safe_step()),
        number(unit.singular_values.first().map(|sigma| sigma.value)),
        format!("{:.2}, {:.2}", unit.growth.mean_exponent(), unit.growth.worst_exponent()),
    ]
}

/// One page about the stability of networks: a table of their units, spectra, bounds and growth. It is self-contained.
///
/// # Errors
/// [`palinode::Error::Format`] where a picture or the page cannot be written.
pub fn stability_page(networks: &[Named], images: usize) -> Result<String> {
    let of = |(name, found): &Named| {
        format!(
            "{name}: Lyapunov exponent from the first unit's input to the last unit's output {:.2} (mean of {} random \
             directions), {:.2} (worst direction)",
            found.growth.mean_exponent(),
            found.growth.random.len(),
            found.growth.worst_exponent()
        )
    };
    let [spectrum, bounds, growth] = for_page(networks)?;
    let mut lines: Vec<String> = networks.iter().map(of).collect();
    lines.push(format!(
        "Linearised at {images} images, in f64, with norms by their running statistics."
    ));
    let page = Page {
        title: "Stability",
        networks: lines,
        heads: HEADS,
        rows: rows(networks),
        explanations: &EXPLANATIONS,
        spectrum,
        bounds,
        growth,
    };
    render(&page, "stability.html")
}
