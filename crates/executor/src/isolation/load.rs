//! Loading an image for all workers: it is verified, kept, and given to the template.

use std::os::fd::OwnedFd;
use std::result::Result;
use std::sync::Arc;
use std::time::Instant;

use farcall_image::Image;
use farcall_loader::SealedFile;
use farcall_protocol::{ErrorKind, Failure, Form, Response};

use super::change::{Bytes, Kept};
use super::front::Front;
use crate::admission::Signed;
use crate::audit::Load;
use crate::client::LoadOptions;
use crate::connections::Called;
use crate::failures::{Shown, not_meant};
use crate::refusing::{check_image, check_limit, check_name, check_size};

impl Front {
    pub(super) fn load(
        self: &Arc<Self>,
        load: &Load,
        options: LoadOptions<'_>,
        form: Form,
        file: Option<OwnedFd>,
        body: &[u8],
    ) -> Result<Response, Failure> {
        let (digest, size) = (load.digest, load.size);
        let LoadOptions { name, scope, .. } = options;
        check_name(name)?;
        let shown = Shown { name, digest };
        self.supervisor.blame.check(digest, || shown.to_string())?;
        check_limit(digest, size, self.shared.options.frame_limit)?;
        let of_image = |message| Failure {
            kind: ErrorKind::Image,
            message: format!("{shown}: {message}"),
        };
        let unreadable = |error: std::io::Error| of_image(format!("its file: {error}"));
        let (copy, sealed) = match file {
            Some(file) => {
                let copy = file.try_clone().map_err(unreadable)?;
                (
                    Some(copy),
                    Some(SealedFile::open(file).map_err(unreadable)?),
                )
            }
            None => (None, None),
        };
        let bytes = sealed.as_ref().map_or(body, SealedFile::bytes);
        if sealed.is_some() {
            self.shared.counters.pass(bytes.len());
        }
        let admission = &self.shared.modules.admission;
        // Where there is a policy it is the signature that comes with the bytes that counts.
        let is_offer = bytes.is_empty() && sealed.is_none();
        let is_let = |kept: &Kept| {
            let signature = kept.signature.get();
            admission.check(digest, signature.as_deref(), load).is_ok()
        };
        if (is_offer || !admission.has_policy()) && self.supervisor.offer(digest, name, is_let) {
            return Ok(Response::Loaded { was_loaded: true });
        }
        if is_offer {
            return Ok(Response::Needed);
        }
        let unpacked;
        let bytes = match form {
            Form::Plain | Form::File | Form::Docked => bytes,
            Form::Zstandard => {
                unpacked = crate::compress::unpack(bytes, size)?;
                &unpacked
            }
        };
        check_size(digest, bytes, size)?;
        load.claim(bytes);
        // With a policy it is compared when it is verified, with the signature.
        let image: Image<'_> = check_image(bytes, !admission.has_policy())
            .map_err(|error| of_image(error.to_string()))?;
        if image.digest() != digest {
            return Err(not_meant(shown, image.digest()));
        }
        // On the bytes that the template and the workers map: they are kept as they are, in a sealed file or in this process.
        let permit = admission.verify(&image, load);
        let permit = permit.map_err(|refusal| load.refuse(&refusal))?;
        let signature = image.code_signature();
        let sign = |kept: &Kept| {
            kept.signature.set(signature);
            true
        };
        if self.supervisor.offer(digest, name, sign) {
            return Ok(Response::Loaded { was_loaded: true });
        }
        let n_exports = crate::client::size(image.all_exports().count());
        let kept = Kept {
            digest,
            name: shown.to_string(),
            scope: self.scope(scope)?,
            n_exports,
            permit,
            signature: Signed::with(signature),
            calls: Arc::default(),
            image: Bytes::keep(bytes, copy).map_err(unreadable)?,
        };
        let _running = self.calls.begin(Called::load(name, digest), Instant::now());
        load.must_accept()?;
        self.supervisor.load(name, kept)?;
        // Its constructors run in a worker now, so that what they do is known.
        let started = self.worker().and_then(|worker| self.start(&worker, digest));
        if let Err(failure) = started {
            self.supervisor.withdraw(digest);
            return Err(failure);
        }
        Ok(Response::Loaded { was_loaded: false })
    }
}
