//! Whose images an executor loads.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use farcall_image::{CodeSignature, Digest, Image, Utc};
use farcall_loader::{Loader, Permission};
use farcall_protocol::{Definition, ErrorKind, Failure, Request};
use farcall_trust::{PolicyChange, PolicyError, PolicyFile, Refusal, Verified};

use crate::audit::{Audit, Load};

/// Whose images an executor loads.
#[derive(Debug, Default)]
pub enum Trust {
    /// Everybody's who can connect. [`run`](crate::run) says so at its start, and does it for controllers of this machine only.
    #[default]
    Unsigned,
    /// Those that this policy lets, as it stands at each load.
    Policy(PolicyFile),
}

/// What an executor's policy has to say; without one, nothing.
///
/// Of an executor whose calls run in workers the supervisor has the policy: it verifies the bytes that the template and the workers map,
/// and permits them what the policy says. These never see the policy's file.
#[derive(Debug, Default)]
pub(crate) struct Admission {
    policy: Option<Arc<PolicyFile>>,
    pub(crate) audit: Audit,
    /// What a supervisor has permitted images that are not loaded yet.
    permitted: Mutex<HashMap<Digest, Permission>>,
}

/// What of the host an image may use, as a policy says.
#[derive(Debug)]
pub(crate) struct Permit {
    by: String,
    host: Vec<String>,
}

impl Permit {
    /// As a supervisor says it.
    pub(crate) fn request(&self, digest: Digest) -> Request<'_> {
        Request::Permit {
            digest,
            by: &self.by,
            host: self.host.iter().map(String::as_str).collect(),
        }
    }
}

/// An image's code signature, the one that came last.
#[derive(Debug, Default)]
pub(crate) struct Signed {
    signature: Mutex<Option<Arc<[u8]>>>,
    /// The generation of the policy that does not revoke it; 0 for none.
    stands_in: AtomicU64,
}

impl Signed {
    pub(crate) fn with(signature: Option<&[u8]>) -> Self {
        Self {
            signature: Mutex::new(signature.map(Into::into)),
            stands_in: AtomicU64::new(0),
        }
    }

    pub(crate) fn get(&self) -> Option<Arc<[u8]>> {
        let signature = self.signature.lock();
        signature.unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set(&self, signature: Option<&[u8]>) {
        let mut own = self
            .signature
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *own = signature.map(Into::into);
        self.stands_in.store(0, Ordering::Release);
    }
}

impl Admission {
    pub(crate) fn new(trust: Trust, audit: Audit) -> Self {
        Self {
            policy: match trust {
                Trust::Unsigned => None,
                Trust::Policy(policy) => Some(policy.into()),
            },
            audit,
            permitted: Mutex::default(),
        }
    }

    /// How many keys the policy trusts now.
    pub(crate) fn n_keys(&self) -> Option<usize> {
        self.policy.as_ref().map(|policy| policy.current().n_keys())
    }

    pub(crate) fn has_policy(&self) -> bool {
        self.policy.is_some()
    }

    /// Reads the policy's file again, if there is one.
    pub(crate) fn reload(&self) -> Option<Result<PolicyChange, PolicyError>> {
        self.policy.as_ref().map(|policy| policy.reload())
    }

    /// Has a loader ask the policy of each image, on the bytes that it maps, and say of it that it is accepted; or heed what the supervisor has permitted,
    /// whose bytes these are.
    pub(crate) fn guard(
        &self,
        loader: &mut Loader,
        permitted: Option<&Permission>,
        load: &Arc<Load>,
    ) -> Result<(), Failure> {
        if let Some(permission) = permitted.cloned() {
            loader.verify_images(move |_| Ok(permission.clone()));
            return Ok(());
        }
        let Some(policy) = self.policy.clone() else {
            return load.must_accept();
        };
        let load = Arc::clone(load);
        loader.verify_images(move |image| {
            let verified = verify(&policy, image, &load)?;
            load.accept().map_err(|error| load.note_unwritten(&error))?;
            let by = verified.by();
            Ok(Permission::only(&by, move |name| verified.may_bind(name)))
        });
        Ok(())
    }

    /// Verifies an image that others are to load from the same bytes. Gives what they are to permit it, if there is a policy.
    pub(crate) fn verify(&self, image: &Image<'_>, load: &Load) -> Result<Option<Permit>, Refusal> {
        let Some(policy) = &self.policy else {
            return Ok(None);
        };
        let verified = verify(policy, image, load)?;
        // What is no text is on no list.
        let names = (image.imports()).filter_map(|(_, it)| std::str::from_utf8(it.name).ok());
        Ok(Some(Permit {
            by: verified.by(),
            host: (names.filter(|name| verified.may_bind(name)))
                .map(str::to_owned)
                .collect(),
        }))
    }

    /// Notes what a supervisor permits.
    pub(crate) fn permit(&self, digest: Digest, by: &str, host: &[&str]) {
        let host: HashSet<Box<str>> = host.iter().map(|&name| name.into()).collect();
        let permission = Permission::only(by, move |name| host.contains(name));
        self.permitted().insert(digest, permission);
    }

    /// What a supervisor has permitted an image that is loaded now.
    pub(crate) fn take_permitted(&self, digest: Digest) -> Option<Permission> {
        self.permitted().remove(&digest)
    }

    /// The key by which an image that is loaded was let in.
    pub(crate) fn signer(&self, signature: &Signed) -> Option<String> {
        let trailer = signature.get().filter(|_| self.has_policy())?;
        Some(CodeSignature::parse(&trailer).ok()?.claims.key.to_string())
    }

    fn permitted(&self) -> MutexGuard<'_, HashMap<Digest, Permission>> {
        (self.permitted.lock()).unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether an image that is loaded already would be let in now, with this signature: the policy may have changed since.
    pub(crate) fn check(
        &self,
        digest: Digest,
        signature: Option<&[u8]>,
        load: &Load,
    ) -> Result<(), Refusal> {
        load.claim(signature.unwrap_or_default());
        let Some(policy) = &self.policy else {
            return Ok(());
        };
        let signature = signature.ok_or(Refusal::Unsigned)?;
        let policy = policy.current();
        let verified = policy.verify_signature(digest, signature, Utc::now())?;
        load.verify(verified.key());
        Ok(())
    }

    /// Whether an image that is loaded may still be called: whether neither it nor its key has been revoked, or taken out of the policy, as far as the
    /// policy has been read. That a signature or a key has expired since ends no calls: they say until when it may be loaded.
    ///
    /// Costs nothing until the policy changes.
    pub(crate) fn check_call(
        &self,
        name: impl FnOnce() -> String,
        digest: Digest,
        signed: &Signed,
    ) -> Result<(), Failure> {
        let Some(policy) = &self.policy else {
            return Ok(());
        };
        let generation = policy.generation();
        if signed.stands_in.load(Ordering::Acquire) == generation {
            return Ok(());
        }
        let signature = signed.get().unwrap_or_default();
        let checked = (policy.latest()).verify_signature(digest, &signature, Utc::now());
        if let Err(
            refusal @ (Refusal::RevokedKey { .. }
            | Refusal::UnknownKey { .. }
            | Refusal::RevokedImage),
        ) = checked
        {
            return Err(Failure {
                kind: ErrorKind::Refused,
                message: format!("{}: refused: {refusal}", name()),
            });
        }
        signed.stands_in.store(generation, Ordering::Release);
        Ok(())
    }

    /// Whether a request may be made at all. Where images are signed nobody writes to memory or says that an import is an address:
    /// either would have signed code do what its signers do not know of.
    pub(crate) fn check_request(&self, request: &Request<'_>) -> Result<(), Failure> {
        let what = match request {
            Request::Poke { .. } => "writing to memory",
            Request::Define {
                definition: Definition::Address(_),
                ..
            } => "defining a symbol by its address",
            _ => return Ok(()),
        };
        match self.policy {
            None => Ok(()),
            Some(_) => Err(Failure {
                kind: ErrorKind::Refused,
                message: format!(
                    "{what}: refused, because this executor has a policy: use a buffer, bytes or a module's export"
                ),
            }),
        }
    }
}

fn verify(policy: &PolicyFile, image: &Image<'_>, load: &Load) -> Result<Arc<Verified>, Refusal> {
    let verified = policy.current().verify(image);
    let verified = verified.inspect_err(|refusal| load.note(refusal))?;
    load.verify(verified.key());
    Ok(verified)
}
