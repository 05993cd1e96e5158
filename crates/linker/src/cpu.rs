//! The CPUs that an image is for: what its objects need of one, together.
//!
//! The compiler says it in `.farcall.target`: a CPU and its features, as in [`TARGET`]. Objects of other compilers
//! may have a GNU property that says which level they need.

use std::collections::BTreeSet;

use farcall_arch::{CpuFeatures, Machine};

use crate::input::Object;
use crate::types::{records, sections_named};

/// The section with records of a CPU and its features, with commas between.
const TARGET: &[u8] = b".farcall.target";

/// What an image says of CPUs in its manifest.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Cpus {
    /// The names of those that its objects were compiled for, with commas between, in the order of the objects.
    pub(crate) names: String,
    /// What it requires.
    pub(crate) requires: CpuFeatures,
    /// The names of required features that have no number, with commas between.
    pub(crate) unnumbered: String,
}

/// What one object needs; `others` are names that its compiler knows and we do not.
#[derive(Debug, Default, Clone)]
struct Needs<'a> {
    features: CpuFeatures,
    others: BTreeSet<&'a str>,
}

/// What the image of these objects requires: all that any of them needs, or, where its code asks the CPU before it calls
/// those that need more (`dispatches`), what all need. Those that say nothing need nothing.
pub(crate) fn cpus(machine: Machine, objects: &[Object<'_>], dispatches: bool) -> Cpus {
    let mut names: Vec<&str> = Vec::new();
    let mut all: Option<Needs<'_>> = None;
    for object in objects {
        let mut needs: Option<Needs<'_>> = None;
        for record in sections_named(object, TARGET).flat_map(records) {
            if !names.contains(&record.0) {
                names.push(record.0);
            }
            needs.get_or_insert_default().add(machine, record.1);
        }
        for property in object.properties.iter().flatten() {
            let features = machine.cpu_features_of_property(property.kind, property.value);
            if let Some(features) = features {
                let needs = needs.get_or_insert_default();
                needs.features = needs.features.union(features);
            }
        }
        if dispatches {
            needs.get_or_insert_default();
        }
        all = match (all, needs) {
            (Some(all), Some(needs)) => Some(all.with(&needs, dispatches)),
            (all, needs) => all.or(needs),
        };
    }
    let all = all.unwrap_or_default();
    let others: Vec<&str> = all.others.into_iter().collect();
    Cpus {
        names: names.join(","),
        requires: match others.is_empty() {
            true => all.features,
            false => all.features.union(CpuFeatures::UNNUMBERED),
        },
        unnumbered: others.join(","),
    }
}

impl<'a> Needs<'a> {
    fn add(&mut self, machine: Machine, names: &'a str) {
        for name in names.split(',').filter(|name| !name.is_empty()) {
            match machine.cpu_features(name) {
                Some(features) => self.features = self.features.union(features),
                None => _ = self.others.insert(name),
            }
        }
    }

    fn with(&self, other: &Self, dispatches: bool) -> Self {
        if dispatches {
            Self {
                features: self.features.intersection(other.features),
                others: &self.others & &other.others,
            }
        } else {
            Self {
                features: self.features.union(other.features),
                others: &self.others | &other.others,
            }
        }
    }
}
