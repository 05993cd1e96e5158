//! What a controller has a supervisor define and unload.

use farcall_image::Digest;
use farcall_protocol::{
    Definition, ErrorKind, Failure, ModuleName, Received, Request, Response, decode,
};

use super::calling::Calling;
use super::change::{Kept, Value};
use super::front::Front;
use super::pool::lock;

impl Front {
    pub(super) fn define(
        &self,
        name: &str,
        value_type: Option<&str>,
        definition: &Definition<'_>,
        body: &[u8],
    ) -> std::result::Result<Response, Failure> {
        let value = match *definition {
            Definition::Address(address) => Value::Address(address),
            Definition::Bytes => Value::Bytes(body.to_vec()),
            Definition::Export { module, name } => Value::Export {
                module: self.supervisor.digest_of(module)?,
                name: name.to_owned(),
            },
            Definition::Callback { number } => Value::Callback(self.number_of(number)),
        };
        let address = self.supervisor.define(name, value_type, value)?;
        Ok(Response::Defined { address })
    }

    pub(super) fn unload(&self, module: ModuleName<'_>) -> std::result::Result<Response, Failure> {
        let digest = self.supervisor.digest_of(module)?;
        let state = lock(&self.state);
        let is_prepared =
            (state.functions.values()).any(|function| function.called.image == digest);
        let worker = Calling::worker().or_else(|| state.worker.clone());
        drop(state);
        if is_prepared {
            let name = self.supervisor.kept(digest, |kept| kept.name.clone());
            let name = name.unwrap_or_else(|| digest.to_string());
            return Err(crate::failures::in_use(&name, &[]));
        }
        let mut crashed = None;
        if let Some(worker) = worker.filter(|worker| !worker.has_ended()) {
            let request = Request::Unload {
                module: ModuleName::Digest(digest),
            };
            self.advance(&worker, digest)?;
            let unloaded = worker.ask(&request, &[], None);
            // Destructors print too.
            worker.pass_on_output();
            match unloaded {
                Ok(frame) => {
                    if let Ok(Received {
                        message: Response::Failed(failure),
                        ..
                    }) = decode(&frame)
                        && failure.kind == ErrorKind::InUse
                    {
                        return Err(failure);
                    }
                }
                // It is unloaded all the same.
                Err(gone) => crashed = Some(self.lost(&worker, gone, "its destructors", digest)),
            }
        }
        self.supervisor.unload(digest)?;
        crashed.map_or(Ok(Response::Done), Err)
    }

    /// Whether an image that is loaded may be called still.
    pub(super) fn check_call(&self, image: Digest) -> std::result::Result<(), Failure> {
        let admission = &self.shared.modules.admission;
        if !admission.has_policy() {
            return Ok(());
        }
        let check =
            |kept: &Kept| admission.check_call(|| kept.name.clone(), image, &kept.signature);
        self.supervisor.kept(image, check).unwrap_or(Ok(()))
    }

    /// The modules to import from: those that are asked for, or all that may be called.
    pub(super) fn scope(
        &self,
        scope: Option<&[Digest]>,
    ) -> std::result::Result<Option<Vec<Digest>>, Failure> {
        if let Some(scope) = scope {
            scope.iter().try_for_each(|&image| self.check_call(image))?;
            return Ok(Some(scope.to_vec()));
        }
        if !self.shared.modules.admission.has_policy() {
            return Ok(None);
        }
        let mut all = self.supervisor.announced(usize::MAX);
        let n_all = all.len();
        all.retain(|&image| self.check_call(image).is_ok());
        Ok((all.len() < n_all).then_some(all))
    }
}
