//! Images that require more of the CPU than others.

use farcall_image::Image;
use farcall_loader::{Error, Loader, cpu};
use farcall_testkit::{Linker, require_tools};

use crate::common::{call, image, load_all, load_bytes};

/// A source whose object says that it is for `cpu` and needs `features`.
fn made_for(cpu: &str, features: &str, function: &str) -> String {
    format!(
        r#"__asm__(".pushsection .farcall.target,\"e\",@progbits\n"
            ".asciz \"{cpu}\"\n.asciz \"{features}\"\n.popsection");
        int {function}(void) {{ return 7; }}"#
    )
}

/// Whether Linux says that the processor has the feature of this name.
fn has(flag: &str) -> bool {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap();
    let flags = text.lines().find(|line| line.starts_with("flags")).unwrap();
    flags.split_whitespace().any(|word| word == flag)
}

/// LLVM's and Linux's names of features of which no processor has all: some were only AMD's, some are only Intel's.
const RARE: [(&str, &str); 6] = [
    ("amx-tile", "amx_tile"),
    ("avx512vp2intersect", "avx512_vp2intersect"),
    ("fma4", "fma4"),
    ("lwp", "lwp"),
    ("sse4a", "sse4a"),
    ("tbm", "tbm"),
];

fn rare() -> String {
    RARE.map(|(name, _)| name).join(",")
}

#[test]
fn all_that_this_cpu_lacks_is_named() {
    require_tools!("clang-22");
    let lacked: Vec<_> = RARE.iter().filter(|(_, flag)| !has(flag)).collect();
    let lacked: Vec<_> = lacked.iter().map(|(name, _)| *name).collect();
    assert!(!lacked.is_empty());
    // One that every machine of today has is not named.
    let features = format!("{},sse3", rare());
    let bytes = image("rare.c", &made_for("chimera", &features, "f"));
    let error = load_bytes(&Loader::new(), "rare", &bytes, &[]).unwrap_err();
    let level = cpu::level();
    let message = format!(
        "rare: compiled for chimera: this CPU lacks {}; compile it for what this CPU has: --cpu {level}, \
         or its source anew where IR names features or it is an object",
        lacked.join(", ")
    );
    assert_eq!(error.to_string(), message);
    let Error::Cpu {
        missing,
        compiled_for,
        ..
    } = error
    else {
        panic!("{error:?}")
    };
    let parsed = Image::parse(&bytes).unwrap();
    assert_eq!(
        (missing.features, compiled_for),
        (lacked, vec!["chimera".to_owned()])
    );
    assert_eq!(cpu::rank(&parsed), None);
    // The next one loads.
    let fine = image("fine.c", &made_for("x86-64", "", "f"));
    assert_eq!(
        call(
            &load_bytes(&Loader::new(), "fine", &fine, &[]).unwrap(),
            "f"
        ),
        7
    );
}

#[test]
fn one_of_images_loaded_together() {
    require_tools!("clang-22");
    let one = image("one.c", &made_for("x86-64", "", "f"));
    let other = image("other.c", &made_for("chimera", &rare(), "g"));
    let images = [("one", one.as_slice()), ("other", &other)];
    let error = load_all(&Loader::new(), &images, &[]).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("other: compiled for chimera: this CPU lacks "),
        "{error}"
    );
    load_all(&Loader::new(), &images[..1], &[]).unwrap();
}

#[test]
fn features_that_are_newer_than_the_loader() {
    require_tools!("clang-22");
    let bytes = image("new.c", &made_for("novel", "frobnicate,sse3,warp", "f"));
    let error = load_bytes(&Loader::new(), "new", &bytes, &[]).unwrap_err();
    let message = format!(
        "new: compiled for novel: it requires frobnicate, warp, which this loader does not know; compile it for what this \
         CPU has: --cpu {}, or its source anew where IR names features or it is an object",
        cpu::level()
    );
    assert_eq!(error.to_string(), message);
    let both = image(
        "both.c",
        &made_for("novel", &format!("{},warp", rare()), "f"),
    );
    let error = load_bytes(&Loader::new(), "both", &both, &[]).unwrap_err();
    assert!(
        error
            .to_string()
            .contains(", and it requires warp, which this loader does not know"),
        "{error}"
    );
}

#[test]
fn what_this_cpu_has_loads_and_what_it_lacks_does_not() {
    require_tools!("clang-22");
    let levels = [
        (
            "x86-64-v2",
            "crc32,cx16,popcnt,sahf,sse3,sse4.1,sse4.2,ssse3",
            has("ssse3") && has("sse4_2") && has("popcnt") && has("cx16"),
        ),
        (
            "haswell",
            "avx,avx2",
            std::arch::is_x86_feature_detected!("avx2"),
        ),
        (
            "skylake-avx512",
            "avx512f",
            std::arch::is_x86_feature_detected!("avx512f"),
        ),
    ];
    for (cpu, features, is_there) in levels {
        let bytes = image("f.c", &made_for(cpu, features, "f"));
        match load_bytes(&Loader::new(), "f", &bytes, &[]) {
            Ok(module) => {
                assert!(is_there, "{cpu}");
                assert_eq!(call(&module, "f"), 7);
            }
            Err(error) => {
                assert!(!is_there, "{error}");
                assert!(matches!(error, Error::Cpu { .. }), "{error}");
            }
        }
    }
}

/// Of variants of one image that which uses most of this CPU is the best one.
#[test]
fn variants_have_an_order() {
    require_tools!("clang-22");
    let variant = |cpu, features| image("f.c", &made_for(cpu, features, "f"));
    let images = [
        variant("x86-64", ""),
        variant(
            "x86-64-v2",
            "crc32,cx16,popcnt,sahf,sse3,sse4.1,sse4.2,ssse3",
        ),
        variant("chimera", &rare()),
    ];
    let ranks = images
        .each_ref()
        .map(|bytes| cpu::rank(&Image::parse(bytes).unwrap()));
    let second = cpu::level() != "x86-64";
    assert_eq!(ranks, [Some(0), second.then_some(8), None]);
    let missing = cpu::missing(&Image::parse(&images[0]).unwrap());
    assert!(missing.is_empty(), "{missing:?}");
}

/// The code of another machine's image is not this CPU's to judge.
#[test]
fn an_image_for_another_machine() {
    require_tools!("clang-22");
    let source = made_for("neoverse-v1", "lse,sve", "f");
    let folder = tempfile::tempdir().unwrap();
    let [c, o] = ["f.c", "f.o"].map(|name| folder.path().join(name));
    std::fs::write(&c, source).unwrap();
    let args = [
        "--target=aarch64-linux-gnu",
        "-fPIC",
        "-c",
        c.to_str().unwrap(),
        "-o",
    ];
    farcall_testkit::tools::run("clang-22", &[&args[..], &[o.to_str().unwrap()]].concat()).unwrap();
    let object = std::fs::read(o).unwrap();
    let bytes = Linker::new().add("f.o", &object).link().unwrap();
    let parsed = Image::parse(&bytes).unwrap();
    assert_eq!(cpu::rank(&parsed), None);
    assert_eq!(cpu::missing(&parsed).features, ["lse", "sve"]);
    let error = load_bytes(&Loader::new(), "f", &bytes, &[]).unwrap_err();
    assert!(matches!(error, Error::Image { .. }), "{error}");
}
