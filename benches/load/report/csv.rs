//! One line a figure.

use std::fmt::Write as _;

use crate::figure::Figures;

pub(crate) fn csv(figures: &Figures) -> String {
    let mut text = "measurement,contender,unit,samples,p10,median,p90,error\n".to_owned();
    for figure in figures.all() {
        let (measurement, way) = (figure.measurement, figure.way);
        let numbers = match &figure.result {
            Ok(summary) => format!(
                "{},{},{},{},",
                summary.n_samples, summary.p10, summary.median, summary.p90
            ),
            Err(message) => format!("0,,,,{}", quoted(message)),
        };
        writeln!(
            text,
            "{},{},{},{numbers}",
            quoted(measurement.title()),
            quoted(way.name()),
            measurement.unit().name(),
        )
        .unwrap();
    }
    text
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\"\""))
}
