//! The chart beside the table: the figures that have several contenders.

use farcall_benches::{Dot, Panel, svg};

use super::bars::bars;
use crate::figure::{Figures, Measurement as M};
use crate::way::Way;

/// Measurements that are shown together, with a title.
const PANELS: [(&str, &[M]); 12] = [
    ("Tiny module → callable, warm", &[M::TinyBytes, M::TinyFile]),
    ("SQLite → callable, warm", &[M::SqliteBytes, M::SqliteFile]),
    ("Tiny module, unload", &[M::TinyUnload]),
    ("SQLite, unload", &[M::SqliteUnload]),
    ("Lookup of an export, tiny module", &[M::TinyLookup]),
    ("Lookup of an export, SQLite", &[M::SqliteLookup]),
    ("1,000 tiny modules live: RSS each", &[M::LiveRss]),
    ("1,000 tiny modules live: mappings each", &[M::LiveMappings]),
    (
        "SQLite → callable, first in a process",
        &[M::SqliteBytesFirst, M::SqliteFileFirst],
    ),
    ("50 processes with SQLite: PSS each", &[M::SharedPss]),
    (
        "C++ throw and catch, 10,000 modules loaded",
        &[M::ThrowWithMany],
    ),
    (
        "Tiny module → callable, 100,000 modules loaded",
        &[M::LoadAt100000],
    ),
];

pub(crate) fn chart(figures: &Figures) -> String {
    let panels: Vec<Panel> = PANELS
        .iter()
        .map(|(title, measurements)| panel(figures, title, measurements))
        .filter(|panel| !panel.dots.is_empty())
        .collect();
    svg(
        "farcall's loader beside everything else that loads code",
        "Median of one run, p10 to p90 where the line is wider than the dot; less is better; axes are logarithmic. \
         Green: what farcall may take, its bars.",
        &panels,
    )
}

fn panel(figures: &Figures, title: &str, measurements: &[M]) -> Panel {
    let mut dots = Vec::new();
    for way in Way::ALL {
        for &measurement in measurements {
            let Some(figure) = figures.get(measurement, way) else {
                continue;
            };
            let Ok(summary) = figure.result else {
                continue;
            };
            let bars = bars(figures, measurement).into_iter();
            dots.push(Dot {
                label: way.name(),
                ours: way.is_ours(),
                summary,
                limits: bars
                    .filter(|bar| bar.way == way)
                    .filter_map(|bar| bar.limit())
                    .collect(),
            });
        }
    }
    Panel {
        title: (*title).to_owned(),
        unit: measurements[0].unit(),
        dots,
    }
}
