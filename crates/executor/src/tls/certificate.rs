//! What is said of a peer's certificate in logs: its name and its fingerprint.

use std::fmt::Write as _;

use rustls::crypto::ring::cipher_suite::TLS13_AES_128_GCM_SHA256;

/// A peer's own certificate, which has been verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Certificate {
    /// The common name of its subject, if it has one. Whoever signed it has chosen it; of one that was listed itself, its owner.
    pub(crate) name: Option<String>,
    /// SHA-256 of the certificate, in hexadecimal digits, as `openssl x509 -fingerprint -sha256` has it but for the colons.
    pub(crate) fingerprint: String,
}

impl Certificate {
    pub(super) fn of(der: &[u8]) -> Self {
        let mut fingerprint = String::new();
        if let Some(suite) = TLS13_AES_128_GCM_SHA256.tls13() {
            for byte in suite.common.hash_provider.hash(der).as_ref() {
                let _ = write!(fingerprint, "{byte:02x}");
            }
        }
        let name = common_name(der);
        Self { name, fingerprint }
    }
}

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const OBJECT_IDENTIFIER: u8 = 0x06;
/// `[0]`, which the version is in.
const VERSION: u8 = 0xa0;
/// id-at-commonName, 2.5.4.3.
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];

/// The last common name of a certificate's subject (RFC 5280, 4.1): the most specific one.
fn common_name(der: &[u8]) -> Option<String> {
    let mut certificate = Der(der).enter(SEQUENCE)?.enter(SEQUENCE)?;
    if certificate.0.first() == Some(&VERSION) {
        certificate.next()?;
    }
    // Its number, algorithm, issuer and time.
    for _ in 0..4 {
        certificate.next()?;
    }
    let mut subject = certificate.enter(SEQUENCE)?;
    let mut found = None;
    while let Some(mut names) = subject.enter(SET) {
        while let Some(mut name) = names.enter(SEQUENCE) {
            let (tag, kind) = name.next()?;
            let (_, value) = name.next()?;
            if tag == OBJECT_IDENTIFIER && kind == COMMON_NAME {
                found = Some(String::from_utf8_lossy(value).into_owned());
            }
        }
    }
    found
}

/// Values one after the other, in DER (X.690).
struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    /// The next value, and its tag.
    fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let (&[tag, first], rest) = self.0.split_first_chunk()?;
        let (length, rest) = match first {
            0..=0x7f => (first.into(), rest),
            // Of more bytes than these no certificate has any.
            0x81..=0x83 => {
                let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
                let length = bytes
                    .iter()
                    .fold(0, |sum, &byte| sum << 8 | usize::from(byte));
                (length, rest)
            }
            _ => return None,
        };
        let (value, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((tag, value))
    }

    /// The values in the next one, which has this tag.
    fn enter(&mut self, tag: u8) -> Option<Self> {
        self.next()
            .filter(|next| next.0 == tag)
            .map(|(_, value)| Self(value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A value of less than 128 bytes.
    fn value(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
        let content = parts.concat();
        [&[tag, u8::try_from(content.len()).unwrap()], &content[..]].concat()
    }

    fn name(kind: &[u8], text: &str) -> Vec<u8> {
        let of = value(OBJECT_IDENTIFIER, &[kind]);
        let pair = value(SEQUENCE, &[&of, &value(12, &[text.as_bytes()])]);
        value(SET, &[&pair])
    }

    fn certificate(version: &[u8], subject: &[&[u8]]) -> Vec<u8> {
        let empty = value(SEQUENCE, &[]);
        let issuer = value(SEQUENCE, &[&name(COMMON_NAME, "not this")]);
        let number = value(2, &[&[7]]);
        let subject = value(SEQUENCE, subject);
        let parts = [version, &number, &empty, &issuer, &empty, &subject, &empty];
        value(SEQUENCE, &[&value(SEQUENCE, &parts), &empty])
    }

    #[test]
    fn the_common_name_is_the_subjects() {
        let version = value(VERSION, &[&[2, 1, 2]]);
        let organization = name(&[0x55, 0x04, 0x0a], "us");
        let with = certificate(&version, &[&organization, &name(COMMON_NAME, "build")]);
        assert_eq!(common_name(&with).as_deref(), Some("build"));
        let first = certificate(&[], &[&name(COMMON_NAME, "é")]);
        assert_eq!(common_name(&first).as_deref(), Some("é"));
        assert_eq!(common_name(&certificate(&version, &[&organization])), None);
        // What is cut has no name, and does no harm.
        for end in 0..with.len() {
            assert_eq!(common_name(&with[..end]), None);
        }
        assert_eq!(common_name(&[0x30, 0x84, 0xff, 0xff, 0xff, 0xff]), None);
        assert_eq!(common_name(&[0x30, 0x83, 0xff, 0xff, 0xff]), None);
    }

    #[test]
    fn a_fingerprint_is_sha256() {
        // FIPS 180-4: of "abc".
        assert_eq!(
            Certificate::of(b"abc").fingerprint,
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }
}
