//! `farcall sign`, and signing what `farcall build` makes.

use std::borrow::Cow;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use farcall::image::Utc;
use farcall::trust::{Patterns, SecretKey, Terms};
use farcall::{Bundle, Image};

use crate::build::write;
use crate::input::read_image;
use crate::key::KeyFolder;

/// What `farcall sign` was asked.
#[derive(Debug, Args)]
pub(crate) struct Sign {
    /// The images, or bundles
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<PathBuf>,
    /// The key: a name that farcall key show has, or the path of its file
    #[arg(id = "key", long, value_name = "KEY")]
    key: String,
    /// Write the signed image here; without it, each image is replaced by the signed one
    #[arg(short, value_name = "IMAGE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    terms: TermOptions,
}

/// Whether and how `farcall build` signs.
#[derive(Debug, Default, Args)]
pub(crate) struct SignOptions {
    /// Sign the image with this key: a name that farcall key show has, or the path of its file
    #[arg(id = "key", long = "sign", value_name = "KEY")]
    key: Option<String>,
    #[command(flatten)]
    terms: TermOptions,
}

/// What the signature says.
#[derive(Debug, Default, Args)]
struct TermOptions {
    /// The signature holds until then: 30d, 12h, 90m from now, a day or a time (2027-01-31, 2027-01-31T12:00:00Z) [default: for ever]
    #[arg(long, value_name = "WHEN", value_parser = when, requires = "key")]
    expires: Option<Utc>,
    /// The signature holds from then on, likewise [default: always]
    #[arg(long, value_name = "WHEN", value_parser = when, requires = "key")]
    not_before: Option<Utc>,
    /// Of the imports only these may be the host's, others are other images' (* stands for any text) [default: all]
    #[arg(long, value_name = "NAME", requires = "key")]
    host_import: Vec<String>,
    #[command(flatten)]
    folder: KeyFolder,
}

/// A key and what is signed with it, if anything is.
pub(crate) struct Signer(Option<(SecretKey, Terms)>);

impl Sign {
    pub(crate) fn execute(self) -> anyhow::Result<()> {
        let signer = self.terms.signer(Some(&self.key))?;
        if self.output.is_some() && self.images.len() > 1 {
            anyhow::bail!(
                "-o names one image, and there are {} to sign",
                self.images.len()
            );
        }
        for path in &self.images {
            let bytes = read_image(path)?;
            let signed = signer.sign(&bytes);
            let signed = signed.with_context(|| path.display().to_string())?;
            write(self.output.as_ref().unwrap_or(path), &signed)?;
        }
        Ok(())
    }
}

impl SignOptions {
    /// The key, which is read before anything is built that it cannot sign.
    pub(crate) fn signer(&self) -> anyhow::Result<Signer> {
        self.terms.signer(self.key.as_deref())
    }
}

impl TermOptions {
    fn signer(&self, key: Option<&str>) -> anyhow::Result<Signer> {
        let Some(key) = key else {
            return Ok(Signer(None));
        };
        let mut terms = Terms::default();
        terms.expires = self.expires.unwrap_or(terms.expires);
        terms.not_before = self.not_before.unwrap_or(terms.not_before);
        self.check_times(Utc::now())?;
        if !self.host_import.is_empty() {
            terms.host_imports = Patterns::new(&self.host_import);
        }
        Ok(Signer(Some((self.folder.read(key)?, terms))))
    }

    /// A signature that never holds is a mistake: a wrong year, most often.
    fn check_times(&self, now: Utc) -> anyhow::Result<()> {
        let Some(expires) = self.expires else {
            return Ok(());
        };
        anyhow::ensure!(
            expires > now,
            "--expires {expires}: that has passed, as it is {now} now: nobody could load the image; give a time to come, such as 30d"
        );
        let not_before = self.not_before.unwrap_or(Utc(0));
        anyhow::ensure!(
            expires > not_before,
            "--expires {expires}: not after --not-before {not_before}: nobody could ever load the image"
        );
        Ok(())
    }
}

impl Signer {
    /// The bytes of an image or a bundle with a signature; as they are if nothing is to be signed.
    pub(crate) fn sign<'data>(&self, bytes: &'data [u8]) -> anyhow::Result<Cow<'data, [u8]>> {
        let Some((key, terms)) = &self.0 else {
            return Ok(bytes.into());
        };
        let signed = match Bundle::is_bundle(bytes) {
            true => key.sign_bundle(&Bundle::parse(bytes)?, terms)?,
            false => key.sign_image(&Image::parse(bytes)?, terms)?,
        };
        Ok(signed.into())
    }
}

/// A point in time, or how long it is from now: a number of days, hours or minutes.
fn when(text: &str) -> Result<Utc, String> {
    let unit = match text.char_indices().last() {
        Some((at, 'd')) => Some((at, 86_400)),
        Some((at, 'h')) => Some((at, 3600)),
        Some((at, 'm')) => Some((at, 60)),
        _ => None,
    };
    if let Some((at, unit)) = unit {
        let seconds = text[..at].parse().ok();
        let seconds = seconds.and_then(|number: u64| number.checked_mul(unit));
        let seconds = seconds.ok_or("not a time such as 30d, 12h or 90m")?;
        return Ok(Utc::now().after(Duration::from_secs(seconds)));
    }
    text.parse()
        .map_err(|error: farcall::image::ParseUtcError| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_that_never_holds_is_refused() {
        let check = |not_before: Option<u64>, expires: Option<u64>| {
            let options = TermOptions {
                not_before: not_before.map(Utc),
                expires: expires.map(Utc),
                ..TermOptions::default()
            };
            options
                .check_times(Utc(86_400))
                .map_err(|error| error.to_string())
        };
        for (not_before, expires) in [(None, None), (Some(0), Some(86_401)), (Some(90_000), None)] {
            check(not_before, expires).unwrap();
        }
        let passed = check(None, Some(86_400)).unwrap_err();
        assert!(
            passed.contains("--expires 1970-01-02T00:00:00Z"),
            "{passed}"
        );
        assert!(
            passed.contains("it is 1970-01-02T00:00:00Z now"),
            "{passed}"
        );
        let never = check(Some(90_000), Some(90_000)).unwrap_err();
        assert!(
            never.contains("not after --not-before 1970-01-02T01:00:00Z"),
            "{never}"
        );
    }

    #[test]
    fn times_are_points_or_distances() {
        let now = Utc::now().0;
        for (text, seconds) in [("30d", 2_592_000), ("2h", 7200), ("90m", 5400)] {
            let then = when(text).unwrap().0;
            assert!(
                (now + seconds..now + seconds + 60).contains(&then),
                "{text}"
            );
        }
        assert_eq!(when("1970-01-02"), Ok(Utc(86_400)));
        for wrong in [
            "",
            "d",
            "1.5d",
            "-1d",
            "30",
            "30s",
            "é",
            "999999999999999999d",
        ] {
            assert!(when(wrong).is_err(), "{wrong}");
        }
    }
}
