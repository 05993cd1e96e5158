//! The cache: what was made once is not made again, and what differs is.

#![allow(
    clippy::unwrap_used,
    reason = "all of this is test code, also outside of the functions that are marked as tests"
)]

mod common;

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use common::{Folder, Outcome, farcall, run};
use farcall_testkit::{require_tools, tools};

const ANSWER: &str = "define i32 @answer() { ret i32 42 }\n";
const BUILD: &[&str] = &["build", "a.ll", "b.o", "c.a", "-o", "image"];

/// A folder with IR, an object, an archive and a cache.
fn setup() -> Folder {
    let folder = Folder::new();
    folder.write("a.ll", ANSWER);
    folder.compile(
        "b.o",
        "int b(void) { return 1; } int unused(void) { return 2; }",
        &[],
    );
    archive(&folder, "int c(void) { return 3; }");
    folder
}

fn archive(folder: &Folder, source: &str) {
    folder.compile("c.o", source, &[]);
    let (path, member) = (folder.file("c.a"), folder.file("c.o"));
    let _ = fs::remove_file(&path);
    tools::run(
        "ar",
        &["rcD".as_ref(), path.as_os_str(), member.as_os_str()],
    )
    .unwrap();
}

fn object(folder: &Folder, source: &str) {
    folder.compile("b.o", source, &[]);
}

/// The command with the folder's cache.
fn command(folder: &Folder, args: &[&str]) -> Command {
    let mut command = farcall(args);
    command.current_dir(folder.path());
    command.env("FARCALL_CACHE", folder.file("cache"));
    command
}

fn farcall_with_cache(folder: &Folder, args: &[&str]) -> Outcome {
    run(&mut command(folder, args))
}

#[derive(Debug, PartialEq, Eq)]
enum Came {
    Hit,
    Miss,
}

/// Where an image came from, as `--timings` says.
#[track_caller]
fn came(command: &mut Command) -> Came {
    let outcome = run(command.arg("--timings"));
    assert_eq!(
        (outcome.end, outcome.stdout.as_str()),
        (0, ""),
        "{}",
        outcome.stderr
    );
    let stages: Vec<&str> = outcome
        .stderr
        .lines()
        .map(|line| line[..10].trim_end())
        .collect();
    match stages[..] {
        ["read", "cache hit", "write"] => Came::Hit,
        ["read", "compile", "link", "cache miss", "write"] => Came::Miss,
        _ => panic!("{stages:?}"),
    }
}

#[test]
fn a_hit_gives_the_same_bytes() {
    require_tools!("clang-22", "ar");
    let folder = setup();
    assert_eq!(came(&mut command(&folder, BUILD)), Came::Miss);
    let made = fs::read(folder.file("image")).unwrap();
    fs::remove_file(folder.file("image")).unwrap();
    assert_eq!(came(&mut command(&folder, BUILD)), Came::Hit);
    assert!(fs::read(folder.file("image")).unwrap() == made);
    let without = [BUILD, &["--no-cache"]].concat();
    assert_eq!(farcall_with_cache(&folder, &without).printed(), "");
    assert!(fs::read(folder.file("image")).unwrap() == made);
}

#[test]
fn whatever_changes_the_bytes_is_a_miss() {
    require_tools!("clang-22", "ar");
    type Change = fn(&Folder);
    let nothing: Change = |_| ();
    let changes: &[(&str, &[&str], Change)] = &[
        ("IR", &[], |folder| {
            folder.write("a.ll", ANSWER.replace("42", "43"));
        }),
        ("an object", &[], |folder| {
            object(folder, "int b(void) { return 9; }");
        }),
        ("an archive", &[], |folder| {
            archive(folder, "int c(void) { return 9; }");
        }),
        ("a name", &["build", "b.o", "a2.ll", "c.a"], |folder| {
            folder.write("a2.ll", ANSWER);
        }),
        ("their order", &["build", "b.o", "a.ll", "c.a"], nothing),
        ("their number", &["build", "a.ll", "b.o"], nothing),
        ("the level", &["-O1"], nothing),
        ("another level", &["-O3"], nothing),
        ("that IR is optimized", &["--optimized-ir"], nothing),
        ("the size of parts", &["--part-size=10"], nothing),
        ("the target", &["--target=x86_64-linux-gnu"], nothing),
        ("the CPU", &["--cpu=x86-64-v3"], nothing),
        ("the host's CPU", &["--cpu=native"], nothing),
        ("a feature", &["--features=+avx2"], nothing),
        ("another feature", &["--features=+bmi"], nothing),
        (
            "absolute addresses",
            &["--allow-absolute-addresses"],
            nothing,
        ),
        ("an export", &["--export=answer"], nothing),
        ("another export", &["--export=b"], nothing),
        ("both exports", &["--export=answer", "--export=b"], nothing),
        ("a version script", &["--version-script=v"], |folder| {
            folder.write("v", "{ global: answer; local: *; };");
        }),
        (
            "the text of a version script",
            &["--version-script=v"],
            |folder| {
                folder.write("v", "{ global: b; local: *; };");
            },
        ),
        ("leaving out sections", &["--gc-sections"], nothing),
        ("asking for the CPU", &["--cpu-dispatch"], nothing),
        ("a whole archive", &["--whole-archive=c.a"], nothing),
        ("debug information", &["--debug=keep"], nothing),
        ("debug information beside it", &["--debug=split"], nothing),
    ];
    let folder = setup();
    // The cache is kept while one change after the other is made: each must differ from all before.
    assert_eq!(came(&mut command(&folder, BUILD)), Came::Miss);
    for (what, args, change) in changes {
        folder.write("a.ll", ANSWER);
        object(
            &folder,
            "int b(void) { return 1; } int unused(void) { return 2; }",
        );
        archive(&folder, "int c(void) { return 3; }");
        assert_eq!(
            came(&mut command(&folder, BUILD)),
            Came::Hit,
            "before {what}"
        );
        change(&folder);
        let args = match args.first() {
            Some(&"build") => [args, &["-o", "image"][..]].concat(),
            _ => [BUILD, args].concat(),
        };
        assert_eq!(came(&mut command(&folder, &args)), Came::Miss, "{what}");
        assert_eq!(
            came(&mut command(&folder, &args)),
            Came::Hit,
            "{what}, again"
        );
    }
}

#[test]
fn another_build_of_a_program_or_library_is_a_miss() {
    require_tools!("clang-22", "ar");
    let folder = setup();
    assert_eq!(came(&mut command(&folder, BUILD)), Came::Miss);
    // Copies are the same build.
    let (bin, lib) = (folder.file("bin"), folder.file("lib"));
    fs::create_dir(&bin).unwrap();
    fs::create_dir(&lib).unwrap();
    let original = Path::new(env!("CARGO_BIN_EXE_farcall"));
    let copied: Vec<PathBuf> = ["farcall", "farcall-compile"]
        .map(|name| {
            fs::copy(original.with_file_name(name), bin.join(name)).unwrap();
            bin.join(name)
        })
        .into();
    let build = || {
        let mut command = Command::new(&copied[0]);
        command.args(BUILD).current_dir(folder.path());
        command.env("FARCALL_CACHE", folder.file("cache"));
        let inherited = std::env::var("LD_LIBRARY_PATH").unwrap_or_default();
        command.env("LD_LIBRARY_PATH", format!("{}:{inherited}", lib.display()));
        came(&mut command)
    };
    assert_eq!(build(), Came::Hit);
    for program in &copied {
        changed(program);
        assert_eq!(build(), Came::Miss, "{}", program.display());
        assert_eq!(build(), Came::Hit, "{}", program.display());
    }
    // A library that the compiler maps, found earlier than the system's.
    let maps = Command::new(&copied[1])
        .arg("--libraries")
        .output()
        .unwrap()
        .stdout;
    let maps = String::from_utf8(maps).unwrap();
    assert!(maps.contains("libLLVM") || !maps.contains(".so"), "{maps}");
    let library = maps.split('\0').find(|path| path.contains("/libgcc_s.so"));
    let library = Path::new(library.unwrap());
    let copy = lib.join("libgcc_s.so.1");
    fs::copy(library, &copy).unwrap();
    assert_eq!(build(), Came::Hit, "a copy is the same build");
    changed(&copy);
    assert_eq!(build(), Came::Miss);
}

/// Makes another file of it that still works.
fn changed(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    bytes.push(0);
    // A new file: one that runs cannot be written to.
    let mode = path.metadata().unwrap().permissions();
    fs::remove_file(path).unwrap();
    fs::write(path, bytes).unwrap();
    fs::set_permissions(path, mode).unwrap();
}

#[test]
fn what_does_not_change_the_bytes_is_a_hit() {
    require_tools!("clang-22", "ar");
    let folder = setup();
    assert_eq!(came(&mut command(&folder, BUILD)), Came::Miss);
    let image = fs::read(folder.file("image")).unwrap();
    fs::create_dir(folder.file("elsewhere")).unwrap();
    for name in ["a.ll", "b.o", "c.a"] {
        fs::copy(folder.file(name), folder.file("elsewhere").join(name)).unwrap();
    }
    let args = [
        "build",
        "./elsewhere/a.ll",
        "elsewhere/b.o",
        "elsewhere/c.a",
        "-O2",
        "-o",
        "other",
    ];
    let mut build = command(&folder, &args);
    build
        .env("LANG", "de_DE.UTF-8")
        .env("SOURCE_DATE_EPOCH", "1");
    assert_eq!(came(&mut build), Came::Hit);
    assert!(fs::read(folder.file("other")).unwrap() == image);
    let anew = [&args[..], &["--no-cache"]].concat();
    assert_eq!(farcall_with_cache(&folder, &anew).printed(), "");
    assert!(
        fs::read(folder.file("other")).unwrap() == image,
        "made there, it is the same"
    );
}

#[test]
fn a_program_that_is_edited_runs_as_edited() {
    require_tools!("clang-22");
    let folder = Folder::new();
    for text in ["one", "two", "one"] {
        let source =
            format!("#include <stdio.h>\nint main(void) {{ puts(\"{text}\"); return 0; }}");
        folder.compile("main.bc", &source, &[]);
        for _ in 0..2 {
            assert_eq!(
                farcall_with_cache(&folder, &["run", "main.bc"]).printed(),
                format!("{text}\n")
            );
        }
    }
    let run = farcall_with_cache(&folder, &["run", "main.bc", "--timings"]);
    assert!(run.stderr.contains("cache hit"), "{}", run.stderr);
}

#[test]
fn both_files_of_a_split_image_are_kept() {
    require_tools!("clang-22");
    let folder = Folder::new();
    folder.compile("main.bc", "int main(void) { return 0; }", &["-g"]);
    let build = ["build", "main.bc", "-o", "image", "--debug=split"];
    assert_eq!(came(&mut command(&folder, &build)), Came::Miss);
    let files = ["image", "image.debug"].map(|name| {
        let bytes = fs::read(folder.file(name)).unwrap();
        fs::remove_file(folder.file(name)).unwrap();
        bytes
    });
    assert_eq!(came(&mut command(&folder, &build)), Came::Hit);
    let again = ["image", "image.debug"].map(|name| fs::read(folder.file(name)).unwrap());
    assert!(files == again);
}

#[test]
fn what_fails_fails_again() {
    let folder = Folder::new();
    folder.write("a.ll", "define i32 @answer() { ret i64 42 }\n");
    let build = ["build", "a.ll", "-o", "image"];
    let first = farcall_with_cache(&folder, &build).refused();
    assert_eq!(farcall_with_cache(&folder, &build).refused(), first);
    folder.write("a.ll", ANSWER);
    assert_eq!(farcall_with_cache(&folder, &build).printed(), "");
}

#[test]
fn the_cache_is_looked_after() {
    let folder = Folder::new();
    folder.write("a.ll", ANSWER);
    let cache = |args: &[&str]| farcall_with_cache(&folder, &[&["cache"], args].concat()).printed();
    assert_eq!(
        cache(&["path"]),
        format!("{}\n", folder.file("cache").display())
    );
    assert!(cache(&["ls"]).starts_with("0 entries"));
    for level in ["-O0", "-O1"] {
        farcall_with_cache(&folder, &["build", "a.ll", "-o", "image", level]).printed();
    }
    let listed = cache(&["ls"]);
    for part in [
        "image of a.ll -O0\n",
        "image of a.ll -O1\n",
        " s ago  ",
        " of 1024 MiB\n",
    ] {
        assert!(listed.contains(part), "no {part:?} in {listed}");
    }
    assert!(cache(&["gc"]).starts_with("0 entries removed"));
    assert!(cache(&["gc", "--size=1G"]).starts_with("0 entries removed"));
    assert!(!cache(&["gc", "--size=1"]).starts_with("0 entries removed"));
    assert!(cache(&["ls"]).starts_with("0 entries"));
    farcall_with_cache(&folder, &["build", "a.ll", "-o", "image"]).printed();
    assert!(cache(&["ls"]).contains("image of a.ll"));
    cache(&["clear"]);
    assert!(cache(&["ls"]).starts_with("0 entries"));
    // The size is a variable's.
    let mut small = command(&folder, &["build", "a.ll", "-o", "image"]);
    small.env("FARCALL_CACHE_SIZE", "1");
    assert_eq!(run(&mut small).printed(), "");
    assert!(cache(&["ls"]).starts_with("0 entries"));
    let wrong = run(command(&folder, &["cache", "ls"]).env("FARCALL_CACHE_SIZE", "big")).refused();
    assert!(
        wrong.contains("FARCALL_CACHE_SIZE=big: not a size"),
        "{wrong}"
    );
}

#[test]
fn damage_and_loss_cost_time_only() {
    let folder = Folder::new();
    folder.write("a.ll", ANSWER);
    let build = ["build", "a.ll", "-o", "image"];
    assert_eq!(came(&mut command(&folder, &build)), Came::Miss);
    let image = fs::read(folder.file("image")).unwrap();
    let entries = folder.file("cache/entries");
    for entry in fs::read_dir(&entries).unwrap() {
        let path = entry.unwrap().path();
        let mut bytes = fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(&path, bytes).unwrap();
    }
    assert_eq!(came(&mut command(&folder, &build)), Came::Miss);
    assert!(fs::read(folder.file("image")).unwrap() == image);
    assert_eq!(came(&mut command(&folder, &build)), Came::Hit);
    fs::remove_dir_all(folder.file("cache")).unwrap();
    assert_eq!(came(&mut command(&folder, &build)), Came::Miss);
    assert!(fs::read(folder.file("image")).unwrap() == image);
}

#[test]
fn without_a_cache_it_is_made() {
    let folder = Folder::new();
    folder.write("a.ll", ANSWER);
    folder.write("file", "");
    let build = ["build", "a.ll", "-o", "image"];
    // Nowhere to be; a file where the folder is to be; a file system that nobody writes to.
    let mut nowhere = command(&folder, &build);
    nowhere
        .env_remove("FARCALL_CACHE")
        .env_remove("XDG_CACHE_HOME")
        .env_remove("HOME");
    assert_eq!(run(&mut nowhere).printed(), "");
    for place in [
        folder.file("file"),
        folder.file("file/cache"),
        "/proc/farcall".into(),
    ] {
        let mut build = command(&folder, &build);
        assert_eq!(run(build.env("FARCALL_CACHE", &place)).printed(), "");
        let said = run(build.arg("-v"));
        assert_eq!(
            (said.end, said.stderr.matches("WARN").count()),
            (0, 1),
            "{}",
            said.stderr
        );
    }
}

#[test]
fn a_full_file_system_costs_time_only() {
    require_tools!("unshare", "mount");
    let folder = Folder::new();
    folder.write("a.ll", ANSWER);
    folder.write("b.ll", ANSWER.replace("42", "43"));
    let small = folder.file("small");
    fs::create_dir(&small).unwrap();
    let Some(mut command) = tools::with_file_system(&small, 1 << 20) else {
        return;
    };
    let script = r#"
        build() { "$1" build --timings -v "$2.ll" -o "$2.$3" 2> said && grep -c WARN said; grep -o 'cache hit  \|cache miss  ' said; }
        build "$1" a 1; cat /dev/zero > small/rest; build "$1" a 2; build "$1" b 1; build "$1" b 2; rm small/rest; build "$1" b 3; build "$1" b 4"#;
    command.args(["sh", "-c", script, "sh", env!("CARGO_BIN_EXE_farcall")]);
    command.env("FARCALL_CACHE", small.join("cache"));
    let outcome = run(command.current_dir(folder.path()));
    let said: Vec<_> = outcome.stdout.split_whitespace().collect();
    let [miss, hit, warned] = [
        ["0", "cache", "miss"],
        ["0", "cache", "hit"],
        ["1", "cache", "miss"],
    ];
    assert_eq!(
        said,
        [miss, hit, warned, warned, miss, hit].concat(),
        "{}",
        outcome.stderr
    );
    let image = |name: &str| fs::read(folder.file(name)).unwrap();
    assert!(image("a.1") == image("a.2"));
    assert!((2..5).all(|nth| image(&format!("b.{nth}")) == image("b.1")));
}

#[test]
fn a_directory_that_others_may_write_to_is_not_used() {
    let folder = Folder::new();
    folder.write("a.ll", ANSWER);
    let cache = folder.file("cache");
    fs::create_dir(&cache).unwrap();
    fs::set_permissions(&cache, Permissions::from_mode(0o777)).unwrap();
    let build = ["build", "a.ll", "-o", "image"];
    let warned = farcall_with_cache(&folder, &build);
    assert_eq!(
        (warned.end, warned.stderr.lines().count()),
        (0, 1),
        "{warned:?}"
    );
    assert!(
        warned
            .stderr
            .contains("others may write to it (mode 777; chmod go-w)"),
        "{warned:?}"
    );
    let refused =
        farcall_with_cache(&folder, &[&build[..], &["--cache-dir=cache"]].concat()).refused();
    assert!(refused.contains("others may write to it"), "{refused}");
    assert_eq!(
        fs::read_dir(&cache).unwrap().count(),
        2,
        "two empty folders"
    );
}

#[test]
fn processes_that_want_the_same_image_make_it_once() {
    require_tools!("clang-22");
    let folder = Folder::new();
    // Something that takes a while.
    let functions = (0..400).map(|n| {
        format!("int f{n}(int a) {{ for (int i = 0; i < a; i++) a ^= i * {n}; return a; }}\n")
    });
    folder.compile("many.bc", &functions.collect::<String>(), &[]);
    let children: Vec<_> = (0..8)
        .map(|n| {
            let output = format!("image{n}");
            let mut command = command(&folder, &["build", "many.bc", "--timings", "-o", &output]);
            command.stderr(Stdio::piped()).spawn().unwrap()
        })
        .collect();
    let said: String = (children.into_iter())
        .map(|child| String::from_utf8(child.wait_with_output().unwrap().stderr).unwrap())
        .collect();
    assert_eq!(said.matches("cache miss").count(), 1, "{said}");
    assert_eq!(said.matches("cache hit").count(), 7, "{said}");
    let image = fs::read(folder.file("image0")).unwrap();
    assert!((1..8).all(|n| fs::read(folder.file(&format!("image{n}"))).unwrap() == image));
}
