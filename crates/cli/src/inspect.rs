//! `farcall inspect`.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use farcall::image::Description;
use farcall::loader::cpu;
use farcall::{Bundle, Image, Machine};

use crate::input::read_image;
use crate::policy::PolicyOptions;
use crate::report::{print, visible};

/// What `farcall inspect` was asked.
#[derive(Debug, Args)]
pub(crate) struct Inspect {
    /// The image, or a bundle
    image: PathBuf,
    /// What this variant of a bundle is made of, by its number in the list of them
    #[arg(long, value_name = "NUMBER")]
    variant: Option<usize>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    policy: PolicyOptions,
}

impl Inspect {
    pub(crate) fn execute(self) -> anyhow::Result<()> {
        let name = self.image.display().to_string();
        let bytes = read_image(&self.image)?;
        if Bundle::is_bundle(&bytes) {
            let bundle = Bundle::parse(&bytes).with_context(|| name.clone())?;
            return match self.variant {
                Some(number) => self.variant(&name, &bundle, number),
                None => self.bundle(name, &bundle),
            };
        }
        if self.variant.is_some() {
            anyhow::bail!("{name}: an image, not a bundle: it has no variants");
        }
        let image = Image::parse(&bytes).with_context(|| name.clone())?;
        self.image(name, &image)
    }

    fn bundle(&self, name: String, bundle: &Bundle<'_>) -> anyhow::Result<()> {
        let machine = Machine::host().context("this machine runs no images")?;
        let description = bundle.describe(machine, cpu::features());
        self.print(
            serde_json::to_string_pretty(&description),
            &description.to_string(),
        )?;
        bundle.verify().with_context(|| name.clone())?;
        for index in 0..bundle.table().variants().len() {
            if let Some(image) = bundle.image(index) {
                let says = self.policy.describe(&image?);
                self.trusted(&format!("{name}: variant {index}"), says)?;
            }
        }
        Ok(())
    }

    fn variant(&self, name: &str, bundle: &Bundle<'_>, number: usize) -> anyhow::Result<()> {
        let image = bundle.image(number).with_context(|| {
            let last = bundle.table().variants().len() - 1;
            format!("{name}: it has no variant {number}, the last one is {last}")
        })?;
        let image = image.with_context(|| name.to_owned())?;
        self.image(format!("{name}: variant {number}"), &image)
    }

    fn image(&self, name: String, image: &Image<'_>) -> anyhow::Result<()> {
        let says = self.policy.describe(image);
        let mut description = described(image);
        if self.policy.is_given()
            && let Some(signature) = &mut description.signature
        {
            signature.verified = Some(says.is_ok());
        }
        self.print(
            serde_json::to_string_pretty(&description),
            &description.to_string(),
        )?;
        image.verify_digest().with_context(|| name.clone())?;
        self.trusted(&name, says)
    }

    /// Says whether the policy that was given lets the image load.
    fn trusted(&self, name: &str, says: anyhow::Result<Option<String>>) -> anyhow::Result<()> {
        match says.with_context(|| name.to_owned())? {
            // Who reads JSON sees that there is no error.
            Some(says) if !self.json => print(&visible(&says)),
            _ => Ok(()),
        }
    }

    fn print(&self, json: serde_json::Result<String>, text: &str) -> anyhow::Result<()> {
        match self.json {
            true => print(&(json? + "\n")),
            false => print(&visible(text)),
        }
    }
}

/// What an image is made of, with what this CPU lacks.
fn described(image: &Image<'_>) -> Description {
    let mut description = image.describe();
    if Machine::host() == Some(image.machine()) {
        let missing = cpu::missing(image);
        let known = missing.features.into_iter().map(str::to_owned);
        description.lacks = Some(known.chain(missing.unknown).collect());
    }
    description
}
