//! Dots on logarithmic axes, as SVG.

use std::fmt::Write as _;

use crate::{Summary, Unit};

/// Dots for several contenders, on an axis of their own.
#[derive(Debug)]
pub struct Panel {
    /// What they are figures of.
    pub title: String,
    /// What these count.
    pub unit: Unit,
    /// From top to bottom.
    pub dots: Vec<Dot>,
}

/// One contender's figure.
#[derive(Debug)]
pub struct Dot {
    /// The contender.
    pub label: &'static str,
    /// Whether it is what the chart is about.
    pub ours: bool,
    /// The figure.
    pub summary: Summary,
    /// The largest values that a bar allows.
    pub limits: Vec<f64>,
}

const WIDTH: f64 = 1080.0;
const N_COLUMNS: usize = 2;
const MARGIN: f64 = 24.0;
const PANEL_WIDTH: f64 = (WIDTH - 3.0 * MARGIN) / 2.0;
const LABEL_WIDTH: f64 = 116.0;
/// Right of the axis, for the values.
const VALUE_WIDTH: f64 = 70.0;
const ROW_HEIGHT: f64 = 21.0;
const TITLE_HEIGHT: f64 = 28.0;
const AXIS_HEIGHT: f64 = 26.0;
const HEADER_HEIGHT: f64 = 76.0;
/// What an axis cannot show is put at its left end.
const SMALLEST: f64 = 1e-3;

const OURS: &str = "#c2410c";
const THEIRS: &str = "#475569";
const LIMIT: &str = "#15803d";
const GRID: &str = "#e2e8f0";
const INK: &str = "#0f172a";
const FAINT: &str = "#64748b";

/// All panels, two beside each other.
#[must_use]
pub fn svg(title: &str, subtitle: &str, panels: &[Panel]) -> String {
    let rows: Vec<&[Panel]> = panels.chunks(N_COLUMNS).collect();
    let heights: Vec<f64> = rows
        .iter()
        .map(|row| row.iter().map(height).fold(0.0, f64::max))
        .collect();
    let total = HEADER_HEIGHT + heights.iter().map(|each| each + MARGIN).sum::<f64>();
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {total}\" width=\"{WIDTH}\" height=\"{total}\" \
         font-family=\"system-ui, 'DejaVu Sans', sans-serif\" font-size=\"12\">\n\
         <rect width=\"{WIDTH}\" height=\"{total}\" fill=\"#ffffff\"/>\n"
    );
    text(
        &mut out,
        (MARGIN, 34.0),
        "start",
        INK,
        "font-size=\"19\" font-weight=\"600\"",
        title,
    );
    text(&mut out, (MARGIN, 55.0), "start", FAINT, "", subtitle);
    let mut top = HEADER_HEIGHT;
    for (row, height) in rows.into_iter().zip(heights) {
        for (panel, left) in row.iter().zip([MARGIN, 2.0 * MARGIN + PANEL_WIDTH]) {
            draw(&mut out, panel, left, top);
        }
        top += height + MARGIN;
    }
    out + "</svg>\n"
}

fn height(panel: &Panel) -> f64 {
    TITLE_HEIGHT + ROW_HEIGHT * panel.dots.len() as f64 + AXIS_HEIGHT
}

fn draw(out: &mut String, panel: &Panel, left: f64, top: f64) {
    text(
        out,
        (left, top + 16.0),
        "start",
        INK,
        "font-size=\"13.5\" font-weight=\"600\"",
        &panel.title,
    );
    let axis = Axis::of(panel, left + LABEL_WIDTH);
    let (first, last) = (
        top + TITLE_HEIGHT,
        top + TITLE_HEIGHT + ROW_HEIGHT * panel.dots.len() as f64,
    );
    for decade in axis.decades() {
        let x = axis.x(decade);
        line(out, (x, first), (x, last), GRID, "1");
        text(
            out,
            (x, last + 15.0),
            "middle",
            FAINT,
            "font-size=\"11\"",
            &tick(panel.unit, decade),
        );
    }
    for (index, dot) in panel.dots.iter().enumerate() {
        let y = first + ROW_HEIGHT * (index as f64 + 0.5);
        let colour = if dot.ours { OURS } else { THEIRS };
        let weight = if dot.ours { "font-weight=\"600\"" } else { "" };
        text(
            out,
            (left + LABEL_WIDTH - 12.0, y + 4.0),
            "end",
            colour,
            weight,
            dot.label,
        );
        for limit in &dot.limits {
            let x = axis.x(*limit);
            line(out, (x, y - 8.0), (x, y + 8.0), LIMIT, "3");
        }
        let Summary {
            p10, median, p90, ..
        } = dot.summary;
        line(out, (axis.x(p10), y), (axis.x(p90), y), colour, "2.5");
        writeln!(
            out,
            "<circle cx=\"{:.1}\" cy=\"{y:.1}\" r=\"4.5\" fill=\"{colour}\"/>",
            axis.x(median)
        )
        .expect("a string takes everything");
        let end = left + PANEL_WIDTH;
        text(
            out,
            (end, y + 4.0),
            "end",
            colour,
            weight,
            &panel.unit.show(median),
        );
    }
}

/// Decades from left to right.
struct Axis {
    left: f64,
    from: i32,
    to: i32,
}

impl Axis {
    fn of(panel: &Panel, left: f64) -> Self {
        let values = panel.dots.iter().flat_map(|dot| {
            let Summary { p10, p90, .. } = dot.summary;
            dot.limits.iter().copied().chain([p10, p90])
        });
        let values: Vec<f64> = values.map(|value| value.max(SMALLEST).log10()).collect();
        let least = values.iter().copied().fold(f64::INFINITY, f64::min);
        let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the logarithm of what a machine can measure"
        )]
        let (from, to) = (least.floor() as i32, most.ceil() as i32);
        Self {
            left,
            from,
            to: to.max(from + 1),
        }
    }

    fn decades(&self) -> impl Iterator<Item = f64> {
        (self.from..=self.to).map(|power| 10_f64.powi(power))
    }

    fn x(&self, value: f64) -> f64 {
        let width = PANEL_WIDTH - LABEL_WIDTH - VALUE_WIDTH;
        let span = f64::from(self.to - self.from);
        let position = (value.max(SMALLEST).log10() - f64::from(self.from)) / span;
        self.left + width * position.max(0.0)
    }
}

/// A decade as a label: one digit, a unit.
fn tick(unit: Unit, decade: f64) -> String {
    let label = unit.show(decade);
    match label.split_once('.') {
        // `1.00 µs` is `1 µs`, and `0.010` is `0.01`.
        Some((whole, rest)) => {
            let (digits, name) = rest.split_at(rest.find(' ').unwrap_or(rest.len()));
            let digits = digits.trim_end_matches('0');
            let point = if digits.is_empty() { "" } else { "." };
            format!("{whole}{point}{digits}{name}")
        }
        None => label,
    }
}

fn line(out: &mut String, from: (f64, f64), to: (f64, f64), colour: &str, width: &str) {
    writeln!(
        out,
        "<line x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\" stroke=\"{colour}\" stroke-width=\"{width}\"/>",
        from.0, from.1, to.0, to.1
    )
    .expect("a string takes everything");
}

fn text(
    out: &mut String,
    at: (f64, f64),
    anchor: &str,
    colour: &str,
    attributes: &str,
    content: &str,
) {
    let content = content.replace('&', "&amp;").replace('<', "&lt;");
    writeln!(
        out,
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\" fill=\"{colour}\" {attributes}>{content}</text>",
        at.0, at.1
    )
    .expect("a string takes everything");
}
