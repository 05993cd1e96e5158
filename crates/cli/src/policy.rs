//! Loading only what a policy lets, for the commands that load here.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use farcall::loader::Permission;
use farcall::trust::{PolicyFile, Verified};
use farcall::{Image, Loader};

/// Whose images load.
#[derive(Debug, Default, Args)]
pub(crate) struct PolicyOptions {
    /// Load only images that a key of this policy has signed
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
}

impl PolicyOptions {
    /// Has `loader` go by the policy, if one was given.
    pub(crate) fn apply(&self, loader: &mut Loader) -> anyhow::Result<()> {
        let Some(policy) = self.open()? else {
            return Ok(());
        };
        loader.verify_images(move |image| {
            let verified = policy.current().verify(image)?;
            let by = verified.by();
            Ok(Permission::only(&by, move |name| verified.may_bind(name)))
        });
        Ok(())
    }

    pub(crate) fn is_given(&self) -> bool {
        self.policy.is_some()
    }

    /// What the policy says of an image, for people, if one was given.
    pub(crate) fn describe(&self, image: &Image<'_>) -> anyhow::Result<Option<String>> {
        let Some(policy) = self.open()? else {
            return Ok(None);
        };
        let verified = policy.current().verify(image);
        let verified = verified.with_context(|| policy.path().display().to_string())?;
        Ok(Some(described(image, &verified)))
    }

    fn open(&self) -> anyhow::Result<Option<PolicyFile>> {
        Ok(self.policy.as_ref().map(PolicyFile::open).transpose()?)
    }
}

fn described(image: &Image<'_>, verified: &Verified) -> String {
    let imports = image
        .imports()
        .map(|(_, symbol)| String::from_utf8_lossy(symbol.name));
    let not_of_the_host: Vec<_> = imports.filter(|name| !verified.may_bind(name)).collect();
    let note = match &not_of_the_host[..] {
        [] => String::new(),
        names => format!("; from other images only: {}", names.join(", ")),
    };
    format!("trusted: signed with {}{note}\n", verified.by())
}
