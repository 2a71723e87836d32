//! What a chart shows.

use super::look::Look;

/// One picture: panels under a common legend.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Figure {
    /// In pixels.
    pub(crate) width: f64,
    /// Two to a row; a last one without a neighbour takes the whole row.
    pub(crate) panels: Vec<Panel>,
    /// Sentences under the panels.
    pub(crate) notes: Vec<String>,
}

/// A plot with its own axes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Panel {
    /// Stands above the plot.
    pub(crate) title: String,
    /// The horizontal axis.
    pub(crate) x: Axis,
    /// The vertical axis.
    pub(crate) y: Axis,
    /// In the order of the legend; later ones are drawn over earlier ones.
    pub(crate) series: Vec<Series>,
}

/// How values become positions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scale {
    /// Equal differences are equal distances.
    Linear,
    /// Equal ratios are equal distances. An axis with a value that is not positive, or beyond 10^±100, is
    /// linear instead.
    Log,
}

/// One axis of a panel.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Axis {
    /// What it measures, with the unit.
    pub(crate) name: String,
    /// Linear or logarithmic.
    pub(crate) scale: Scale,
    /// Whether only whole numbers have a meaning, as for epochs.
    pub(crate) whole: bool,
    /// Whether it begins at zero, wherever the values begin.
    pub(crate) from_zero: bool,
    /// What it shows at least, wherever the values lie.
    pub(crate) at_least: Option<[f64; 2]>,
}

/// A curve, or points that belong together.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Series {
    /// What the legend calls it; `None` keeps it out of the legend.
    pub(crate) name: Option<String>,
    /// Colour, dash and marker.
    pub(crate) look: Look,
    /// In the order in which the line connects them.
    pub(crate) points: Vec<Point>,
    /// A point that is marked.
    pub(crate) ring: Option<Ring>,
}

/// A value of a series.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Point {
    pub(crate) x: f64,
    pub(crate) y: f64,
    /// Half the length of its error bar.
    pub(crate) deviation: Option<f64>,
}

/// A ring around the point of a series at `x`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Ring {
    pub(crate) x: f64,
    /// What the legend calls it.
    pub(crate) name: String,
}

impl Figure {
    /// Panels in a picture of the usual width of a file.
    pub(crate) fn new(panels: Vec<Panel>) -> Self {
        let width = if panels.len() > 1 { 960.0 } else { 760.0 };
        Self { width, panels, notes: Vec::new() }
    }

    /// Every panel as a picture of its own with a width that suits pages, also on a small screen.
    pub(crate) fn for_page(&self) -> Vec<Self> {
        let width = if self.panels.len() > 1 { 480.0 } else { 560.0 };
        let panels = self.panels.iter().cloned();
        panels.map(|panel| Self { width, panels: vec![panel], notes: self.notes.clone() }).collect()
    }
}

impl Axis {
    /// A linear axis.
    pub(crate) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            scale: Scale::Linear,
            whole: false,
            from_zero: false,
            at_least: None,
        }
    }

    /// An axis of whole numbers.
    pub(crate) fn whole(name: &str) -> Self {
        Self { whole: true, ..Self::new(name) }
    }
}

impl Series {
    /// A series that the legend calls `name`, without a mark.
    pub(crate) fn new(name: &str, look: Look, points: Vec<Point>) -> Self {
        Self { name: Some(name.to_owned()), look, points, ring: None }
    }
}

impl Point {
    /// A value without an error bar.
    pub(crate) fn new(x: f64, y: f64) -> Self {
        Self { x, y, deviation: None }
    }
}
