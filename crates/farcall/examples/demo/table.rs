//! The table of stages, printed line by line.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::Result;

/// Prints what the columns are.
pub(crate) fn columns() {
    println!("{:<36}{:>9}{:>12}", "stage", "time", "bytes");
}

/// Does one stage, with a spinner where somebody looks, and prints its line: how long it took, and how many bytes, 0 for none, of
/// `what`.
pub(crate) fn stage<T>(
    name: &str,
    what: &str,
    work: impl FnOnce() -> Result<(T, u64)>,
) -> Result<T> {
    let style = ProgressStyle::with_template("{msg} {spinner} {elapsed}")?;
    let spinner = ProgressBar::new_spinner().with_style(style);
    spinner.set_message(format!("  {name}"));
    spinner.enable_steady_tick(Duration::from_millis(100));
    let start = Instant::now();
    let result = work();
    let time = start.elapsed();
    spinner.finish_and_clear();

    let (value, bytes) = result.map_err(|error| format!("{name}: {error}"))?;
    let time = match time.as_secs_f64() {
        seconds if seconds < 1.0 => format!("{:.2} ms", seconds * 1e3),
        seconds => format!("{seconds:.2} s "),
    };
    let size = match bytes {
        0 => String::new(),
        1..1000 => format!("{bytes} B "),
        _ => format!("{} KB", bytes.div_ceil(1000)),
    };
    let line = format!("  {name:<34}{time:>12}{size:>12}  {what}");
    println!("{}", line.trim_end());
    Ok(value)
}

/// Begins a group of lines.
pub(crate) fn heading(text: &str) {
    println!("\n{text}");
}
