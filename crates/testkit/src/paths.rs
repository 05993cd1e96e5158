//! Where things are in a checkout.

use std::path::{Path, PathBuf};

/// The root of the checkout, which holds the workspace manifest.
///
/// # Panics
///
/// Never in a checkout: this crate's manifest lies two folders below the root.
#[must_use]
pub fn workspace_root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .expect("crates/testkit lies two folders below the root")
}

/// `testdata/programs/<name>`: one of our own test programs.
#[must_use]
pub fn program_source(name: &str) -> PathBuf {
    workspace_root().join("testdata/programs").join(name)
}

/// Cargo's target folder: `CARGO_TARGET_DIR` where it is set, else `target` in the checkout.
#[must_use]
pub fn target_dir() -> PathBuf {
    let named = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
    // A relative name counts from the root, where xtask runs cargo, and not from the folder a test happens to run in.
    workspace_root().join(named)
}
