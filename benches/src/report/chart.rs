//! The chart beside the table: a panel a row.

use crate::{Dot, Panel, Row, svg};

pub(super) fn chart(title: &str, rows: &[Row]) -> String {
    let panels: Vec<Panel> = rows.iter().map(panel).collect();
    svg(
        title,
        "Median of one run, p10 to p90 where the line is wider than the dot; less is better; axes are logarithmic. \
         Green: what farcall may take, its bars.",
        &panels,
    )
}

fn panel(row: &Row) -> Panel {
    let ours = Dot {
        label: "farcall",
        ours: true,
        summary: row.ours,
        limits: row.limit().into_iter().collect(),
    };
    let others = row.others.iter().map(|figure| Dot {
        label: figure.name,
        ours: false,
        summary: figure.summary,
        limits: Vec::new(),
    });
    Panel {
        title: row.title.clone(),
        unit: row.unit,
        dots: std::iter::once(ours).chain(others).collect(),
    }
}
