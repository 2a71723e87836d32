//! The stability of networks as pictures.

use super::stability::{NetworkStability, UnitStability};
use crate::chart::{Axis, Figure, Look, Panel, Point, Scale, Series};
use crate::error::Result;
use palinode::scheme::StabilityRegion;
use std::collections::BTreeSet;
use std::f64::consts::TAU;

/// A network's name and its stability.
pub type Named = (String, NetworkStability);

/// The numbers hλ of all examined blocks in the complex plane, one panel per network, with the region where its scheme is
/// stable.
///
/// # Errors
/// [`palinode::Error::Format`] where the picture cannot be written.
pub fn spectrum_chart(networks: &[Named]) -> Result<String> {
    spectrum(networks).to_svg()
}

/// The bounds of |hλ| and the measured largest |hλ| along depth, as shares of the scheme's limit.
///
/// # Errors
/// As [`spectrum_chart`].
pub fn bounds_chart(networks: &[Named]) -> Result<String> {
    bounds(networks).to_svg()
}

/// The growth of small changes from the first unit's input on.
///
/// # Errors
/// As [`spectrum_chart`].
pub fn growth_chart(networks: &[Named]) -> Result<String> {
    growth(networks).to_svg()
}

/// All pictures, for a page.
pub(super) fn for_page(networks: &[Named]) -> Result<[Vec<String>; 3]> {
    let svgs = |figure: Figure| -> Result<Vec<String>> {
        figure.for_page().iter().map(Figure::to_svg).collect()
    };
    Ok([svgs(spectrum(networks))?, svgs(bounds(networks))?, svgs(growth(networks))?])
}

fn spectrum(networks: &[Named]) -> Figure {
    let panel = |(name, found): &Named| {
        // The units of a network have the same scheme.
        let region = found.units.iter().find_map(|unit| unit.region).map(region);
        let units = found.units.iter().enumerate().map(|(index, unit)| {
            let look = Look::nth(index).scattered();
            Series::new(&format!("unit {index}"), look, eigenvalues(unit))
        });
        Panel {
            title: name.clone(),
            x: Axis { at_least: Some([-0.5, 0.5]), ..Axis::new("Re hλ") },
            y: Axis::new("Im hλ"),
            series: region.into_iter().chain(units).collect(),
        }
    };
    let mut figure = Figure::new(networks.iter().map(panel).collect());
    figure.notes.push(
        "λ: eigenvalues of the Jacobian of the right-hand side at the examined blocks. On the imaginary axis a scheme is \
         stable between the two bars; Euler is in its disc."
            .to_owned(),
    );
    figure
}

/// The numbers hλ of a unit, of those that coincide in the picture one.
fn eigenvalues(unit: &UnitStability) -> Vec<Point> {
    const CELLS: f64 = 200.0;
    let h = unit.step;
    let mut drawn = BTreeSet::new();
    let all = unit.examined.iter().flat_map(|block| &block.eigenvalues);
    let points = all.map(|value| Point::new(h * value.real, h * value.imaginary));
    points.filter(|p| drawn.insert([p.x, p.y].map(|place| (place * CELLS) as i64))).collect()
}

/// Half the length of the bars at the ends of a stable stretch of the imaginary axis.
const BAR: f64 = 0.2;

/// Where a scheme is stable.
fn region(region: StabilityRegion) -> Series {
    let grey = Look::nth(9).unmarked();
    match region {
        StabilityRegion::ImaginaryAxis(limit) => {
            // With a bar at each end, which eigenvalues on the axis do not hide.
            let ends = [-limit, limit].map(|end| [-BAR, BAR, 0.0].map(|x| Point::new(x, end)));
            let [low, [left, right, middle]] = ends;
            let points = low.into_iter().chain([middle, left, right]).collect();
            Series::new(&format!("stable: |Im hλ| < {limit}, Re λ = 0"), grey, points)
        }
        StabilityRegion::UnitDisc => {
            let at = |index: usize| {
                let angle = TAU * index as f64 / 96.0;
                Point::new(angle.cos() - 1.0, angle.sin())
            };
            Series::new("stable: |1 + hλ| ≤ 1", grey.dashed(), (0..=96).map(at).collect())
        }
    }
}

fn bounds(networks: &[Named]) -> Figure {
    let mut series = Vec::new();
    let mut last = 1.0_f64;
    for (look, (name, found)) in networks.iter().enumerate() {
        let (look, mut first) = (Look::nth(look), 0.0);
        let (mut measured, mut names) = (Vec::new(), [format!("{name}: bound")].into_iter());
        for unit in &found.units {
            let Some(limit) = unit.limit() else { continue };
            let place = |block: usize| first + block as f64 + 1.0;
            let own = unit.bounds.iter().flatten().enumerate();
            let points = own.map(|(block, bound)| Point::new(place(block), bound / limit));
            // A line for every unit, and one name for all of them.
            let line = Series::new("", look, points.collect());
            series.push(Series { name: names.next(), ..line });
            measured.extend(unit.examined.iter().map(|block| {
                Point::new(place(block.block), unit.step * block.largest.modulus() / limit)
            }));
            first += unit.blocks as f64;
        }
        last = last.max(first);
        if !measured.is_empty() {
            let name = format!("{name}: at these images");
            series.push(Series::new(&name, look.scattered(), measured));
        }
    }
    let limit = vec![Point::new(1.0, 1.0), Point::new(last, 1.0)];
    series.push(Series::new("limit of the scheme", Look::nth(9).unmarked().dashed(), limit));
    Figure::new(vec![Panel {
        title: "Largest |hλ|, as a share of the scheme's limit".to_owned(),
        x: Axis::whole("block"),
        y: Axis { from_zero: true, ..Axis::new("|hλ| / limit") },
        series,
    }])
}

fn growth(networks: &[Named]) -> Figure {
    let of = |(look, (name, found)): (usize, &Named)| {
        let growth = &found.growth;
        let line = |values: &[f64]| -> Vec<Point> {
            growth.times.iter().zip(values).map(|(&t, &value)| Point::new(t, value)).collect()
        };
        let look = Look::nth(look);
        let worst = Series::new(&format!("{name}: worst direction"), look, line(&growth.worst));
        let mut all = vec![worst];
        for (index, values) in growth.random.iter().enumerate() {
            let name = (index == 0).then(|| format!("{name}: random directions"));
            let look = look.unmarked().dashed();
            all.push(Series { name, ..Series::new("", look, line(values)) });
        }
        all
    };
    let mut figure = Figure::new(vec![Panel {
        title: "Growth of small changes".to_owned(),
        x: Axis::new("t = h · blocks"),
        y: Axis { scale: Scale::Log, ..Axis::new("‖δY(t)‖ / ‖δY(0)‖") },
        series: networks.iter().enumerate().flat_map(of).collect(),
    }]);
    figure.notes.push(
        "From the input of the first unit to the output of the last one. A jump at one t is a transition, whose pooling \
         averages four pixels."
            .to_owned(),
    );
    figure
}
