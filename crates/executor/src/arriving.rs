//! Images as they come to an executor that runs their code itself.

use std::os::fd::OwnedFd;
use std::result::Result;
use std::sync::Arc;
use std::time::Instant;

use farcall_loader::SealedFile;
use farcall_protocol::{ErrorKind, Failure, Form, Response};

use crate::audit::Load;
use crate::client::LoadOptions;
use crate::connections::Called;
use crate::dock::Arrived;
use crate::failures::Shown;
use crate::peer::Peer;
use crate::refusing::{check_limit, check_size};
use crate::serve::Shared;

impl Peer {
    /// Loads an image that comes in this form, or is offered.
    pub(crate) fn load(
        &self,
        load: &Arc<Load>,
        options: LoadOptions<'_>,
        form: Form,
        file: Option<OwnedFd>,
        body: &[u8],
    ) -> Result<Response, Failure> {
        let (digest, size) = (load.digest, load.size);
        let LoadOptions { name, scope, .. } = options;
        if form == Form::Docked {
            return self.load_docked(load, options);
        }
        check_limit(digest, size, self.shared.options.frame_limit)?;
        let modules = &self.shared.modules;
        let file = file.map(|file| {
            SealedFile::open(file).map_err(|error| Failure {
                kind: ErrorKind::Image,
                message: format!("{digest}: the file that came with the request: {error}"),
            })
        });
        let file = file.transpose()?;
        let bytes = file.as_ref().map_or(body, SealedFile::bytes);
        if file.is_some() {
            self.shared.counters.pass(bytes.len());
        }
        if bytes.is_empty() && file.is_none() {
            return Ok(if modules.offer(digest, name, load)? {
                Response::Loaded { was_loaded: true }
            } else {
                Response::Needed
            });
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
        let _running = self.calls.begin(Called::load(name, digest), Instant::now());
        let arrived = Arrived {
            bytes,
            file: file.as_ref(),
            word: None,
        };
        let was_loaded = modules.load(digest, arrived, name, scope, load)?;
        Ok(Response::Loaded { was_loaded })
    }

    /// As [`Peer::load`], of an image that comes through the dock.
    fn load_docked(
        &self,
        load: &Arc<Load>,
        LoadOptions { name, scope, .. }: LoadOptions<'_>,
    ) -> Result<Response, Failure> {
        let Shared { modules, spare, .. } = &*self.shared;
        let (digest, size) = (load.digest, load.size);
        let limit = self.shared.options.frame_limit;
        check_limit(digest, size, limit).inspect_err(|_| self.dock.close())?;
        let (bytes, mut word) = self.dock.read(size, spare.take())?;
        self.shared.counters.pass(bytes.len());
        load.claim(&bytes);
        let _running = self.calls.begin(Called::load(name, digest), Instant::now());
        let arrived = Arrived {
            bytes: &bytes,
            file: None,
            word: Some(&mut word),
        };
        let was_loaded = modules.load(digest, arrived, name, scope, load);
        // The next image comes behind it, whatever became of this one.
        let is_right = word.wait(&bytes, Shown { name, digest });
        spare.give_back(bytes);
        let was_loaded = was_loaded?;
        is_right?;
        Ok(Response::Loaded { was_loaded })
    }
}
