//! Which images load, and what of the host they may use: the host's to decide at each load.

use std::error::Error as StdError;
use std::fmt;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::Arc;

use farcall_image::Image;

use crate::loader::Filter;
use crate::{Error, Loader, Result, TrustedImage};

/// What an image may use of the host, said by whoever verified it: see [`Loader::verify_images`].
///
/// Cloning it costs a reference.
#[derive(Debug, Clone, Default)]
pub struct Permission(Option<Host>);

#[derive(Debug, Clone)]
struct Host {
    allowed: Filter,
    by: Arc<str>,
}

// Modules are unwind-safe, and some have this. What panics while it is asked leaves nothing of ours half done.
impl RefUnwindSafe for Permission {}
impl UnwindSafe for Permission {}

impl Permission {
    /// All that the host has.
    #[must_use]
    pub fn all() -> Self {
        Self::default()
    }

    /// Only names for which `allow` gives true. `by` says in errors who allows no others: `key 3f2a (build)`.
    ///
    /// Names are given as images have them, as to [`Loader::allow_imports`], for each import, on the thread that loads
    /// or calls a function for the first time.
    #[must_use]
    pub fn only(by: &str, allow: impl Fn(&str) -> bool + Send + Sync + 'static) -> Self {
        Self(Some(Host {
            allowed: Filter::new(allow),
            by: by.into(),
        }))
    }

    /// Whether an import may be bound to what is not an image's.
    pub(crate) fn allows(&self, name: &[u8]) -> bool {
        (self.0.as_ref()).is_none_or(|host| host.allowed.allows(name))
    }

    /// Who forbids what is not allowed.
    pub(crate) fn by(&self) -> Option<&str> {
        self.0.as_ref().map(|host| &*host.by)
    }
}

/// Why an image does not load that was verified.
pub type Refusal = Box<dyn StdError + Send + Sync>;

/// Decides whether an image loads.
#[derive(Clone)]
pub(crate) struct Verifier(Arc<Verify>);

type Verify = dyn Fn(&Image<'_>) -> Result<Permission, Refusal> + Send + Sync;

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Verifier")
    }
}

impl Loader {
    /// Has `verify` decide of each image, before anything of it is mapped and any of its imports is looked for, whether it
    /// loads and what of the host it may use. All load unless this says so; the last verifier given holds.
    ///
    /// What `verify` sees is what is mapped: bytes that this process has for itself, or that are sealed
    /// ([`SealedFile`](crate::SealedFile)). [`Loader::map_file`] reads the file then, because an ordinary one could change
    /// between the two.
    ///
    /// The host's are all definitions and symbols that are not exports of images: those that were given
    /// ([`Loader::define`]), and those of the places 4 to 6. An import that may not be bound to them is looked for in other
    /// images alone. What [`Loader::load_bound`] is told of an import holds.
    ///
    /// It is called on the thread that loads, by several at a time if several load, with no lock held.
    pub fn verify_images(
        &mut self,
        verify: impl Fn(&Image<'_>) -> Result<Permission, Refusal> + Send + Sync + 'static,
    ) -> &mut Self {
        self.verifier = Some(Verifier(Arc::new(verify)));
        self
    }

    /// Asks whether an image loads. Whoever resolves its imports needs the answer.
    pub(crate) fn admit(&self, image: &TrustedImage<'_>) -> Result<Permission> {
        let Some(Verifier(verify)) = &self.verifier else {
            return Ok(Permission::all());
        };
        verify(image.image()).map_err(|source| Error::Refused {
            image: image.name().to_owned(),
            source,
        })
    }
}
