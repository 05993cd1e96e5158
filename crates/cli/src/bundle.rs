//! `farcall bundle`, and making bundles for `farcall build`.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use farcall::image::Error;
use farcall::{Bundle, Image};

use crate::build::write;
use crate::input::read_image;

/// What `farcall bundle` was asked.
#[derive(Debug, Args)]
pub(crate) struct Join {
    /// Images for different CPUs, and bundles of such
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<PathBuf>,
    /// The bundle to write
    #[arg(short, value_name = "BUNDLE")]
    output: PathBuf,
}

impl Join {
    pub(crate) fn execute(self) -> anyhow::Result<()> {
        let files = self.images.iter().map(|path| read_image(path));
        let files = files.collect::<anyhow::Result<Vec<_>>>()?;
        let mut images = Vec::new();
        for (path, bytes) in self.images.iter().zip(&files) {
            let name = path.display().to_string();
            let found = images_in(bytes).with_context(|| name.clone())?;
            images.extend(found.into_iter().map(|image| (name.clone(), image)));
        }
        write(&self.output, &bundle(&images)?)
    }
}

/// The images that a file is or has, compared with their digests.
fn images_in(bytes: &[u8]) -> farcall::image::Result<Vec<Image<'_>>> {
    if !Bundle::is_bundle(bytes) {
        let image = Image::parse(bytes)?;
        image.verify_digest()?;
        return Ok(vec![image]);
    }
    let bundle = Bundle::parse(bytes)?;
    bundle.verify()?;
    let indices = 0..bundle.table().variants().len();
    indices.filter_map(|index| bundle.image(index)).collect()
}

/// The bytes of a bundle of images, each with a name for messages.
pub(crate) fn bundle(images: &[(String, Image<'_>)]) -> anyhow::Result<Vec<u8>> {
    let only: Vec<Image<'_>> = images.iter().map(|(_, image)| image.clone()).collect();
    Bundle::write(&only).map_err(|error| match error {
        Error::SameCpus {
            first,
            second,
            cpus,
        } => anyhow::anyhow!(
            "{} and {}: both are images for {cpus}: leave one out, as no CPU would take it",
            images[first].0,
            images[second].0
        ),
        other => other.into(),
    })
}
