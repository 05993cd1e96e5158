//! What this CPU has of what images require.
//!
//! An image says in its manifest what its code uses beyond the machine's baseline. Loading refuses one that
//! requires what this CPU lacks, because its code would end the process with an illegal instruction, sooner or
//! later. Who has several variants of an image asks [`rank`] which to load.
//!
//! The CPU is asked once a process. That all cores have the same is the system's business.

use std::sync::OnceLock;

use farcall_arch::{CpuFeatures, Machine};
use farcall_image::Image;

use crate::sys;
use crate::{Error, Result, TrustedImage, fork};

/// What an image requires and this CPU lacks.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Missing {
    /// The features, by LLVM's names, sorted.
    pub features: Vec<&'static str>,
    /// Names that this loader does not know: those of features that are newer than it.
    pub unknown: Vec<String>,
}

impl Missing {
    /// Whether nothing is missing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.features.is_empty() && self.unknown.is_empty()
    }
}

/// All that an image requires and this CPU lacks; of an image for another machine all that it requires.
///
/// Any thread may ask. Costs nothing for an image of the machine's baseline, else a search in a table for each
/// name.
#[must_use]
pub fn missing(image: &Image<'_>) -> Missing {
    let machine = image.machine();
    let mut required = CpuFeatures::NONE;
    let mut unknown = Vec::new();
    for name in image.manifest().required_names() {
        match machine.cpu_features(name) {
            Some(features) => required = required.union(features),
            None => unknown.push(name.to_owned()),
        }
    }
    let lacked = required.without(here(machine));
    Missing {
        features: machine.cpu_feature_names(lacked).collect(),
        unknown,
    }
}

/// How much of this CPU an image uses, as the number of features that it requires; `None` when it cannot run
/// here. Of several variants of one image that with the highest rank is the one made for most of this CPU.
///
/// Any thread may ask. Costs as [`missing`], and allocates nothing.
#[must_use]
pub fn rank(image: &Image<'_>) -> Option<u32> {
    let machine = image.machine();
    if Machine::host() != Some(machine) {
        return None;
    }
    let required = required(image)?;
    (required.is_empty() || here(machine).contains(required)).then(|| required.len())
}

/// The highest level that this CPU has, of those that its ABI names, or the machine's baseline, as compilers take it:
/// `x86-64-v3`.
#[must_use]
pub fn level() -> &'static str {
    let Some(machine) = Machine::host() else {
        return "generic";
    };
    let level = machine.cpu_level(here(machine));
    level.map_or(machine.baseline_cpu(), |level| level.name)
}

/// Refuses an image of this machine that requires what this CPU lacks.
pub(crate) fn check(image: &TrustedImage<'_>) -> Result<()> {
    if image.image().manifest().requires.is_empty() || rank(image.image()).is_some() {
        return Ok(());
    }
    let names = image.image().manifest().cpu_names();
    Err(Error::Cpu {
        image: image.name().to_owned(),
        compiled_for: names.map(str::to_owned).collect(),
        missing: missing(image.image()),
        level: level(),
    })
}

/// What an image requires; `None` when it has names that nobody here knows.
fn required(image: &Image<'_>) -> Option<CpuFeatures> {
    let mut names = image.manifest().required_names();
    names.try_fold(CpuFeatures::NONE, |all, name| {
        Some(all.union(image.machine().cpu_features(name)?))
    })
}

/// What this CPU has of a machine's features.
fn here(machine: Machine) -> CpuFeatures {
    static HERE: OnceLock<CpuFeatures> = OnceLock::new();
    if Machine::host() != Some(machine) {
        return CpuFeatures::NONE;
    }
    if let Some(features) = HERE.get() {
        return *features;
    }
    // A child that is forked off meanwhile would wait for ever for the thread that asks.
    fork::watch();
    let _held = fork::hold_off();
    *HERE.get_or_init(sys::cpu::features)
}
