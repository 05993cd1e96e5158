//! `farcall inspect`.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use farcall::loader::cpu;
use farcall::{Image, Machine};

use crate::input::read_image;
use crate::report::print;

/// What `farcall inspect` was asked.
#[derive(Debug, Args)]
pub(crate) struct Inspect {
    /// The image
    image: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Inspect {
    pub(crate) fn execute(self) -> anyhow::Result<()> {
        let name = self.image.display().to_string();
        let bytes = read_image(&self.image)?;
        let image = Image::parse(&bytes).with_context(|| name.clone())?;
        let verified = image.verify_digest();
        let mut description = image.describe();
        if Machine::host() == Some(image.machine()) {
            let missing = cpu::missing(&image);
            let known = missing.features.into_iter().map(str::to_owned);
            description.lacks = Some(known.chain(missing.unknown).collect());
        }
        let mut text = if self.json {
            serde_json::to_string_pretty(&description)?
        } else {
            description.to_string()
        };
        if !text.ends_with('\n') {
            text.push('\n');
        }
        print(&text)?;
        verified.context(name)
    }
}
