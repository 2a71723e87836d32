//! How series are told apart.

/// Red, green and blue.
pub(super) type Colour = [u8; 3];

/// Each has enough contrast against white; the first ten differ most.
const COLOURS: [Colour; 20] = [
    [31, 97, 165],
    [208, 94, 27],
    [46, 125, 80],
    [140, 60, 140],
    [190, 40, 60],
    [20, 150, 170],
    [150, 120, 20],
    [224, 92, 160],
    [110, 68, 40],
    [100, 108, 118],
    [84, 160, 236],
    [214, 152, 24],
    [104, 176, 74],
    [160, 124, 226],
    [240, 122, 106],
    [10, 88, 96],
    [96, 96, 0],
    [24, 32, 112],
    [108, 12, 44],
    [24, 28, 34],
];

/// A series' colour, dash and marker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Look {
    pub(super) colour: Colour,
    pub(super) dash: Dash,
    pub(super) marker: Marker,
}

/// How a line is interrupted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dash {
    Solid,
    Dashed,
    Dotted,
    Alternating,
    /// There is no line.
    Absent,
}

/// The shape at a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Marker {
    Circle,
    Square,
    Triangle,
    Diamond,
    Cross,
    TriangleDown,
    Plus,
    /// There are no markers.
    None,
}

const DASHES: [Dash; 4] = [Dash::Solid, Dash::Dashed, Dash::Dotted, Dash::Alternating];

const MARKERS: [Marker; 7] = [
    Marker::Circle,
    Marker::Square,
    Marker::Triangle,
    Marker::Diamond,
    Marker::Cross,
    Marker::TriangleDown,
    Marker::Plus,
];

impl Look {
    /// The look of series `index`. The first 20 differ in colour; the first 140 differ in colour or
    /// marker.
    pub(crate) fn nth(index: usize) -> Self {
        Self {
            colour: COLOURS[index % COLOURS.len()],
            dash: DASHES[index / 10 % DASHES.len()],
            marker: MARKERS[index % MARKERS.len()],
        }
    }

    /// The same with a solid line.
    pub(crate) fn solid(self) -> Self {
        Self { dash: Dash::Solid, ..self }
    }

    /// The same without a line: markers alone.
    pub(crate) fn scattered(self) -> Self {
        Self { dash: Dash::Absent, ..self }
    }

    /// The same without markers: a line alone.
    pub(crate) fn unmarked(self) -> Self {
        Self { marker: Marker::None, ..self }
    }

    /// Whether its values are connected.
    pub(super) fn has_line(self) -> bool {
        self.dash != Dash::Absent
    }

    /// The same with a dashed line.
    pub(crate) fn dashed(self) -> Self {
        Self { dash: Dash::Dashed, ..self }
    }
}

impl Dash {
    /// Lengths of strokes and gaps by turns, in pixels; none for a solid line.
    pub(super) fn pattern(self) -> &'static [f64] {
        match self {
            Self::Solid | Self::Absent => &[],
            Self::Dashed => &[7.0, 4.0],
            Self::Dotted => &[2.0, 3.5],
            Self::Alternating => &[9.0, 3.5, 2.0, 3.5],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn twenty_series_have_twenty_colours() {
        for (index, a) in COLOURS.iter().enumerate() {
            for b in &COLOURS[..index] {
                let distance: i32 =
                    a.iter().zip(b).map(|(&a, &b)| (i32::from(a) - i32::from(b)).pow(2)).sum();
                assert!(distance > 40 * 40, "{a:?} and {b:?} are too close");
            }
        }
    }

    #[test]
    fn a_hundred_and_forty_series_differ() {
        let looks: Vec<Look> = (0..140).map(Look::nth).collect();
        for (index, a) in looks.iter().enumerate() {
            for b in &looks[..index] {
                // Pages that draw splits by dash tell series apart by what remains.
                assert!((a.colour, a.marker) != (b.colour, b.marker), "{a:?} twice");
            }
        }
        let dashes: Vec<Dash> = [0, 10, 20, 30].map(|index| Look::nth(index).dash).to_vec();
        assert_eq!(dashes, DASHES);
    }
}
