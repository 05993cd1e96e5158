//! What this CPU has of what images require.
//!
//! An image says in its manifest what its code uses beyond the machine's baseline. Loading refuses one that
//! requires what this CPU lacks, because its code would end the process with an illegal instruction, sooner or
//! later. Of a bundle of images [`choose`] gives the one for this CPU; who has several in another form asks [`rank`].
//!
//! The CPU is asked once a process. That all cores have the same is the system's business.

use std::sync::OnceLock;

use farcall_arch::{CpuFeatures, Machine};
use farcall_image::{Bundle, Image, Manifest};

use crate::sys;
use crate::{Error, Result, TrustedImage, fork};

/// What an image requires and this CPU lacks.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Missing {
    /// The features, by LLVM's names.
    pub features: Vec<&'static str>,
    /// What this loader does not know, because it is newer: names, or `feature` and its number.
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
/// Any thread may ask.
#[must_use]
pub fn missing(image: &Image<'_>) -> Missing {
    missing_in(here(image.machine()), image.machine(), image.manifest())
}

/// All that an image requires and another CPU of its machine lacks, which has `features`.
#[must_use]
pub fn missing_from(features: CpuFeatures, image: &Image<'_>) -> Missing {
    missing_in(features, image.machine(), image.manifest())
}

/// What a CPU of `machine` that has `features` lacks.
fn missing_in(features: CpuFeatures, machine: Machine, manifest: &Manifest<'_>) -> Missing {
    let mut missing = Missing::default();
    for number in manifest.required().without(features).numbers() {
        match machine.cpu_feature_name(number) {
            Some(name) => missing.features.push(name),
            None => missing.unknown.push(format!("feature {number}")),
        }
    }
    let names = manifest.unnumbered_names();
    missing.unknown.extend(names.map(str::to_owned));
    missing
}

/// How much of this CPU an image uses, as the number of features that it requires; `None` when it cannot run
/// here. Of several variants of one image that with the highest rank is the one made for most of this CPU.
///
/// Any thread may ask. Costs a comparison of two sets.
#[must_use]
pub fn rank(image: &Image<'_>) -> Option<u32> {
    let machine = image.machine();
    let required = image.manifest().required();
    let is_here = Machine::host() == Some(machine);
    let runs = is_here && (required.is_empty() || here(machine).contains(required));
    runs.then(|| required.len())
}

/// The image of a bundle that uses most of this CPU, of those that can run here.
///
/// Any thread may ask. Costs a comparison of two sets for each variant, and [`Image::parse`] for the one chosen; no
/// other is looked at.
///
/// # Errors
///
/// [`NoVariant`](farcall_image::Error::NoVariant) when none can, with what this CPU lacks for each; as [`Image::parse`].
///
/// # Examples
///
/// ```no_run
/// use farcall_image::Bundle;
/// use farcall_loader::{Loader, TrustedImage, cpu};
///
/// let bytes = std::fs::read("query.farcall")?;
/// let image = cpu::choose(&Bundle::parse(&bytes)?)?;
/// // SAFETY: this program's own build wrote the file.
/// let image = unsafe { TrustedImage::assume_trusted(image) };
/// let module = Loader::new().load(&image, &[])?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn choose<'data>(bundle: &Bundle<'data>) -> farcall_image::Result<Image<'data>> {
    let machine = this_machine();
    bundle.choose(machine, here(machine))
}

/// What this CPU has of the features of its machine that have numbers.
///
/// Any thread may ask.
#[must_use]
pub fn features() -> CpuFeatures {
    here(this_machine())
}

/// The machine that this is, which is one that the loader runs on.
pub(crate) fn this_machine() -> Machine {
    Machine::host().expect("the loader is built for machines that it knows")
}

/// The highest level that this CPU has, of those that its ABI names, or the machine's baseline, as compilers take it:
/// `x86-64-v3`.
#[must_use]
pub fn level() -> &'static str {
    let machine = this_machine();
    let level = machine.cpu_level(here(machine));
    level.map_or(machine.baseline_cpu(), |level| level.name)
}

/// Refuses an image of this machine that requires what this CPU lacks.
pub(crate) fn check(image: &TrustedImage<'_>) -> Result<()> {
    if rank(image.image()).is_some() {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_name_here_is_missing_by_its_number() {
        let machine = Machine::X86_64;
        let [avx, avx2] = ["avx", "avx2"].map(|name| machine.cpu_features(name).unwrap());
        let newer = CpuFeatures::from_bits(1 << 126);
        let all = [avx, avx2, newer, CpuFeatures::UNNUMBERED];
        let manifest = Manifest {
            producer: "",
            cpus: "",
            requires: all
                .into_iter()
                .fold(CpuFeatures::NONE, CpuFeatures::union)
                .bits(),
            requires_unnumbered: "warp",
            types: Vec::new(),
            symbol_types: Vec::new(),
            referrers: Vec::new(),
        };
        let missing = missing_in(avx, machine, &manifest);
        assert_eq!(missing.features, ["avx2"]);
        assert_eq!(missing.unknown, ["feature 126", "warp"]);
    }
}
