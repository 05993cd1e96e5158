//! The tests that `docs/checklist.md` names exist.
//!
//! A name in the last column of a table is a path from the repository's root or from `crates/`, a file of the folder of the
//! path before it in the same cell, or `crate::file::test`: the function `test` in `file.rs` among the crate's tests or sources.

use std::fs;
use std::path::{Path, PathBuf};

use farcall_testkit::paths::workspace_root;

#[test]
fn every_named_test_exists() {
    let root = workspace_root();
    let text = fs::read_to_string(root.join("docs/checklist.md")).unwrap();
    let mut missing = Vec::new();
    let mut n_names = 0;
    for row in text.lines().filter(|line| line.starts_with("| ")) {
        let cell = row.trim_end_matches('|').rsplit('|').next().unwrap();
        let mut folder = root.to_path_buf();
        // Text between backticks: every second part.
        for name in cell.split('`').skip(1).step_by(2) {
            n_names += 1;
            let exists = match name.contains("::") {
                true => function_exists(root, name),
                false => path(root, &folder, name).is_some_and(|path| {
                    folder = path.parent().unwrap().to_owned();
                    true
                }),
            };
            if !exists {
                missing.push(format!("{name} in: {row}"));
            }
        }
    }
    assert!(
        n_names > 40,
        "only {n_names} names: has the table another form?"
    );
    assert!(missing.is_empty(), "not found:\n{}", missing.join("\n"));
}

fn path(root: &Path, folder: &Path, name: &str) -> Option<PathBuf> {
    let places = [
        root.join(name),
        root.join("crates").join(name),
        folder.join(name),
    ];
    places.into_iter().find(|path| path.exists())
}

/// Whether there is such a test: `crate::file::test`, or `crate::file` for all of a file, which may be in a folder
/// (`crate::folder::file`).
fn function_exists(root: &Path, name: &str) -> bool {
    let parts: Vec<&str> = name.split("::").collect();
    let folder = root.join("crates").join(parts[0]);
    let text = |file: &[&str]| {
        let path = file.join("/");
        let mut files = ["tests", "src"]
            .map(|place| folder.join(place).join(format!("{path}.rs")))
            .into_iter();
        files.find_map(|path| fs::read_to_string(path).ok())
    };
    let Some((function, file)) = parts[1..].split_last() else {
        return false;
    };
    let is_test = |text: String| text.contains(&format!("fn {function}("));
    text(&parts[1..]).is_some() || text(file).is_some_and(is_test)
}
