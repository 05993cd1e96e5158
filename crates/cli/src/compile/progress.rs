//! How far the compilation is, shown where someone looks at it.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// A line on standard error, if that is a terminal and no log goes there.
///
/// It is this program that shows it, and not the one that waits for it: so nothing is written
/// between an error message's lines, and that one starts faster.
pub(crate) fn progress(inputs: &[String], is_logging: bool) -> ProgressBar {
    if is_logging {
        return ProgressBar::hidden();
    }
    let (progress, template) = match inputs {
        [_] => (
            ProgressBar::new_spinner(),
            "{spinner} compiling {msg} {elapsed}",
        ),
        inputs => (
            ProgressBar::new(inputs.len() as u64),
            "{spinner} compiling [{bar:30}] {pos} of {len} files {elapsed}",
        ),
    };
    if let Ok(style) = ProgressStyle::with_template(template) {
        progress.set_style(style.progress_chars("=> "));
    }
    // After the style, since it is drawn from here on.
    if let [input] = inputs {
        progress.set_message(input.clone());
    }
    progress.enable_steady_tick(Duration::from_millis(120));
    progress
}
