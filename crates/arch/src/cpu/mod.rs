//! What processors of one machine have and others lack: sets of instructions, named as LLVM names them.
//!
//! Only what ordinary code can trip over is here. Left out are the features of the machine's baseline, what
//! tells a compiler only how fast something is, and instructions that only the system may use, that the
//! system must be asked for first, or that do nothing where they are not known.
//!
//! To add a feature: a row at the end of the machine's table, and its name in the compiler's list of those that
//! it records. A feature's row is its number, by which images name it: rows stay where they are.

mod aarch64;
mod x86_64;

use crate::Machine;

pub use aarch64::detect as detect_aarch64;
pub use x86_64::detect as detect_x86_64;

/// A set of a machine's features, which are numbers below 127.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CpuFeatures(u128);

/// A name for features that processors have together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CpuLevel {
    /// Its name, which is also a processor's for compilers.
    pub name: &'static str,
    /// What it is beyond the baseline.
    pub features: CpuFeatures,
}

impl CpuFeatures {
    /// No feature: the baseline.
    pub const NONE: Self = Self(0);

    /// What stands for features that have a name only. No processor has it.
    pub const UNNUMBERED: Self = Self(1 << 127);

    /// The set of the feature in this row of a machine's table.
    const fn row(index: usize) -> Self {
        assert!(index < 127);
        Self(1 << index)
    }

    /// The set of the features whose numbers are the bits set.
    #[must_use]
    pub const fn from_bits(bits: u128) -> Self {
        Self(bits)
    }

    /// A bit for each feature: `1 << number`.
    #[must_use]
    pub const fn bits(self) -> u128 {
        self.0
    }

    /// The numbers of its features, ascending.
    pub fn numbers(self) -> impl Iterator<Item = usize> {
        let numbered = self.without(Self::UNNUMBERED);
        (0..127).filter(move |&number| numbered.contains(Self::row(number)))
    }

    /// Whether it is the baseline.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// How many features it has.
    #[must_use]
    pub const fn len(self) -> u32 {
        self.0.count_ones()
    }

    /// What either has.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// What both have.
    #[must_use]
    pub const fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// What `other` lacks.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether it has all of `other`.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        other.without(self).is_empty()
    }
}

impl Machine {
    /// What `name`, a feature or a level, stands for; `None` when the machine has no such name.
    #[must_use]
    pub fn cpu_features(self, name: &str) -> Option<CpuFeatures> {
        if let Some(level) = self.cpu_levels().iter().find(|level| level.name == name) {
            return Some(level.features);
        }
        let row = match self {
            Self::X86_64 => x86_64::FEATURES.iter().position(|row| row.name == name),
            Self::Aarch64 => aarch64::FEATURES.iter().position(|row| row.name == name),
        };
        row.map(CpuFeatures::row)
    }

    /// The name of the feature with this number; `None` when there is none here.
    #[must_use]
    pub fn cpu_feature_name(self, number: usize) -> Option<&'static str> {
        match self {
            Self::X86_64 => x86_64::FEATURES.get(number).map(|row| row.name),
            Self::Aarch64 => aarch64::FEATURES.get(number).map(|row| row.name),
        }
    }

    /// The names of the features of a set, by number.
    pub fn cpu_feature_names(self, features: CpuFeatures) -> impl Iterator<Item = &'static str> {
        let numbers = features.numbers();
        numbers.filter_map(move |number| self.cpu_feature_name(number))
    }

    /// The levels that the machine's ABI names, the lowest first, each with all of the one before; without the baseline.
    #[must_use]
    pub const fn cpu_levels(self) -> &'static [CpuLevel] {
        match self {
            Self::X86_64 => &x86_64::LEVELS,
            Self::Aarch64 => &[],
        }
    }

    /// The highest level that a processor with these features has; `None` for the baseline.
    #[must_use]
    pub fn cpu_level(self, features: CpuFeatures) -> Option<CpuLevel> {
        let mut levels = self.cpu_levels().iter().rev();
        levels
            .find(|level| features.contains(level.features))
            .copied()
    }

    /// What the GNU property `property` of this value says that code needs; `None` when it says nothing
    /// of the kind.
    #[must_use]
    pub fn cpu_features_of_property(self, property: u32, value: u32) -> Option<CpuFeatures> {
        match self {
            Self::X86_64 => x86_64::of_property(property, value),
            Self::Aarch64 => None,
        }
    }

    /// The processor whose code runs on every machine of this kind, as compilers name it.
    #[must_use]
    pub const fn baseline_cpu(self) -> &'static str {
        match self {
            Self::X86_64 => "x86-64",
            Self::Aarch64 => "generic",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MACHINES: [Machine; 2] = [Machine::X86_64, Machine::Aarch64];

    fn all(machine: Machine) -> CpuFeatures {
        let names = machine.cpu_feature_names(CpuFeatures(u128::MAX));
        names
            .map(|name| machine.cpu_features(name).expect(name))
            .fold(CpuFeatures::NONE, CpuFeatures::union)
    }

    #[test]
    fn each_has_its_own_number() {
        for machine in MACHINES {
            let names = machine.cpu_feature_names(CpuFeatures(u128::MAX)).count();
            assert_eq!(all(machine).len() as usize, names, "{machine}");
            assert!(!all(machine).contains(CpuFeatures::UNNUMBERED));
        }
        // Numbers that images have: a row that moves is found here.
        let bits = |machine: Machine, name| machine.cpu_features(name).unwrap().bits();
        assert_eq!(bits(Machine::X86_64, "adx"), 1);
        assert_eq!(bits(Machine::X86_64, "avx2"), 1 << 14);
        assert_eq!(bits(Machine::X86_64, "zu"), 1 << 90);
        assert_eq!(bits(Machine::Aarch64, "sve"), 1 << 42);
        assert_eq!(bits(Machine::Aarch64, "wfxt"), 1 << 49);
    }

    #[test]
    fn levels_grow() {
        let levels = Machine::X86_64.cpu_levels();
        for pair in levels.windows(2) {
            assert!(pair[1].features.contains(pair[0].features));
            assert!(!pair[0].features.contains(pair[1].features));
        }
        let level = |features| Machine::X86_64.cpu_level(features).map(|level| level.name);
        assert_eq!(level(CpuFeatures::NONE), None);
        assert_eq!(level(levels[1].features), Some("x86-64-v3"));
        let avx2 = Machine::X86_64.cpu_features("avx2").unwrap();
        assert_eq!(level(levels[2].features.without(avx2)), Some("x86-64-v2"));
        assert_eq!(level(all(Machine::X86_64)), Some("x86-64-v4"));
    }

    #[test]
    fn unknown_names() {
        for machine in MACHINES {
            for name in ["", "sse2", "fast-gather", "x86-64", "neon", "sse9"] {
                assert_eq!(machine.cpu_features(name), None, "{machine} {name}");
            }
        }
    }
}
