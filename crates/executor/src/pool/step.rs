//! What was done to all executors of a pool, to be done again to one that comes back.

use farcall_image::{Bundle, Digest, Image};
use farcall_protocol::{Definition, ModuleName};

use super::link::Link;
use crate::{LoadOptions, Result};

/// Something that all executors of a pool have.
pub(super) struct Step {
    pub(super) number: u64,
    pub(super) action: Action,
}

pub(super) enum Action {
    Load {
        /// An image or a bundle.
        bytes: Vec<u8>,
        name: String,
        /// Numbers of modules.
        scope: Option<Vec<u64>>,
    },
    Define {
        name: String,
        value_type: Option<String>,
        meaning: Meaning,
    },
}

/// What a definition means, to each executor what it is there.
pub(super) enum Meaning {
    Number(u64),
    Bytes(Vec<u8>),
    Export { module: u64, name: String },
}

impl Step {
    /// Does it there.
    pub(super) async fn apply(&self, link: &Link) -> Result<()> {
        let executor = link.executor.asynchronous();
        match &self.action {
            Action::Load { bytes, name, scope } => {
                let image = if Bundle::is_bundle(bytes) {
                    link.executor.choose(&Bundle::parse(bytes)?)?
                } else {
                    Image::parse(bytes)?
                };
                let scope = scope.as_ref().map(|numbers| {
                    let digests = numbers.iter().map(|&number| link.module(number));
                    digests.collect::<Result<Vec<Digest>>>()
                });
                let scope = scope.transpose()?;
                let options = LoadOptions {
                    name,
                    scope: scope.as_deref(),
                    ..LoadOptions::default()
                };
                let module = executor.load_with(&image, options).await?;
                link.has_module(self.number, module.digest);
            }
            Action::Define {
                name,
                value_type,
                meaning,
            } => {
                let value_type = value_type.as_deref();
                match meaning {
                    Meaning::Number(number) => {
                        let definition = Definition::Address(*number);
                        executor.define(name, value_type, definition).await?;
                    }
                    Meaning::Bytes(bytes) => {
                        executor.define_bytes(name, bytes).await?;
                    }
                    Meaning::Export {
                        module,
                        name: export,
                    } => {
                        let definition = Definition::Export {
                            module: ModuleName::Digest(link.module(*module)?),
                            name: export,
                        };
                        executor.define(name, value_type, definition).await?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Undoes it there, if it can be.
    pub(super) async fn undo(&self, link: &Link) -> Result<()> {
        if let Action::Load { .. } = self.action {
            let digest = link.module(self.number)?;
            link.executor.asynchronous().unload(digest).await?;
            link.has_no_module(self.number);
        }
        Ok(())
    }

    /// Whether this definition takes the place of another one, if nothing was loaded in between.
    pub(super) fn replaces(&self, other: &Self) -> bool {
        match (&self.action, &other.action) {
            (Action::Define { name, .. }, Action::Define { name: other, .. }) => name == other,
            _ => false,
        }
    }
}
