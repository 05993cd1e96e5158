//! `farcall place`: an image at a fixed address, byte by byte and running.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to panic")]

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use farcall_testkit::{require_tools, tools};

const SOURCE: &str = "
        .globl _start, table, value
_start: movl value(%rip), %edi
        call import@PLT
        movl $60, %eax
        syscall
        .data
value:  .long 40
        .long 0
table:  .quad value, import + 4
";

fn farcall(folder: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_farcall"))
        .args(args)
        .env("FARCALL_CACHE", "off")
        .current_dir(folder)
        .output()
        .unwrap()
}

/// The image of `SOURCE` for a machine, in `folder`.
fn build(folder: &Path, target: &str, source: &str) {
    std::fs::write(folder.join("a.s"), source).unwrap();
    let source = folder.join("a.s");
    let object = folder.join("a.o");
    let [source, object] = [&source, &object].map(|path| path.to_str().unwrap());
    tools::run("clang-22", &[target, "-c", source, "-o", object]).unwrap();
    let built = farcall(folder, &["build", "a.o", "-o", "a.img"]);
    assert!(
        built.status.success(),
        "{}",
        String::from_utf8_lossy(&built.stderr)
    );
}

/// What `readelf` says of a placed file.
fn readelf(folder: &Path, option: &str) -> String {
    let placed = folder.join("placed");
    let output = Command::new("readelf")
        .arg(option)
        .arg(placed)
        .output()
        .unwrap();
    assert!(
        output.stderr.is_empty(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_placed_image_has_its_final_bytes_and_runs() {
    require_tools!("clang-22", "readelf");
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    // A function of the image itself, for the import to be bound to.
    let with_ret = format!("{SOURCE}\n .text\n .globl own\nown: addl $2, %edi\n ret\n");
    build(folder, "--target=x86_64-linux-gnu", &with_ret);
    let place = |define: &str| {
        let args = [
            "place",
            "a.img",
            "--at",
            "0x10000000",
            "--define",
            define,
            "-o",
            "placed",
        ];
        farcall(folder, &args)
    };
    assert!(place("import=0x1234").status.success());
    let symbols = readelf(folder, "-sW");
    let address_of = |name: &str| {
        let line = symbols
            .lines()
            .find(|line| line.split_whitespace().last() == Some(name));
        let address = line.unwrap().split_whitespace().nth(1).unwrap();
        u64::from_str_radix(address, 16).unwrap()
    };
    assert_eq!(address_of("import"), 0x1234);
    let value = address_of("value");
    assert!((0x1000_0000..0x1400_0000).contains(&value));
    let words = readelf(folder, "-x.data");
    for word in [value, 0x1234 + 4] {
        let bytes = word
            .to_le_bytes()
            .map(|byte| format!("{byte:02x}"))
            .concat();
        let found: String = words.split_whitespace().collect();
        assert!(found.contains(&bytes), "{bytes} in {words}");
    }

    // Bound to the image's own function, it runs with no loader at all.
    assert!(
        place(&format!("import={:#x}", address_of("own")))
            .status
            .success()
    );
    let placed = folder.join("placed");
    std::fs::set_permissions(&placed, PermissionsExt::from_mode(0o755)).unwrap();
    assert_eq!(Command::new(&placed).status().unwrap().code(), Some(42));

    // The same again is the same bytes.
    let first = std::fs::read(&placed).unwrap();
    assert!(
        place(&format!("import={:#x}", address_of("own")))
            .status
            .success()
    );
    assert_eq!(std::fs::read(&placed).unwrap(), first);
}

#[test]
fn what_cannot_be_placed_says_why() {
    require_tools!("clang-22");
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    build(folder, "--target=x86_64-linux-gnu", SOURCE);
    for (at, define, expected) in [
        ("0x10000000", "other=1", "not defined: import"),
        (
            "0x10000001",
            "import=1",
            "a.img: it cannot be placed: 0x10000001: not a multiple of the image's alignment, 0x1000",
        ),
        ("0xfffffffffffff000", "import=1", "does not fit there"),
        ("here", "import=1", "invalid value"),
        ("0", "import", "it is not NAME=ADDRESS"),
    ] {
        let args = [
            "place", "a.img", "--at", at, "--define", define, "-o", "placed",
        ];
        let output = farcall(folder, &args);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(
            !output.status.success() && stderr.contains(expected),
            "{at} {define}: {stderr}"
        );
        assert!(stderr.starts_with("farcall: "), "{stderr}");
    }
}

#[test]
fn zeroes_without_bytes_in_the_file_are_in_sections_too() {
    require_tools!("clang-22", "eu-elflint");
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let source = ".globl zeroed, f\nf: ret\n .data\n .quad f\n .bss\n .zero 4096\nzeroed: .zero 65536\n .size zeroed, 65536\n";
    build(folder, "--target=x86_64-linux-gnu", source);
    let args = ["place", "a.img", "--at", "0x10000000", "-o", "placed"];
    assert!(farcall(folder, &args).status.success());
    let placed = folder.join("placed");
    tools::run("eu-elflint", &["--gnu-ld", placed.to_str().unwrap()]).unwrap();
}

#[test]
fn images_of_another_machine_are_placed_on_this_one() {
    require_tools!("clang-22", "readelf");
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let source =
        ".globl f\nf: adrp x0, v\n add x0, x0, :lo12:v\n bl import\n ret\n .data\nv: .quad f\n";
    build(folder, "--target=aarch64-linux-gnu", source);
    let args = [
        "place",
        "a.img",
        "--at",
        "0x20000000",
        "--define",
        "import=0x30000000",
        "-o",
        "placed",
    ];
    assert!(farcall(folder, &args).status.success());
    assert!(readelf(folder, "-hW").contains("AArch64"));
    let symbols = readelf(folder, "-sW");
    assert!(symbols.contains("0000000030000000"), "{symbols}");
}
