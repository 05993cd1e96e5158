//! `farcall place`.

use std::collections::HashMap;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use farcall::loader::{PlaceError, place};

use crate::build::write;
use crate::input::checked_image;

/// What `farcall place` was asked.
#[derive(Debug, Args)]
pub(crate) struct Place {
    /// The image
    image: PathBuf,
    /// The address of the image's first byte
    #[arg(long, value_name = "ADDRESS", value_parser = address)]
    at: u64,
    /// What an import is bound to
    #[arg(long, value_name = "NAME=ADDRESS", value_parser = definition)]
    define: Vec<(String, u64)>,
    /// The executable to write
    #[arg(short, value_name = "FILE")]
    output: PathBuf,
}

impl Place {
    pub(crate) fn execute(self) -> anyhow::Result<()> {
        let name = self.image.display().to_string();
        let bytes = std::fs::read(&self.image).with_context(|| name.clone())?;
        let image = checked_image(&name, &bytes)?;
        let defined: HashMap<&[u8], u64> = self
            .define
            .iter()
            .map(|(name, address)| (name.as_bytes(), *address))
            .collect();
        let placed = place(&image, self.at, |import| defined.get(import).copied());
        let placed = placed.map_err(|error| {
            let hint = match error {
                PlaceError::Missing { .. } => " (imports are defined by --define NAME=ADDRESS)",
                _ => "",
            };
            anyhow::Error::new(error).context(format!("{name}: it cannot be placed{hint}"))
        })?;
        write(&self.output, &placed.executable())
    }
}

/// Hexadecimal with `0x`, else decimal.
fn address(text: &str) -> Result<u64, String> {
    let parsed = match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => text.parse(),
    };
    parsed.map_err(|error| error.to_string())
}

fn definition(text: &str) -> Result<(String, u64), String> {
    let (name, value) = text.rsplit_once('=').ok_or("it is not NAME=ADDRESS")?;
    Ok((name.to_owned(), address(value)?))
}
