//! The same inputs give the same image, whoever builds it, where and when.

#![allow(
    clippy::unwrap_used,
    reason = "all of this is test code, also outside of the functions that are marked as tests"
)]

mod common;

use common::{Folder, farcall, run};
use farcall_testkit::{Level, real, require_tools};

#[test]
fn an_image_depends_on_its_inputs_only() {
    require_tools!("clang-22");
    let bitcode = real::lua().unwrap().bitcode(Level::O1).unwrap();
    // Each process has other addresses; these have another folder, environment and clock as well.
    let build = |variables: &[(&str, &str)]| {
        let folder = Folder::new();
        let image = folder.file("image");
        let mut command = farcall(["build", "-o"]);
        command
            .arg(&image)
            .args(&bitcode)
            .current_dir(folder.path());
        command.envs(variables.iter().copied());
        assert_eq!(run(&mut command).printed(), "");
        std::fs::read(image).unwrap()
    };
    let first = build(&[]);
    let padding = "x".repeat(5000);
    assert!(first == build(&[("LANG", "de_DE.UTF-8"), ("PADDING", &padding)]));
    assert!(
        first
            == build(&[
                ("SOURCE_DATE_EPOCH", "1"),
                ("TZ", "Asia/Tokyo"),
                ("HOME", "/")
            ])
    );
}
