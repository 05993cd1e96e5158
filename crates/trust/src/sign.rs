//! Signing images.

use farcall_image::{Bundle, Claims, Error, Image, Utc};

use crate::{Patterns, SecretKey};

/// What a signature says beside who made it and of which image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    /// From when on it holds.
    pub not_before: Utc,
    /// From when on it does not.
    pub expires: Utc,
    /// The imports that may be bound to what the host has. What is left out is other images'.
    pub host_imports: Patterns,
}

/// For ever, and with all imports.
impl Default for Terms {
    fn default() -> Self {
        Self {
            not_before: Utc::START,
            expires: Utc::NEVER,
            host_imports: Patterns::new(["*"]),
        }
    }
}

/// Why something is not signed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignError {
    /// It would be refused wherever it is loaded: it is not what its digest says, or not a bundle.
    #[error(transparent)]
    Image(#[from] Error),
    /// The signature would never hold.
    #[error("a signature that holds from {not_before} on and expires at {expires} never holds")]
    Never {
        /// From when on it would hold.
        not_before: Utc,
        /// From when on it would not.
        expires: Utc,
    },
}

impl SecretKey {
    /// The bytes of the image with a signature of this key, instead of one that it may have. The image itself does not change.
    ///
    /// Costs a digest of the image. The same image, key and terms are the same bytes.
    ///
    /// # Errors
    ///
    /// [`SignError`], for an image that was changed, and terms that never hold.
    pub fn sign_image(&self, image: &Image<'_>, terms: &Terms) -> Result<Vec<u8>, SignError> {
        let Terms {
            not_before,
            expires,
            ref host_imports,
        } = *terms;
        if expires <= not_before {
            return Err(SignError::Never {
                not_before,
                expires,
            });
        }
        image.verify_digest()?;
        // What is no text is on no list.
        let is_host_import = |name: &&[u8]| {
            let name = std::str::from_utf8(name);
            name.is_ok_and(|name| host_imports.contain(name))
        };
        let names = image.imports().map(|(_, symbol)| symbol.name);
        let mut host_imports: Vec<&[u8]> = names.filter(is_host_import).collect();
        host_imports.sort_unstable();
        host_imports.dedup();
        let claims = Claims {
            digest: image.digest(),
            e_machine: image.machine().e_machine(),
            host_imports,
            not_before,
            expires,
            key: self.public().id(),
        };
        let trailer = claims.signed(|message| self.sign(message))?;
        Ok([image.content(), &trailer].concat())
    }

    /// The bytes of a bundle of the same images, each with a signature of this key.
    ///
    /// # Errors
    ///
    /// As [`SecretKey::sign_image`], of the first image that has one.
    ///
    /// # Panics
    ///
    /// Never: a parsed bundle has its variants.
    pub fn sign_bundle(&self, bundle: &Bundle<'_>, terms: &Terms) -> Result<Vec<u8>, SignError> {
        let mut signed = Vec::new();
        for variant in bundle.table().variants() {
            // Not `Bundle::image`, which wants one signer for all of them.
            let [start, end] = [variant.range().start, variant.range().end].map(usize::try_from);
            let within = "the bundle is in memory";
            let bytes = &bundle.bytes()[start.expect(within)..end.expect(within)];
            signed.push(self.sign_image(&variant.image(bytes)?, terms)?);
        }
        let images = signed.iter().map(|bytes| Image::parse(bytes));
        let images = images.collect::<Result<Vec<_>, _>>()?;
        Ok(Bundle::write(&images)?)
    }
}
