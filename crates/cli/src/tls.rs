//! The options for TLS.

use std::path::PathBuf;

use clap::Args;
use farcall::executor::{Address, Credentials, TlsClient};

/// The files that TLS needs, all of them PEM.
#[derive(Debug, Args)]
pub(crate) struct TlsFiles {
    /// For TLS, the certificate to show, and the chain to its CA
    #[arg(long = "tls-certificate", value_name = "FILE")]
    certificate: Option<PathBuf>,
    /// Its private key, for nobody else to read
    #[arg(long = "tls-key", value_name = "FILE")]
    key: Option<PathBuf>,
    /// The certificates of other sides that are trusted
    #[arg(long = "tls-peer", value_name = "FILE")]
    peers: Option<PathBuf>,
    /// CAs: other sides with a certificate of theirs are trusted
    #[arg(long = "tls-ca", value_name = "FILE")]
    cas: Option<PathBuf>,
}

impl TlsFiles {
    /// What is shown and trusted at an address that is for TLS; at others nothing may be given.
    pub(crate) fn credentials(
        &self,
        address: Option<&Address>,
    ) -> anyhow::Result<Option<Credentials>> {
        let is_given = [&self.certificate, &self.key, &self.peers, &self.cas]
            .iter()
            .any(|file| file.is_some());
        let Some(address @ Address::Tls { .. }) = address else {
            if is_given {
                anyhow::bail!(
                    "--tls-certificate, --tls-key, --tls-peer and --tls-ca are for tls:HOST:PORT only"
                );
            }
            return Ok(None);
        };
        match (&self.certificate, &self.key) {
            (Some(certificate), Some(key)) if self.peers.is_some() || self.cas.is_some() => {
                let (cas, peers) = (self.cas.as_deref(), self.peers.as_deref());
                Ok(Some(Credentials::from_files(certificate, key, cas, peers)?))
            }
            _ => anyhow::bail!(
                "{address}: needs --tls-certificate, --tls-key, and --tls-peer or --tls-ca"
            ),
        }
    }

    /// How an executor is reached at an address that is for TLS, whose certificate has to have this name, if not the host's.
    pub(crate) fn client(
        &self,
        address: Option<&Address>,
        name: Option<&str>,
    ) -> anyhow::Result<Option<TlsClient>> {
        let Some(credentials) = self.credentials(address)? else {
            if name.is_some() {
                anyhow::bail!("--tls-name is for tls:HOST:PORT only");
            }
            return Ok(None);
        };
        let client = TlsClient::new(&credentials)?;
        Ok(Some(match name {
            Some(name) => client.with_server_name(name)?,
            None => client,
        }))
    }
}
