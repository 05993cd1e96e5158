//! What the tests share: LLVM's tools when they are installed, fixtures, and objects taken apart.
#![allow(dead_code, reason = "each test program uses a part of it")]

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
};

use object::{
    Object as _, ObjectSection as _, ObjectSymbol as _, RelocationFlags, RelocationTarget,
    SectionFlags, SectionKind,
};

/// The tool, or `None` and a word on standard error that the test is not run. With FARCALL_REQUIRE_ALL set it must be there.
pub(crate) fn tool(name: &str) -> Option<Command> {
    if Command::new(name)
        .arg("--version")
        .output()
        .is_ok_and(|output| output.status.success())
    {
        return Some(Command::new(name));
    }
    assert!(
        std::env::var_os("FARCALL_REQUIRE_ALL").is_none(),
        "{name} is not installed"
    );
    eprintln!("skipped: {name} is not installed");
    None
}

/// Runs a command that must succeed and gives its standard output.
pub(crate) fn run(command: &mut Command) -> String {
    let output = command.output().expect("the tool starts");
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{command:?}\n{out}{err}");
    out.into_owned()
}

pub(crate) fn fixture(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests")
        .join(path)
}

/// Files of a folder of fixtures, sorted.
pub(crate) fn fixtures(folder: &str) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(fixture(folder))
        .expect("folder")
        .map(|entry| entry.expect("entry").path())
        .collect();
    files.sort();
    assert!(!files.is_empty());
    files
}

/// What follows `# Key: ` in the fixture's comments, line by line.
pub(crate) fn directives(text: &str, key: &str) -> Vec<String> {
    let key = format!("# {key}: ");
    text.lines()
        .filter_map(|line| line.split_once(&key))
        .map(|(_, value)| value.to_owned())
        .collect()
}

/// `symbol TYPE` for each relocation of executable sections, sorted, each once; a section's symbol is the section's name.
pub(crate) fn text_relocations(object: &[u8]) -> Vec<String> {
    let file = object::File::parse(object).expect("an object");
    let mut found = Vec::new();
    for section in file
        .sections()
        .filter(|section| section.kind() == SectionKind::Text)
    {
        for (_, relocation) in section.relocations() {
            let RelocationFlags::Elf { r_type } = relocation.flags() else {
                panic!("ELF")
            };
            let RelocationTarget::Symbol(index) = relocation.target() else {
                panic!("symbol")
            };
            let symbol = file.symbol_by_index(index).expect("symbol");
            let section = symbol
                .section_index()
                .and_then(|index| file.section_by_index(index).ok());
            let name = match (symbol.name().expect("name"), section) {
                ("", Some(section)) => section.name().expect("name").to_owned(),
                (name, _) => name.to_owned(),
            };
            found.push(format!("{name} {}", relocation_name(r_type.0)));
        }
    }
    found.sort();
    found.dedup();
    found
}

fn relocation_name(r_type: u32) -> String {
    let names = BTreeMap::from([
        (1, "64"),
        (2, "PC32"),
        (4, "PLT32"),
        (9, "GOTPCREL"),
        (10, "32"),
        (11, "32S"),
        (19, "TLSGD"),
        (20, "TLSLD"),
        (21, "DTPOFF32"),
        (22, "GOTTPOFF"),
        (23, "TPOFF32"),
        (27, "GOT64"),
        (29, "GOTPC64"),
        (41, "GOTPCRELX"),
        (42, "REX_GOTPCRELX"),
    ]);
    names
        .get(&r_type)
        .map_or_else(|| r_type.to_string(), |name| (*name).to_owned())
}

/// The strings of a section that linkers leave out; checks that they do.
pub(crate) fn strings(object: &[u8], section: &str) -> Vec<String> {
    const SHF_ALLOC: u64 = 2;
    const SHF_EXCLUDE: u64 = 0x8000_0000;
    let file = object::File::parse(object).expect("an object");
    let section = file.section_by_name(section).expect("the section");
    let SectionFlags::Elf { sh_flags, .. } = section.flags() else {
        panic!("ELF")
    };
    assert_eq!(sh_flags.0 & (SHF_ALLOC | SHF_EXCLUDE), SHF_EXCLUDE);
    let content = section
        .data()
        .expect("content")
        .strip_suffix(b"\0")
        .expect("a NUL at the end");
    content
        .split(|byte| *byte == 0)
        .map(|text| String::from_utf8_lossy(text).into_owned())
        .collect()
}

pub(crate) fn has_section(file: &[u8], name: &str) -> bool {
    object::File::parse(file)
        .expect("an ELF file")
        .section_by_name(name)
        .is_some()
}

/// Whether a dynamic relocation of a linked file changes a section that is not writable.
pub(crate) fn has_text_relocations(file: &[u8]) -> bool {
    const SHF_WRITE: u64 = 1;
    let file = object::File::parse(file).expect("an ELF file");
    let places: Vec<u64> = file
        .dynamic_relocations()
        .into_iter()
        .flatten()
        .map(|(place, _)| place)
        .collect();
    file.sections().any(|section| {
        let SectionFlags::Elf { sh_flags, .. } = section.flags() else {
            panic!("ELF")
        };
        let range = section.address()..section.address() + section.size();
        sh_flags.0 & SHF_WRITE == 0
            && section.address() != 0
            && places.iter().any(|place| range.contains(place))
    })
}
