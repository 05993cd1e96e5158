//! What processors of one machine have and others lack: sets of instructions, named as LLVM names them.
//!
//! Only what ordinary code can trip over is here. Left out are the features of the machine's baseline, what
//! tells a compiler only how fast something is, and instructions that only the system may use, that the
//! system must be asked for first, or that do nothing where they are not known.
//!
//! To add a feature: its row in the machine's table, which is sorted by name, and its name in the compiler's
//! list of those that it records.

mod aarch64;
mod x86_64;

use crate::Machine;

pub use aarch64::detect as detect_aarch64;
pub use x86_64::detect as detect_x86_64;

/// A set of a machine's features: one bit for each row of its table.
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

    /// The set of the feature in this row of a machine's table.
    const fn row(index: usize) -> Self {
        Self(1 << index)
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
            Self::X86_64 => x86_64::FEATURES.binary_search_by(|row| row.name.cmp(name)),
            Self::Aarch64 => aarch64::FEATURES.binary_search_by(|row| row.name.cmp(name)),
        };
        row.ok().map(CpuFeatures::row)
    }

    /// The names of the features of a set, in order.
    pub fn cpu_feature_names(self, features: CpuFeatures) -> impl Iterator<Item = &'static str> {
        let rows = match self {
            Self::X86_64 => x86_64::FEATURES.len(),
            Self::Aarch64 => aarch64::FEATURES.len(),
        };
        let present = (0..rows).filter(move |&row| features.contains(CpuFeatures::row(row)));
        present.map(move |row| match self {
            Self::X86_64 => x86_64::FEATURES[row].name,
            Self::Aarch64 => aarch64::FEATURES[row].name,
        })
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
    fn tables_are_sorted_and_fit_a_set() {
        for machine in MACHINES {
            let names: Vec<_> = machine.cpu_feature_names(CpuFeatures(u128::MAX)).collect();
            assert!(names.is_sorted_by(|one, other| one < other), "{machine}");
            assert!(names.len() <= 128);
            assert_eq!(
                all(machine).len() as usize,
                names.len(),
                "each has its own bit"
            );
        }
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
