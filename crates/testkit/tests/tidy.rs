//! What holds for the whole workspace and no compiler checks: the arrows between crates, where unsafe code may live, and
//! the size and the words of files.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use farcall_testkit::{paths::workspace_root, tools};
use serde_json::Value;

/// Each crate and what it may depend on. ARCHITECTURE.md draws these arrows; an arrow here is one that stands there, or
/// follows from two that do.
///
/// To add a crate: add its row, and its paragraph to ARCHITECTURE.md.
const ARROWS: &[(&str, &[&str])] = &[
    ("farcall-arch", &[]),
    ("farcall-image", &["farcall-arch"]),
    ("farcall-compiler", &[]),
    ("farcall-linker", &["farcall-arch", "farcall-image"]),
    ("farcall-native", &["farcall-arch"]),
    (
        "farcall-loader",
        &["farcall-arch", "farcall-image", "farcall-native"],
    ),
    ("farcall-store", &["farcall-arch", "farcall-image"]),
    ("farcall-protocol", &["farcall-arch", "farcall-image"]),
    // The loader for its tests alone.
    ("farcall-trust", &["farcall-image", "farcall-loader"]),
    // The last two for its tests alone: what it is built of is the matter of a test of its own.
    (
        "farcall-bare",
        &[
            "farcall-native",
            "farcall-protocol",
            "farcall-executor",
            "farcall-image",
        ],
    ),
    (
        "farcall-executor",
        &[
            "farcall-arch",
            "farcall-image",
            "farcall-loader",
            "farcall-protocol",
            "farcall-store",
            "farcall-trust",
        ],
    ),
    (
        "farcall-session",
        &[
            "farcall-arch",
            "farcall-compiler",
            "farcall-image",
            "farcall-linker",
            "farcall-loader",
            "farcall-store",
        ],
    ),
    (
        "farcall-ship",
        &[
            "farcall-compiler",
            "farcall-executor",
            "farcall-image",
            "farcall-session",
        ],
    ),
    ("farcall", STAGES),
    ("farcall-cli", STAGES_AND_FRONT),
    ("farcall-capi", STAGES_AND_FRONT),
    ("farcall-python", STAGES_AND_FRONT),
    // For the tests of what runs images: a feature that is off unless a test asks for it.
    (
        TESTKIT,
        &["farcall-arch", "farcall-image", "farcall-linker"],
    ),
    // Nothing uses it: it measures.
    (
        "farcall-benches",
        &[
            "farcall-compiler",
            "farcall-executor",
            "farcall-image",
            "farcall-loader",
            "farcall-session",
            "farcall-store",
            "farcall-trust",
            TESTKIT,
        ],
    ),
    // Nor this: it is what a test of the loader starts.
    ("farcall-static-host", &["farcall-image", "farcall-loader"]),
    ("xtask", &[TESTKIT]),
];

const STAGES: &[&str] = &[
    "farcall-arch",
    "farcall-compiler",
    "farcall-executor",
    "farcall-image",
    "farcall-linker",
    "farcall-loader",
    "farcall-protocol",
    "farcall-session",
    "farcall-ship",
    "farcall-store",
    "farcall-trust",
];

const STAGES_AND_FRONT: &[&str] = &[
    "farcall",
    "farcall-arch",
    "farcall-bare",
    "farcall-compiler",
    "farcall-executor",
    "farcall-image",
    "farcall-linker",
    "farcall-loader",
    "farcall-protocol",
    "farcall-session",
    "farcall-ship",
    "farcall-store",
    "farcall-trust",
];

/// Any crate may have it as a dev-dependency.
const TESTKIT: &str = "farcall-testkit";

/// Crates that may contain unsafe code, and the files of theirs that may; all other crates forbid it.
const UNSAFE: &[(&str, Unsafe)] = &[
    ("farcall-loader", Unsafe::Anywhere),
    ("farcall-capi", Unsafe::Anywhere),
    ("farcall-native", Unsafe::Anywhere),
    (
        "farcall-bare",
        Unsafe::In(&["src/call.rs", "src/memory.rs", "src/symbols.rs"]),
    ),
    (
        "farcall-executor",
        Unsafe::In(&["src/exec.rs", "src/isolation/system.rs", "src/shared.rs"]),
    ),
    ("farcall-compiler", Unsafe::In(&["src/llvm.rs"])),
    ("farcall-session", Unsafe::In(&["src/trusted.rs"])),
    (TESTKIT, Unsafe::In(&["src/net/sys.rs"])),
    ("farcall-cli", Unsafe::In(&["src/trusted.rs"])),
    ("farcall-benches", Unsafe::Anywhere),
    ("farcall-static-host", Unsafe::Anywhere),
];

enum Unsafe {
    Anywhere,
    In(&'static [&'static str]),
}

/// What an executor must not bring along: it runs where there is no LLVM and nobody looks on, and links nothing.
const NOT_IN_AN_EXECUTOR: &[&str] = &[
    "farcall-compiler",
    "farcall-linker",
    "farcall-session",
    "farcall-ship",
    "inkwell",
    "llvm-sys",
    "ratatui",
];

const MAX_LINES: usize = 700;

/// Words that stand for work not done. Split, so that this file does not contain them.
const UNFINISHED: &[&str] = &[
    concat!("to", "do!("),
    concat!("unimple", "mented!("),
    concat!("db", "g!("),
    concat!("FIX", "ME"),
];

#[test]
fn crates_depend_only_along_the_arrows() {
    let arrows: BTreeMap<&str, &[&str]> = ARROWS.iter().copied().collect();
    let packages = workspace_packages();
    let names: BTreeSet<&str> = packages.iter().map(Package::name).collect();
    let mut wrong = Vec::new();
    for package in &packages {
        let Some(allowed) = arrows.get(package.name()) else {
            wrong.push(format!(
                "{}: a crate without a row in ARROWS",
                package.name()
            ));
            continue;
        };
        for (to, kind) in package.dependencies() {
            let dev_on_testkit = kind == "dev" && to == TESTKIT;
            if names.contains(to) && !allowed.contains(&to) && !dev_on_testkit {
                wrong.push(format!(
                    "{} → {to} ({kind}): an arrow that ARCHITECTURE.md does not have",
                    package.name()
                ));
            }
        }
    }
    assert_none(&wrong);
}

#[test]
fn an_executor_is_built_without_compiler_and_linker() {
    let graph = metadata(&["--filter-platform=x86_64-unknown-linux-gnu"]);
    let reached = reached_from(&graph, "farcall-executor");
    assert!(
        reached.contains("farcall-loader"),
        "the graph is read: {reached:?}"
    );
    let wrong: Vec<_> = NOT_IN_AN_EXECUTOR
        .iter()
        .filter(|name| reached.contains(**name))
        .collect();
    assert!(wrong.is_empty(), "farcall-executor depends on {wrong:?}");
}

#[test]
fn a_bare_executor_is_built_without_a_loader() {
    let graph = metadata(&["--filter-platform=x86_64-unknown-linux-gnu"]);
    let reached = reached_from(&graph, "farcall-bare");
    assert!(reached.contains("farcall-protocol"), "{reached:?}");
    let wrong: Vec<_> = (NOT_IN_AN_EXECUTOR.iter())
        .chain(&["farcall-executor", "farcall-loader"])
        .filter(|name| reached.contains(**name))
        .collect();
    assert!(wrong.is_empty(), "farcall-bare depends on {wrong:?}");
}

#[test]
fn every_crate_takes_the_workspace_lints() {
    let wrong: Vec<String> = workspace_packages()
        .iter()
        .filter(|package| {
            let manifest = read(&package.folder().join("Cargo.toml"));
            !manifest.contains("[lints]\nworkspace = true")
        })
        .map(|package| format!("{}: no `[lints] workspace = true`", package.name()))
        .collect();
    assert_none(&wrong);
}

#[test]
fn unsafe_code_is_only_where_it_may_be() {
    let mut wrong = Vec::new();
    for package in workspace_packages() {
        let files = match UNSAFE.iter().find(|(name, _)| *name == package.name()) {
            Some((_, Unsafe::Anywhere)) => continue,
            Some((_, Unsafe::In(files))) => *files,
            None => {
                wrong.extend(
                    package
                        .roots()
                        .into_iter()
                        .filter(|root| {
                            !first_item(&read(root)).starts_with("#![forbid(unsafe_code)]")
                        })
                        .map(|root| {
                            format!(
                                "{}: does not start with #![forbid(unsafe_code)]",
                                shown(&root)
                            )
                        }),
                );
                &[]
            }
        };
        // The workspace denies unsafe code, so a file that contains some has to allow it.
        let allowed: Vec<PathBuf> = files
            .iter()
            .map(|file| package.folder().join(file))
            .collect();
        for file in files_below(&package.folder().join("src"), &["rs"]) {
            let text = read(&file);
            let opens = text.contains("allow(unsafe_code") || text.contains("expect(unsafe_code");
            if opens && !allowed.contains(&file) {
                wrong.push(format!("{}: unsafe code may not be here", shown(&file)));
            }
        }
    }
    assert_none(&wrong);
}

#[test]
fn files_are_small() {
    let wrong: Vec<String> = our_files(&["rs", "c", "cpp", "lua"])
        .iter()
        .map(|file| (file, read(file).lines().count()))
        .filter(|(_, n_lines)| *n_lines > MAX_LINES)
        .map(|(file, n_lines)| format!("{}: {n_lines} lines, more than {MAX_LINES}", shown(file)))
        .collect();
    assert_none(&wrong);
}

#[test]
fn nothing_is_left_for_later_in_the_code() {
    let mut wrong = Vec::new();
    for file in our_files(&["rs", "c", "cpp", "lua", "s", "toml", "md"]) {
        for (index, line) in read(&file).lines().enumerate() {
            for word in UNFINISHED.iter().filter(|word| line.contains(**word)) {
                wrong.push(format!("{}:{}: {word}", shown(&file), index + 1));
            }
        }
    }
    assert_none(&wrong);
}

/// A member of the workspace, as `cargo metadata` describes it.
struct Package(Value);

impl Package {
    fn name(&self) -> &str {
        self.0["name"].as_str().expect("a package has a name")
    }

    fn folder(&self) -> PathBuf {
        let manifest = Path::new(
            self.0["manifest_path"]
                .as_str()
                .expect("a package has a manifest"),
        );
        manifest
            .parent()
            .expect("a manifest lies in a folder")
            .to_owned()
    }

    /// What it depends on directly, with the kind: `normal`, `dev` or `build`.
    fn dependencies(&self) -> Vec<(&str, &str)> {
        array(&self.0["dependencies"])
            .iter()
            .map(|to| {
                (
                    to["name"].as_str().expect("a dependency has a name"),
                    to["kind"].as_str().unwrap_or("normal"),
                )
            })
            .collect()
    }

    /// The root files of its libraries and executables.
    fn roots(&self) -> Vec<PathBuf> {
        array(&self.0["targets"])
            .iter()
            .filter(|target| {
                array(&target["kind"])
                    .iter()
                    .any(|kind| !matches!(kind.as_str(), Some("test" | "example" | "bench")))
            })
            .map(|target| {
                PathBuf::from(
                    target["src_path"]
                        .as_str()
                        .expect("a target has a root file"),
                )
            })
            .collect()
    }
}

fn workspace_packages() -> Vec<Package> {
    array(&metadata(&["--no-deps"])["packages"])
        .iter()
        .cloned()
        .map(Package)
        .collect()
}

fn metadata(args: &[&str]) -> Value {
    let output = tools::cargo()
        .args(["metadata", "--format-version=1"])
        .args(args)
        .output()
        .expect("cargo starts");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).expect("cargo prints JSON")
}

/// The names of all packages that building `package` builds.
fn reached_from(graph: &Value, package: &str) -> BTreeSet<String> {
    let names: BTreeMap<&str, &str> = array(&graph["packages"])
        .iter()
        .filter_map(|package| Some((package["id"].as_str()?, package["name"].as_str()?)))
        .collect();
    let nodes: BTreeMap<&str, &Value> = array(&graph["resolve"]["nodes"])
        .iter()
        .filter_map(|node| Some((node["id"].as_str()?, node)))
        .collect();
    let mut reached = BTreeSet::new();
    let mut waiting: Vec<&str> = names
        .iter()
        .filter(|(_, name)| **name == package)
        .map(|(id, _)| *id)
        .collect();
    while let Some(id) = waiting.pop() {
        if !reached.insert(names[id].to_owned()) {
            continue;
        }
        for to in array(&nodes[id]["deps"]) {
            // A kind of null is a normal dependency.
            if array(&to["dep_kinds"])
                .iter()
                .any(|kind| kind["kind"] != "dev")
            {
                waiting.push(to["pkg"].as_str().expect("a dependency has an id"));
            }
        }
    }
    reached
}

fn array(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// What follows a file's leading comments.
fn first_item(text: &str) -> &str {
    let mut rest = text;
    while rest.starts_with("//") || rest.starts_with('\n') {
        rest = rest.split_once('\n').map_or("", |(_, rest)| rest);
    }
    rest
}

/// The files that the project consists of, by extension, without what cargo or the tests have made.
fn our_files(extensions: &[&str]) -> Vec<PathBuf> {
    files_below(workspace_root(), extensions)
}

fn files_below(folder: &Path, extensions: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut waiting = vec![folder.to_owned()];
    while let Some(folder) = waiting.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of ours can be read") {
            let entry = entry.expect("a folder of ours can be read");
            let path = entry.path();
            let name = entry.file_name();
            if entry
                .file_type()
                .expect("a file of ours has a type")
                .is_dir()
            {
                if name != "target" && !name.to_string_lossy().starts_with('.') {
                    waiting.push(path);
                }
            } else if path
                .extension()
                .is_some_and(|extension| extensions.iter().any(|wanted| extension == *wanted))
            {
                found.push(path);
            }
        }
    }
    assert!(
        !found.is_empty(),
        "{}: no file ends in {extensions:?}",
        folder.display()
    );
    found.sort();
    found
}

fn read(file: &Path) -> String {
    fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

/// The path from the root of the checkout.
fn shown(file: &Path) -> String {
    file.strip_prefix(workspace_root())
        .unwrap_or(file)
        .display()
        .to_string()
}

#[track_caller]
fn assert_none(wrong: &[String]) {
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}
