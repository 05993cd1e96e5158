//! The machine that code is made for: its triple, its processors, its features.
//!
//! To add a machine: a file of names like `x86_64.rs`, a [`Machine`] here, a line in `llvm::initialize`.

use std::ops::Range;

use inkwell::targets::{TargetMachine, TargetTriple};

use crate::{Error, aarch64, x86_64};

/// What this compiler must know of a machine.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Machine {
    pub(crate) name: &'static str,
    /// For IR that has no triple of its own.
    pub(crate) triple: &'static str,
    /// Spellings of the architecture in triples.
    architectures: &'static [&'static str],
    /// The processor whose code runs on every machine of this kind.
    pub(crate) baseline: &'static str,
    /// Other names for processors: `(alias, LLVM's name)`.
    aliases: &'static [(&'static str, &'static str)],
    cpus: &'static [&'static str],
    /// Features whose instructions some processors of this kind lack.
    instruction_sets: &'static [&'static str],
    other_features: &'static [&'static str],
    mode_changes: &'static [&'static str],
    /// Addresses of a process are below two to this power, on every system with the usual pages.
    pub(crate) n_address_bits: u32,
    /// Address spaces that count from a thread pointer.
    pub(crate) from_thread_pointer: Range<u32>,
}

pub(crate) static X86_64: Machine = Machine {
    name: "x86-64",
    triple: "x86_64-unknown-linux-gnu",
    architectures: &["x86_64", "amd64"],
    baseline: "x86-64",
    aliases: &[("x86-64-v1", "x86-64")],
    cpus: x86_64::CPUS,
    instruction_sets: x86_64::INSTRUCTION_SETS,
    other_features: x86_64::OTHER_FEATURES,
    mode_changes: x86_64::MODE_CHANGES,
    n_address_bits: 47,
    // The segment registers GS and FS.
    from_thread_pointer: 256..258,
};

pub(crate) static AARCH64: Machine = Machine {
    name: "aarch64",
    triple: "aarch64-unknown-linux-gnu",
    architectures: &["aarch64", "arm64"],
    baseline: "generic",
    aliases: &[],
    cpus: aarch64::CPUS,
    instruction_sets: aarch64::INSTRUCTION_SETS,
    other_features: aarch64::OTHER_FEATURES,
    mode_changes: &[],
    n_address_bits: 48,
    from_thread_pointer: 0..0,
};

/// All machines that there is code for.
pub(crate) static MACHINES: [&Machine; 2] = [&X86_64, &AARCH64];

/// Processor and features as LLVM takes them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cpu {
    pub(crate) name: String,
    pub(crate) features: String,
}

impl Machine {
    /// The machine that IR of this triple is for.
    pub(crate) fn of(triple: &str) -> Option<&'static Self> {
        MACHINES.into_iter().find(|machine| machine.accepts(triple))
    }

    /// The machine that goes by this name alone: its architecture, with nothing of a system.
    pub(crate) fn named(name: &str) -> Option<&'static Self> {
        let is_name =
            |machine: &&Self| machine.name == name || machine.architectures.contains(&name);
        MACHINES.into_iter().find(is_name)
    }

    /// This host's machine; x86-64 where there is no code for it.
    pub(crate) fn host() -> &'static Self {
        let is_host = |machine: &&Self| machine.architectures.contains(&std::env::consts::ARCH);
        MACHINES.into_iter().find(is_host).unwrap_or(&X86_64)
    }

    /// Whether IR of this triple is for this machine, on Linux, with the same ABI.
    ///
    /// x32 has other pointers, Android another `long double`: both are other ABIs.
    pub(crate) fn accepts(&self, triple: &str) -> bool {
        let triple = normalized(triple);
        let mut parts = triple.splitn(4, '-');
        let (architecture, _vendor, system) = (parts.next(), parts.next(), parts.next());
        let environment = parts.next().unwrap_or("");
        let version = environment.strip_prefix("gnu");
        architecture.is_some_and(|name| self.architectures.contains(&name))
            && system.is_some_and(|name| name.starts_with("linux"))
            && (["", "unknown", "musl", "elf"].contains(&environment)
                || version.is_some_and(|text| text.chars().all(|c| c.is_ascii_digit() || c == '.')))
    }

    /// The processor that `cpu` (none is the baseline) and `features` (`+avx2,-bmi`) mean.
    pub(crate) fn cpu(&self, cpu: Option<&str>, features: &str) -> Result<Cpu, Error> {
        let features = self.checked_features(features)?;
        match cpu {
            None => Ok(Cpu {
                name: self.baseline.to_owned(),
                features,
            }),
            Some("native") => self.native(&features),
            Some(cpu) => {
                let name = self
                    .aliases
                    .iter()
                    .find(|alias| alias.0 == cpu)
                    .map_or(cpu, |alias| alias.1);
                if !self.has_cpu(name) {
                    return Err(Error::UnknownCpu {
                        cpu: cpu.to_owned(),
                        machine: self.name,
                        nearest: nearest(cpu, self.cpus.iter()),
                        advice: self.advice(cpu),
                    });
                }
                Ok(Cpu {
                    name: name.to_owned(),
                    features,
                })
            }
        }
    }

    pub(crate) fn has_cpu(&self, name: &str) -> bool {
        self.cpus.contains(&name)
    }

    /// Whether a feature list's item, its sign left out, may be switched on and off.
    pub(crate) fn has_feature(&self, name: &str) -> bool {
        self.is_instruction_set(name) || self.other_features.contains(&name)
    }

    /// Whether code that uses this feature cannot run where it is missing.
    pub(crate) fn is_instruction_set(&self, name: &str) -> bool {
        self.instruction_sets.binary_search(&name).is_ok()
    }

    /// Whether LLVM takes notice of a feature of this name, be it one of ours or the machine's mode.
    pub(crate) fn knows(&self, name: &str) -> bool {
        self.has_feature(name)
            || self
                .mode_changes
                .iter()
                .any(|change| change.trim_start_matches(['+', '-']) == name)
    }

    /// The first item of a feature list that would make another machine of this one.
    pub(crate) fn mode_change<'f>(&self, features: &'f str) -> Option<&'f str> {
        features
            .split(',')
            .find(|item| self.mode_changes.contains(item))
    }

    /// What to do with a name that is something else here, or is known on another machine.
    fn advice(&self, name: &str) -> Option<String> {
        if self.has_cpu(name) {
            return Some(format!("it is a CPU: --cpu {name}"));
        }
        if self.has_feature(name) {
            return Some(format!("it is a feature: --features +{name}"));
        }
        let mut others = MACHINES
            .into_iter()
            .filter(|machine| machine.name != self.name);
        let other = others.find(|machine| machine.has_cpu(name) || machine.has_feature(name))?;
        let target = other.architectures.first()?;
        Some(format!("{} has it: --target {target}", other.name))
    }

    fn checked_features(&self, features: &str) -> Result<String, Error> {
        let items: Vec<&str> = features
            .split(',')
            .map(str::trim)
            .filter(|item| !item.is_empty())
            .collect();
        // Nothing that has a name has a space in it.
        if let Some(item) = items.iter().find(|item| item.contains(char::is_whitespace)) {
            return Err(Error::FeatureSeparator {
                item: (*item).to_owned(),
                list: item.split_whitespace().collect::<Vec<_>>().join(","),
            });
        }
        for item in &items {
            let Some(name) = item.strip_prefix(['+', '-']) else {
                return Err(Error::FeatureSign {
                    item: (*item).to_owned(),
                });
            };
            if !self.has_feature(name) {
                let features = self.instruction_sets.iter().chain(self.other_features);
                let nearest = nearest(name, features);
                return Err(Error::UnknownFeature {
                    feature: name.to_owned(),
                    machine: self.name,
                    nearest,
                    advice: self.advice(name),
                });
            }
        }
        Ok(items.join(","))
    }

    /// This host's processor; `features` come after the host's and so override them.
    fn native(&self, features: &str) -> Result<Cpu, Error> {
        let host = TargetMachine::get_default_triple();
        let host = host.as_str().to_string_lossy();
        if !self.accepts(&host) {
            return Err(Error::NotNative {
                host: host.into_owned(),
                machine: self.name,
            });
        }
        // The machine's mode is among them and goes without saying.
        let own = TargetMachine::get_host_cpu_features().to_string();
        let own = own
            .split(',')
            .filter(|item| self.has_feature(item.trim_start_matches(['+', '-'])));
        let all: Vec<&str> = own
            .chain(features.split(',').filter(|item| !item.is_empty()))
            .collect();
        Ok(Cpu {
            name: TargetMachine::get_host_cpu_name().to_string(),
            features: all.join(","),
        })
    }
}

/// The triple with all its parts in their places.
pub(crate) fn normalized(triple: impl AsRef<str>) -> String {
    let triple = TargetTriple::create(triple.as_ref());
    let triple = TargetMachine::normalize_triple(&triple);
    triple.as_str().to_string_lossy().into_owned()
}

/// Up to three known names that end in `-name` or are few edits away from it, nearest first.
fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a &'static str>) -> Vec<&'static str> {
    let limit = name.len().div_ceil(3).max(1);
    let name = name.to_ascii_lowercase();
    // `v3` is how people call x86-64-v3, `n1` how they call neoverse-n1.
    let is_end = |other: &str| !name.is_empty() && other.ends_with(&format!("-{name}"));
    let distance = |other: &str| {
        if is_end(other) {
            0
        } else {
            edits(&name, other)
        }
    };
    let mut found: Vec<(usize, &'static str)> = known
        .map(|&other| (distance(other), other))
        .filter(|pair| pair.0 <= limit)
        .collect();
    found.sort();
    found.into_iter().take(3).map(|pair| pair.1).collect()
}

/// Levenshtein distance in bytes.
fn edits(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (y, cell) in b.bytes().zip(row.iter_mut().skip(1)) {
            let cost = (diagonal + usize::from(x != y))
                .min(left + 1)
                .min(*cell + 1);
            diagonal = *cell;
            left = cost;
            *cell = cost;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
pub(crate) mod tests {
    use std::process::Command;

    use super::*;

    /// The processors and the features that `llc` lists, sorted; `None` where it is not installed.
    pub(crate) fn names_of_llvm(architecture: &str) -> Option<(Vec<String>, Vec<String>)> {
        let mut llc = Command::new("llc-22");
        llc.args([
            &format!("-mtriple={architecture}"),
            "-mcpu=help",
            "/dev/null",
        ]);
        let Ok(output) = llc.output() else {
            assert!(
                std::env::var_os("FARCALL_REQUIRE_ALL").is_none(),
                "llc-22 is not installed"
            );
            eprintln!("skipped: llc-22 is not installed");
            return None;
        };
        let help = String::from_utf8_lossy(&output.stderr).into_owned();
        // LLVM prints the lists once for each time that it looks at the name.
        let (_, cpus) = help.split_once("Available CPUs").unwrap();
        let (cpus, features) = cpus.split_once("Available features").unwrap();
        let (features, _) = features.split_once("\nUse +feature").unwrap();
        let names = |list: &str| -> Vec<String> {
            let names = list.lines().filter_map(|line| line.split_once(" - "));
            let mut names: Vec<_> = names.map(|(name, _)| name.trim().to_owned()).collect();
            names.sort();
            names.dedup();
            names
        };
        Some((names(cpus), names(features)))
    }

    #[test]
    fn spellings_of_one_machine() {
        for triple in [
            "x86_64-pc-linux-gnu",
            "x86_64-unknown-linux-gnu",
            "x86_64-linux-gnu",
            "x86_64-linux",
            "x86_64-alpine-linux-musl",
            "x86_64-unknown-linux-gnu2.31",
            "amd64-unknown-linux-gnu",
        ] {
            assert!(X86_64.accepts(triple), "{triple}");
        }
        for triple in [
            "aarch64-unknown-linux-gnu",
            "i686-unknown-linux-gnu",
            "x86_64-apple-darwin",
            "x86_64-pc-windows-msvc",
            "x86_64-unknown-linux-gnux32",
            "x86_64-unknown-linux-android",
            "x86_64-unknown-linux-gnu-coff",
            "x86_64-unknown-freebsd",
            "wasm32",
            "",
        ] {
            assert!(!X86_64.accepts(triple), "{triple}");
        }
    }

    #[test]
    fn levels_and_native_are_known() {
        for cpu in [
            "x86-64",
            "x86-64-v1",
            "x86-64-v2",
            "x86-64-v3",
            "x86-64-v4",
            "znver4",
            "generic",
        ] {
            assert!(X86_64.cpu(Some(cpu), "").is_ok(), "{cpu}");
        }
        assert_eq!(X86_64.cpu(Some("x86-64-v1"), "").unwrap().name, "x86-64");
        if cfg!(target_arch = "x86_64") {
            let native = X86_64.cpu(Some("native"), "-avx").unwrap();
            assert!(
                native.features.contains("+sse2") && native.features.ends_with(",-avx"),
                "{native:?}"
            );
        }
    }

    #[test]
    fn unknown_names_are_refused_with_the_nearest() {
        let message = |cpu, features| X86_64.cpu(cpu, features).unwrap_err().to_string();
        assert_eq!(
            message(Some("haswel"), ""),
            "cpu `haswel`: unknown on x86-64, did you mean `haswell`"
        );
        assert!(message(Some("i686"), "").starts_with("cpu `i686`: unknown on x86-64"));
        assert_eq!(
            message(None, "+avx22"),
            "cpu feature `avx22`: unknown on x86-64, did you mean `avx2` or `avx`"
        );
        assert_eq!(
            message(None, "avx2"),
            "cpu feature `avx2`: needs a `+` or a `-` before its name"
        );
        assert_eq!(
            message(Some("v3"), ""),
            "cpu `v3`: unknown on x86-64, did you mean `x86-64-v3`"
        );
        assert!(message(Some("X86-64-V3"), "").contains("did you mean `x86-64-v3`"));
        assert_eq!(
            message(None, "+bmi,+avx2 -bmi2"),
            "cpu features `+avx2 -bmi2`: separate them by commas: `+avx2,-bmi2`"
        );
        for (cpu, features, advice) in [
            (Some("avx2"), "", "; it is a feature: --features +avx2"),
            (None, "+x86-64-v3", "; it is a CPU: --cpu x86-64-v3"),
            (
                Some("neoverse-n1"),
                "",
                "; aarch64 has it: --target aarch64",
            ),
            (None, "+sve2", "; aarch64 has it: --target aarch64"),
        ] {
            let message = message(cpu, features);
            assert!(message.ends_with(advice), "{message}");
        }
        assert!(message(None, "-64bit").starts_with("cpu feature `64bit`: unknown"));
        assert_eq!(
            X86_64.cpu(None, " +avx2 , -bmi,").unwrap().features,
            "+avx2,-bmi"
        );
    }

    #[test]
    fn distance() {
        assert_eq!(edits("", "abc"), 3);
        assert_eq!(edits("abc", ""), 3);
        assert_eq!(edits("kitten", "sitting"), 3);
        assert_eq!(edits("avx", "avx"), 0);
    }
}
