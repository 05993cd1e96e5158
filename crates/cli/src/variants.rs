//! What `farcall build` compiles for: one machine and CPU, or several, whose images become a bundle.

use std::str::FromStr;

use clap::Args;

use crate::compile_process::CompileOptions;

/// More than one thing to compile for.
#[derive(Debug, Default, Args)]
pub(crate) struct VariantOptions {
    /// Build a bundle, with a variant for each CPU of a machine (x86_64:x86-64-v2,x86-64-v3, aarch64, :native,
    /// x86_64:haswell:-avx2); repeat it for more. Commands that take images take the best for their CPU
    #[arg(long, value_name = "TARGET:CPU,CPU:FEATURES", conflicts_with_all = ["target", "cpu", "features"])]
    variant: Vec<Variants>,
}

/// Variants for one machine.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Variants {
    target: Option<String>,
    /// `None` for the machine's baseline.
    cpus: Vec<Option<String>>,
    features: Option<String>,
}

impl FromStr for Variants {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut fields = text.splitn(4, ':');
        let mut next = || {
            fields
                .next()
                .map(str::trim)
                .filter(|field| !field.is_empty())
        };
        let (target, cpus, features) = (next(), next(), next());
        if fields.next().is_some() {
            return Err("it has more than a target, CPUs and features".to_owned());
        }
        if target.is_none() && cpus.is_none() && features.is_none() {
            return Err(
                "it is empty: name a target, as in aarch64, or a CPU, as in :x86-64-v3".to_owned(),
            );
        }
        Ok(Self {
            target: target.map(str::to_owned),
            cpus: match cpus {
                Some(list) => listed(list)?.into_iter().map(Some).collect(),
                None => vec![None],
            },
            features: features.map(str::to_owned),
        })
    }
}

impl VariantOptions {
    /// What to compile for: once for each variant, in the order in which they were asked for.
    pub(crate) fn expand(&self, options: CompileOptions) -> anyhow::Result<Vec<CompileOptions>> {
        let mut all = Vec::new();
        for variants in &self.variant {
            all.extend(variants.cpus.iter().map(|cpu| CompileOptions {
                target: variants.target.clone(),
                cpu: cpu.clone(),
                features: variants.features.clone(),
                ..options.clone()
            }));
        }
        if !all.is_empty() {
            return Ok(all);
        }
        let Some(cpus) = &options.cpu else {
            return Ok(vec![options]);
        };
        let cpus = listed(cpus).map_err(|reason| anyhow::anyhow!("--cpu {cpus}: {reason}"))?;
        let for_cpu = |cpu| CompileOptions {
            cpu: Some(cpu),
            ..options.clone()
        };
        Ok(cpus.into_iter().map(for_cpu).collect())
    }
}

/// What a variant was asked for as.
pub(crate) fn shown(options: &CompileOptions) -> String {
    let fields = [&options.target, &options.cpu, &options.features];
    let fields = fields.map(|field| field.as_deref().unwrap_or_default());
    let named: Vec<&str> = fields
        .into_iter()
        .filter(|field| !field.is_empty())
        .collect();
    named.join(":")
}

/// The CPUs in a list with commas.
fn listed(list: &str) -> Result<Vec<String>, String> {
    let cpus: Vec<String> = list.split(',').map(|cpu| cpu.trim().to_owned()).collect();
    if cpus.iter().any(String::is_empty) {
        return Err("a CPU has no name".to_owned());
    }
    let twice = (1..cpus.len()).find(|&index| cpus[..index].contains(&cpus[index]));
    match twice {
        Some(index) => Err(format!("{} is there twice", cpus[index])),
        None => Ok(cpus),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_cpus_and_features() {
        let read = |text: &str| {
            let variants: Variants = text.parse().unwrap();
            let cpus = variants.cpus.into_iter().map(Option::unwrap_or_default);
            let texts = [variants.target, variants.features].map(Option::unwrap_or_default);
            let [target, features] = texts;
            (target, cpus.collect::<Vec<_>>().join(" "), features)
        };
        for (text, target, cpus, features) in [
            ("aarch64", "aarch64", "", ""),
            ("aarch64:", "aarch64", "", ""),
            (":native", "", "native", ""),
            ("x86_64:haswell, znver4", "x86_64", "haswell znver4", ""),
            ("a-b-c:d:+e,-f", "a-b-c", "d", "+e,-f"),
            ("::+e", "", "", "+e"),
        ] {
            assert_eq!(
                read(text),
                (target.into(), cpus.into(), features.into()),
                "{text}"
            );
        }
        for text in ["", ":", "::", "a:b:c:d", "a:b,,c", "a:,b", "a:b,b"] {
            assert!(text.parse::<Variants>().is_err(), "{text}");
        }
    }
}
