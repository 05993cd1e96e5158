//! An image in words: what `farcall inspect` prints.

use std::fmt::{self, Write as _};

use farcall_arch::{CpuFeatures, Machine};
use serde::Serialize;

use crate::image::{Binding, SymbolKind};
use crate::{CodeSignature, Image, Symbol, Utc};

/// What an image is made of, for people and, as JSON, for programs.
#[derive(Debug, Clone, Serialize)]
pub struct Description {
    /// The machine's name.
    pub machine: String,
    /// The digest that the image carries, in hexadecimal.
    pub digest: String,
    /// What made it.
    pub producer: String,
    /// The CPUs that it was compiled for.
    pub cpus: Vec<String>,
    /// What a CPU must have to run it, beyond the machine's baseline: levels and features.
    pub requires: Vec<String>,
    /// What of that the CPU lacks that was asked; `None` when none was. The image does not know: the
    /// caller fills it in.
    pub lacks: Option<Vec<String>>,
    /// The size of the file in bytes.
    pub file_size: usize,
    /// The address space that it takes in bytes.
    pub memory_size: u64,
    /// Its segments.
    pub segments: Vec<SegmentDescription>,
    /// The size of its thread-local variables in bytes.
    pub tls_size: u64,
    /// The number of constructors.
    pub constructors: u64,
    /// The number of destructors.
    pub destructors: u64,
    /// The number of words that only the load bias is added to.
    pub relative_relocations: usize,
    /// The number of other relocations.
    pub symbolic_relocations: usize,
    /// Its exports.
    pub exports: Vec<ExportDescription>,
    /// Its imports.
    pub imports: Vec<ImportDescription>,
    /// Its code signature, if it has one of which the form is right.
    pub signature: Option<SignatureDescription>,
}

/// What a code signature says. Whether it holds takes the signer's key.
#[derive(Debug, Clone, Serialize)]
pub struct SignatureDescription {
    /// The id of the key that it says it is of.
    pub key: String,
    /// The digest of the image that it is for: another one's means that it is no signature of this image.
    pub digest: String,
    /// From when on it holds, in seconds since 1970-01-01T00:00Z.
    pub not_before: u64,
    /// From when on it does not, likewise; `None` for never.
    pub expires: Option<u64>,
    /// The imports that may be bound to what the host has.
    pub host_imports: Vec<String>,
    /// Whether a policy lets the image load for it; `None` when none was asked. The image does not know: the caller fills
    /// it in.
    pub verified: Option<bool>,
}

/// A segment.
#[derive(Debug, Clone, Serialize)]
pub struct SegmentDescription {
    /// Its first address, from the load bias.
    pub address: u64,
    /// Its size in memory in bytes.
    pub memory_size: u64,
    /// Its size in the file in bytes.
    pub file_size: usize,
    /// `r--`, `r-x` or `rw-`.
    pub permissions: &'static str,
    /// Whether it is read-only once relocated.
    pub relro: bool,
}

/// An export.
#[derive(Debug, Clone, Serialize)]
pub struct ExportDescription {
    /// Its name.
    pub name: String,
    /// `function`, `variable`, …
    pub kind: &'static str,
    /// Its type in LLVM's syntax, if known.
    #[serde(rename = "type")]
    pub value_type: Option<String>,
    /// Its address from the load bias.
    pub address: u64,
    /// Its size in bytes, 0 when unknown.
    pub size: u64,
}

/// An import.
#[derive(Debug, Clone, Serialize)]
pub struct ImportDescription {
    /// Its name.
    pub name: String,
    /// `function`, `variable`, …
    pub kind: &'static str,
    /// Its type in LLVM's syntax, if known.
    #[serde(rename = "type")]
    pub value_type: Option<String>,
    /// Whether it is null when it is not found.
    pub weak: bool,
    /// Who refers to it.
    pub referrer: Option<String>,
}

impl Image<'_> {
    /// Describes the image.
    #[must_use]
    pub fn describe(&self) -> Description {
        let manifest = self.manifest();
        let relro = self.relro();
        let segments = (self.segments().iter())
            .map(|segment| SegmentDescription {
                address: segment.memory.start,
                memory_size: segment.memory.end - segment.memory.start,
                file_size: segment.file.len(),
                permissions: match (segment.writable, segment.executable) {
                    (true, _) => "rw-",
                    (false, true) => "r-x",
                    (false, false) => "r--",
                },
                relro: segment.writable && relro.contains(&segment.memory.start),
            })
            .collect();
        let type_of = |index| manifest.symbol_type(index).map(str::to_owned);
        let exports = (self.all_exports())
            .map(|(index, symbol)| ExportDescription {
                name: text(symbol.name),
                kind: kind(&symbol, type_of(index).as_deref()),
                value_type: type_of(index),
                address: symbol.value,
                size: symbol.size,
            })
            .collect();
        let imports = (self.imports())
            .map(|(index, symbol)| ImportDescription {
                name: text(symbol.name),
                kind: kind(&symbol, type_of(index).as_deref()),
                value_type: type_of(index),
                weak: symbol.binding == Binding::Weak,
                referrer: manifest.referrer(index).map(ToString::to_string),
            })
            .collect();
        let mut requires = required(self.machine(), manifest.required());
        requires.extend(manifest.unnumbered_names().map(str::to_owned));
        Description {
            machine: self.machine().to_string(),
            digest: self.digest().to_string(),
            producer: manifest.producer.to_owned(),
            cpus: manifest.cpu_names().map(str::to_owned).collect(),
            requires,
            lacks: None,
            file_size: self.bytes().len(),
            memory_size: self.span(),
            segments,
            tls_size: self.tls().map_or(0, |tls| tls.memory_size),
            constructors: (self.init_array().end - self.init_array().start) / 8,
            destructors: (self.fini_array().end - self.fini_array().start) / 8,
            relative_relocations: self.relative_words().count(),
            symbolic_relocations: self.relocations().count(),
            exports,
            imports,
            signature: self.code_signature().and_then(SignatureDescription::of),
        }
    }
}

impl SignatureDescription {
    fn of(trailer: &[u8]) -> Option<Self> {
        let claims = CodeSignature::parse(trailer).ok()?.claims;
        Some(Self {
            key: claims.key.to_string(),
            digest: claims.digest.to_string(),
            not_before: claims.not_before.0,
            expires: Some(claims.expires.0).filter(|_| claims.expires != Utc::NEVER),
            host_imports: claims.host_imports.into_iter().map(text).collect(),
            verified: None,
        })
    }
}

impl fmt::Display for SignatureDescription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "key {}", self.key)?;
        if self.not_before != 0 {
            write!(f, ", from {}", Utc(self.not_before))?;
        }
        if let Some(expires) = self.expires {
            write!(f, ", until {}", Utc(expires))?;
        }
        Ok(())
    }
}

/// The highest level that these features have whole, and what they have beyond it.
pub(crate) fn required(machine: Machine, features: CpuFeatures) -> Vec<String> {
    let level = machine.cpu_level(features);
    let beyond = features.without(level.map_or(CpuFeatures::NONE, |level| level.features));
    let mut names: Vec<String> = level.iter().map(|level| level.name.to_owned()).collect();
    names.extend(feature_names(machine, beyond));
    names
}

/// The names of features, or where they have none here their numbers.
fn feature_names(machine: Machine, features: CpuFeatures) -> Vec<String> {
    let name = |number| match machine.cpu_feature_name(number) {
        Some(name) => name.to_owned(),
        None => format!("feature {number}"),
    };
    features.numbers().map(name).collect()
}

/// What stands for features that have no number, where their names are not at hand.
pub(crate) const UNNUMBERED: &str = "a feature that has no number";

/// The names of what a CPU lacks.
pub(crate) fn missing(machine: Machine, features: CpuFeatures) -> Vec<String> {
    let mut names = feature_names(machine, features);
    if features.contains(CpuFeatures::UNNUMBERED) {
        names.push(UNNUMBERED.to_owned());
    }
    names
}

fn text(name: &[u8]) -> String {
    String::from_utf8_lossy(name).into_owned()
}

fn kind(symbol: &Symbol<'_>, value_type: Option<&str>) -> &'static str {
    match symbol.kind {
        SymbolKind::Function => "function",
        SymbolKind::Data => "variable",
        SymbolKind::Tls => "thread-local variable",
        SymbolKind::IndirectFunction => "indirect function",
        // An undefined symbol has no kind in ELF, but its IR type tells.
        SymbolKind::Unknown => match value_type {
            Some(value_type) if value_type.ends_with(')') => "function",
            Some(_) => "variable",
            None => "symbol",
        },
    }
}

impl fmt::Display for crate::Referrer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.object, self.place)
    }
}

impl fmt::Display for Description {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "machine      {}", self.machine)?;
        writeln!(f, "digest       {}", self.digest)?;
        if let Some(signature) = &self.signature {
            let verified = match signature.verified {
                None => " (not verified)",
                Some(true) => " (verified)",
                Some(false) => " (refused)",
            };
            writeln!(f, "signed by    {signature}{verified}")?;
            if signature.digest != self.digest {
                writeln!(f, "             for another image, {}", signature.digest)?;
            }
        }
        writeln!(f, "made by      {}", self.producer)?;
        if !self.cpus.is_empty() {
            writeln!(f, "compiled for {}", self.cpus.join(", "))?;
        }
        if !self.requires.is_empty() {
            write!(f, "requires     {}", self.requires.join(", "))?;
            match self.lacks.as_deref() {
                None => writeln!(f)?,
                Some([]) => writeln!(f, "; this CPU has all of it")?,
                Some(lacks) => writeln!(f, "; this CPU lacks {}", lacks.join(", "))?,
            }
        }
        writeln!(
            f,
            "size         {} bytes in the file, {} of addresses",
            self.file_size, self.memory_size
        )?;
        if self.tls_size != 0 {
            writeln!(f, "thread-local {} bytes", self.tls_size)?;
        }
        writeln!(
            f,
            "run          {}, {}",
            count(self.constructors, "constructor"),
            count(self.destructors, "destructor")
        )?;
        writeln!(
            f,
            "relocations  {} relative, {} symbolic",
            self.relative_relocations, self.symbolic_relocations
        )?;
        writeln!(f, "\nsegments        address       memory         file")?;
        for segment in &self.segments {
            let relro = if segment.relro {
                "  read-only after relocation"
            } else {
                ""
            };
            writeln!(
                f,
                "  {}      {:#12x} {:>12} {:>12}{relro}",
                segment.permissions, segment.address, segment.memory_size, segment.file_size
            )?;
        }
        writeln!(f, "\nexports ({})", self.exports.len())?;
        for export in &self.exports {
            write!(
                f,
                "  {:#12x} {:>8}  {} ",
                export.address, export.size, export.name
            )?;
            finish_line(f, export.kind, export.value_type.as_deref(), "")?;
        }
        // Those that may not be, if there are any, because most signers leave out none.
        let may_be_the_hosts = |name: &String| match &self.signature {
            Some(signature) => signature.host_imports.contains(name),
            None => true,
        };
        writeln!(f, "\nimports ({})", self.imports.len())?;
        for import in &self.imports {
            let mut note = String::new();
            if import.weak {
                note.push_str(", weak");
            }
            if !may_be_the_hosts(&import.name) {
                note.push_str(", of another image");
            }
            if let Some(referrer) = &import.referrer {
                write!(note, ", used by {referrer}")?;
            }
            write!(f, "  {} ", import.name)?;
            finish_line(f, import.kind, import.value_type.as_deref(), &note)?;
        }
        Ok(())
    }
}

/// A number of things, as people write it.
fn count(number: u64, what: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {what}{plural}")
}

fn finish_line(
    f: &mut fmt::Formatter<'_>,
    kind: &str,
    value_type: Option<&str>,
    note: &str,
) -> fmt::Result {
    match value_type {
        Some(value_type) if kind == "function" => writeln!(f, "{value_type}{note}"),
        Some(value_type) => writeln!(f, "{kind} {value_type}{note}"),
        None => writeln!(f, "{kind}{note}"),
    }
}
