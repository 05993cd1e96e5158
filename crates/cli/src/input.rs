//! What a file given on the command line is.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use farcall::linker::is_bitcode;
use farcall::loader::cpu;
use farcall::{Bundle, Image};

/// A file that was read.
#[derive(Debug)]
pub(crate) struct Input {
    pub(crate) path: PathBuf,
    pub(crate) kind: Kind,
    pub(crate) bytes: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// LLVM IR, as text or as bitcode.
    Ir,
    /// An object or an archive.
    Object,
    /// An ELF shared object: an image, if it is well-formed. Or a bundle of images.
    Image,
}

impl Input {
    pub(crate) fn read(path: &Path) -> anyhow::Result<Self> {
        let bytes =
            std::fs::read(path).with_context(|| format!("{}: cannot read", path.display()))?;
        let kind = kind(path, &bytes).with_context(|| path.display().to_string())?;
        Ok(Self {
            path: path.to_owned(),
            kind,
            bytes,
        })
    }

    /// The path, for messages.
    pub(crate) fn name(&self) -> String {
        self.path.display().to_string()
    }
}

/// The first bytes tell; where they do not, the name's ending says what the file is meant to be, so
/// that the error about it comes from who reads such files.
fn kind(path: &Path, bytes: &[u8]) -> anyhow::Result<Kind> {
    const ET_REL: u8 = 1;
    if bytes.is_empty() {
        anyhow::bail!("the file is empty");
    }
    if Bundle::is_bundle(bytes) {
        return Ok(Kind::Image);
    }
    if is_elf(bytes) {
        return Ok(if bytes.get(16) == Some(&ET_REL) {
            Kind::Object
        } else {
            Kind::Image
        });
    }
    if bytes.starts_with(b"!<arch>\n") || bytes.starts_with(b"!<thin>\n") {
        return Ok(Kind::Object);
    }
    if is_bitcode(bytes) {
        return Ok(Kind::Ir);
    }
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("ll" | "bc") => Ok(Kind::Ir),
        Some("o" | "a") => Ok(Kind::Object),
        _ => {
            anyhow::bail!("neither IR (.ll, .bc), nor an object, an archive, an image or a bundle")
        }
    }
}

pub(crate) fn is_elf(bytes: &[u8]) -> bool {
    bytes.starts_with(b"\x7fELF")
}

/// The bytes of a file that is an image or a bundle, as far as its first bytes tell.
pub(crate) fn read_image(path: &Path) -> anyhow::Result<Vec<u8>> {
    let input = Input::read(path)?;
    let what = match input.kind {
        Kind::Image => return Ok(input.bytes),
        Kind::Ir => "LLVM IR",
        Kind::Object => "an object or archive",
    };
    anyhow::bail!(
        "{}: {what}, not an image: make one of it with farcall build",
        input.name()
    )
}

/// The image in a file's bytes, of a bundle that for this CPU, with its form checked and the bytes compared with its
/// digest: what was cut or changed by accident does not run.
pub(crate) fn checked_image<'data>(name: &str, bytes: &'data [u8]) -> anyhow::Result<Image<'data>> {
    let parse = || {
        let image = match Bundle::is_bundle(bytes) {
            true => cpu::choose(&Bundle::parse(bytes)?)?,
            false => Image::parse(bytes)?,
        };
        image.verify_digest()?;
        Ok(image)
    };
    parse()
        .map_err(|error: farcall::image::Error| anyhow::Error::new(error).context(name.to_owned()))
}
