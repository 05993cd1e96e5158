//! Certificates and keys, from PEM.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};

use crate::{Error, Result};

/// The longest file that is read, in bytes: a thousand certificates.
const MAX_FILE_SIZE: u64 = 1 << 20;

/// What one side of a TLS connection shows, and which other sides it trusts. All of it is PEM text.
#[derive(Clone)]
pub struct Credentials {
    certificate: Pem,
    key: Pem,
    cas: Option<Pem>,
    peers: Option<Pem>,
    files: Option<Files>,
}

/// The files that credentials are from.
#[derive(Debug, Clone)]
pub(super) struct Files {
    certificate: PathBuf,
    key: PathBuf,
    cas: Option<PathBuf>,
    peers: Option<PathBuf>,
}

impl Files {
    /// What they have now.
    pub(super) fn read(&self) -> Result<Credentials> {
        let (cas, peers) = (self.cas.as_deref(), self.peers.as_deref());
        Credentials::from_files(&self.certificate, &self.key, cas, peers)
    }
}

impl Credentials {
    /// Credentials that trust nobody yet: this side's certificate, followed by those that lead to its CA if there are any, and the
    /// certificate's private key. Both may be in the same text.
    #[must_use]
    pub fn new(certificate: impl Into<Vec<u8>>, key: impl Into<Vec<u8>>) -> Self {
        Self {
            certificate: Pem::new("the certificate", certificate),
            key: Pem::new("the key", key),
            cas: None,
            peers: None,
            files: None,
        }
    }

    /// Trusts whoever has a certificate of these CAs.
    #[must_use]
    pub fn trust_cas(mut self, certificates: impl Into<Vec<u8>>) -> Self {
        self.cas = Some(Pem::new("the CAs", certificates));
        self.files = None;
        self
    }

    /// Trusts whoever has one of these very certificates, whoever signed them, for as long as they are listed: they do not expire. That
    /// of an executor has to be for its host's name all the same.
    #[must_use]
    pub fn trust_peers(mut self, certificates: impl Into<Vec<u8>>) -> Self {
        self.peers = Some(Pem::new("the peers", certificates));
        self.files = None;
        self
    }

    /// Credentials from files of up to 1 MiB, with what [`new`](Self::new), [`trust_cas`](Self::trust_cas) and
    /// [`trust_peers`](Self::trust_peers) want in each.
    ///
    /// # Errors
    ///
    /// [`Error::Credentials`], which names the file: when it cannot be read, or when it is the key, belongs to this user, and
    /// others may use it, as `ssh` has it.
    pub fn from_files(
        certificate: &Path,
        key: &Path,
        cas: Option<&Path>,
        peers: Option<&Path>,
    ) -> Result<Self> {
        let read = |path: &Path| Pem::read(path, |_| Ok(()));
        Ok(Self {
            certificate: read(certificate)?,
            key: Pem::read(key, check_owned)?,
            cas: cas.map(read).transpose()?,
            peers: peers.map(read).transpose()?,
            files: Some(Files {
                certificate: certificate.to_owned(),
                key: key.to_owned(),
                cas: cas.map(Path::to_owned),
                peers: peers.map(Path::to_owned),
            }),
        })
    }

    pub(super) fn files(&self) -> Option<&Files> {
        self.files.as_ref()
    }

    /// The certificate with its key.
    pub(super) fn identity(&self, provider: &CryptoProvider) -> Result<Arc<SingleCertAndKey>> {
        let chain = self.certificate.certificates()?;
        let key = PrivateKeyDer::from_pem_slice(&self.key.text)
            .map_err(|error| self.key.wrong(self.key.key_fault(&error)))?;
        let key = (provider.key_provider)
            .load_private_key(key)
            .map_err(|_| self.key.wrong(CredentialFault::UnknownKey))?;
        let identity = CertifiedKey::new(chain, key);
        match identity.keys_match() {
            Ok(()) => Ok(Arc::new(identity.into())),
            Err(rustls::Error::InconsistentKeys(_)) => {
                Err(self.key.wrong(CredentialFault::OfAnother {
                    certificate: self.certificate.name.clone(),
                }))
            }
            Err(error) => Err(self.certificate.wrong(CredentialFault::unusable(&error))),
        }
    }

    /// The CAs whose word is good, if there are any.
    pub(super) fn roots(&self) -> Result<Option<Arc<RootCertStore>>> {
        let Some(cas) = &self.cas else {
            return Ok(None);
        };
        let mut roots = RootCertStore::empty();
        for certificate in cas.certificates()? {
            roots
                .add(certificate)
                .map_err(|error| cas.wrong(CredentialFault::unusable(&error)))?;
        }
        Ok(Some(Arc::new(roots)))
    }

    /// The certificates that are trusted themselves.
    pub(super) fn peers(&self) -> Result<Vec<CertificateDer<'static>>> {
        match (&self.peers, &self.cas) {
            (Some(peers), _) => peers.certificates(),
            (None, Some(_)) => Ok(Vec::new()),
            (None, None) => Err(self.certificate.wrong(CredentialFault::TrustsNobody)),
        }
    }

    /// For `map_err`: they cannot be used.
    pub(super) fn unusable<E: ToString>(&self) -> impl FnOnce(E) -> Error + '_ {
        |error| self.certificate.wrong(CredentialFault::unusable(&error))
    }
}

impl std::fmt::Debug for Credentials {
    /// Without the key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials")
            .field("certificate", &self.certificate.name)
            .field("cas", &self.cas.as_ref().map(|pem| &pem.name))
            .field("peers", &self.peers.as_ref().map(|pem| &pem.name))
            .finish_non_exhaustive()
    }
}

/// What is wrong with a certificate or key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CredentialFault {
    /// The file cannot be read.
    #[error("cannot read: {0}")]
    Unreadable(#[from] io::Error),
    /// It is not said whose certificates are good.
    #[error("neither CAs nor peers are trusted with it: nobody could connect")]
    TrustsNobody,
    /// The file is longer than any that has certificates.
    #[error("too long for certificates or a key")]
    TooLong,
    /// A key's file that others may use, whose key is therefore no secret.
    #[error(
        "others than its owner may use the file (mode {mode:04o}), so it is no secret: chmod 600, and a new key if they did"
    )]
    Exposed {
        /// The file's mode, 9 bits.
        mode: u32,
    },
    /// There is no certificate in the text.
    #[error("no certificate in it (PEM, BEGIN CERTIFICATE)")]
    NoCertificate,
    /// There is no private key in the text.
    #[error("no private key in it (PEM, BEGIN PRIVATE KEY)")]
    NoKey,
    /// The private key is damaged, or of a kind that is not known.
    #[error("no RSA, ECDSA or Ed25519 key as TLS 1.3 has them, or a damaged one")]
    UnknownKey,
    /// The private key needs a passphrase.
    #[error("the key is encrypted: openssl pkey -in FILE -out FILE writes it in the clear")]
    Encrypted,
    /// The key does not belong to the certificate.
    #[error("not the key of the certificate in {certificate}")]
    OfAnother {
        /// Where the certificate is from.
        certificate: String,
    },
    /// It is PEM or a certificate that cannot be read, or an algorithm that is not known.
    #[error("{reason}")]
    Unusable {
        /// What the TLS library says.
        reason: String,
    },
}

impl CredentialFault {
    fn unusable(error: &impl ToString) -> Self {
        let reason = error.to_string();
        Self::Unusable { reason }
    }
}

/// A text with the name of where it is from.
#[derive(Clone)]
struct Pem {
    name: String,
    text: Vec<u8>,
}

impl Pem {
    fn new(name: &str, text: impl Into<Vec<u8>>) -> Self {
        Self {
            name: name.to_owned(),
            text: text.into(),
        }
    }

    /// Reads a file that passes `check`, which sees it open: nobody can put another one in its place then.
    fn read(path: &Path, check: impl Fn(&File) -> Result<(), CredentialFault>) -> Result<Self> {
        let read = || {
            let file = File::open(path)?;
            check(&file)?;
            let mut text = Vec::new();
            file.take(MAX_FILE_SIZE + 1).read_to_end(&mut text)?;
            if text.len() as u64 > MAX_FILE_SIZE {
                return Err(CredentialFault::TooLong);
            }
            Ok(text)
        };
        let name = path.display().to_string();
        match read() {
            Ok(text) => Ok(Self { name, text }),
            Err(fault) => Err(Error::Credentials { name, fault }),
        }
    }

    fn certificates(&self) -> Result<Vec<CertificateDer<'static>>> {
        let found = CertificateDer::pem_slice_iter(&self.text).collect::<Result<Vec<_>, _>>();
        match found {
            Ok(found) if found.is_empty() => Err(self.wrong(CredentialFault::NoCertificate)),
            Ok(found) => Ok(found),
            Err(error) => Err(self.wrong(CredentialFault::unusable(&error))),
        }
    }

    /// Why no key was found.
    fn key_fault(&self, error: &pem::Error) -> CredentialFault {
        let text = String::from_utf8_lossy(&self.text);
        match error {
            pem::Error::NoItemsFound if text.contains("ENCRYPTED") => CredentialFault::Encrypted,
            pem::Error::NoItemsFound => CredentialFault::NoKey,
            error => CredentialFault::unusable(error),
        }
    }

    fn wrong(&self, fault: CredentialFault) -> Error {
        Error::Credentials {
            name: self.name.clone(),
            fault,
        }
    }
}

/// Refuses a file of this user's that others may use. Whoever keeps keys for others, with a group that may read
/// them, knows what they do.
fn check_owned(file: &File) -> Result<(), CredentialFault> {
    let metadata = file.metadata()?;
    let mode = metadata.mode() & 0o777;
    let is_ours = metadata.uid() == rustix::process::geteuid().as_raw();
    if is_ours && metadata.is_file() && mode & 0o077 != 0 {
        return Err(CredentialFault::Exposed { mode });
    }
    Ok(())
}
