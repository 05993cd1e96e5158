//! `farcall call`.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use farcall::executor::{self, Address};
use farcall::image::nearest;
use farcall::loader::invoke;
use farcall::{Bundle, Image, Signature};

use crate::arguments::{self, Argument};
use crate::input::{checked_image, read_image};
use crate::libraries;
use crate::policy::PolicyOptions;
use crate::remote::{Remote, at_address, connect, name_of};
use crate::report::print;
use crate::timings::Timings;
use crate::tls::TlsFiles;
use crate::trusted::{flush_c_streams, invoke as invoke_here, trusted};

/// How the function's arguments are written.
const ARGUMENTS: &str = "\
Arguments for a parameter of type
  iN             42, -1, 0xff; for i1 also true and false
  float, double  2.5, -1e9, inf
  ptr            TEXT or str:TEXT  the text, with a zero at its end
                 hex:00ff          these bytes
                 @FILE             the bytes of the file
                 out:SIZE          SIZE zero bytes, printed after the call
                 null              null

What begins with a hyphen and is no decimal number goes after --.";

/// What `farcall call` was asked.
#[derive(Debug, Args)]
#[command(after_help = ARGUMENTS)]
pub(crate) struct Call {
    /// The image, or a bundle
    image: PathBuf,
    /// The function
    function: String,
    /// Its arguments, as listed below
    // A hyphen starts an option, unless a number follows: options may come after arguments.
    #[arg(value_name = "ARG", allow_negative_numbers = true)]
    arguments: Vec<String>,
    /// Call it in this executor: unix:PATH, tcp:HOST:PORT or tls:HOST:PORT
    #[arg(long, value_name = "ADDRESS")]
    on: Option<Address>,
    #[command(flatten)]
    tls: TlsFiles,
    /// The name that the executor's certificate has to have, if not the host's
    #[arg(long, value_name = "NAME")]
    tls_name: Option<String>,
    /// The function's type, for an image that does not know it: 'i32 (i32, ptr)'
    #[arg(long, value_name = "TYPE")]
    signature: Option<Signature>,
    /// Search this system library too
    #[arg(short = 'l', value_name = "NAME")]
    libraries: Vec<String>,
    #[command(flatten)]
    policy: PolicyOptions,
}

impl Call {
    pub(crate) fn execute(self, timings: &mut Timings) -> anyhow::Result<()> {
        let name = self.image.display().to_string();
        if self.on.is_some() && !self.libraries.is_empty() {
            anyhow::bail!("-l names libraries of this process; it cannot be used with --on");
        }
        if self.on.is_some() && self.policy.is_given() {
            anyhow::bail!(
                "--policy says what loads in this process; an executor has its own, and --on is for those"
            );
        }
        let bytes = read_image(&self.image)?;
        let tls = self
            .tls
            .client(self.on.as_ref(), self.tls_name.as_deref())?;
        // Which image of a bundle it is depends on who runs it.
        let (image, remote) = match &self.on {
            Some(address) if Bundle::is_bundle(&bytes) => {
                let remote = connect(address, tls.as_ref(), timings)?;
                (remote.image_of(&name, &bytes)?, Some(remote))
            }
            _ => (checked_image(&name, &bytes)?, None),
        };
        let signature = self.signature(&image).with_context(|| name.clone())?;
        let mut arguments = arguments::read(&signature, &self.arguments)
            .with_context(|| format!("{name}: {} is {signature}", self.function))?;
        let value = match &self.on {
            None => self.call_here(image, name, &signature, &mut arguments, timings)?,
            Some(address) => {
                let remote = remote.map_or_else(|| connect(address, tls.as_ref(), timings), Ok)?;
                self.call_on(address, remote, &image, &signature, &mut arguments, timings)?
            }
        };
        let result = arguments::show(value, &signature.result).into_iter();
        let buffers = arguments.iter().filter_map(|argument| match argument {
            Argument::Out(buffer) => Some(arguments::show_buffer(buffer)),
            _ => None,
        });
        let lines = result.chain(buffers).map(|line| line + "\n");
        print(&lines.collect::<String>())
    }

    /// The function's type: the manifest's, or for an image that has none the one given.
    fn signature(&self, image: &Image<'_>) -> anyhow::Result<Signature> {
        let function = &self.function;
        let index = image.exports().lookup(function.as_bytes());
        let index = index.with_context(|| no_export(image, function))?;
        let known = image
            .manifest()
            .symbol_type(index)
            .map(str::parse::<Signature>);
        match (known, &self.signature) {
            (Some(Ok(known)), Some(given)) if !known.is_call_compatible(given) => {
                anyhow::bail!("{function} is {known}, not {given}")
            }
            (Some(Ok(known)), _) => Ok(known),
            (Some(Err(_)), _) => anyhow::bail!("{function} is not a function"),
            (None, Some(given)) => Ok(given.clone()),
            (None, None) => anyhow::bail!(
                "the image does not know the type of {function}: give it with --signature, as in --signature 'i32 (i32, ptr)'"
            ),
        }
    }

    fn call_here(
        &self,
        image: Image<'_>,
        name: String,
        signature: &Signature,
        arguments: &mut [Argument],
        timings: &mut Timings,
    ) -> anyhow::Result<invoke::Value> {
        let mut loader = libraries::loader(&self.libraries)?;
        self.policy.apply(&mut loader)?;
        let module = timings.stage("load", || loader.load(&trusted(image, name), &[]))?;
        let mut arguments: Vec<invoke::Argument<'_>> = (arguments.iter_mut())
            .map(|argument| match argument {
                Argument::Int(value) => invoke::Argument::Int(*value),
                Argument::Float(value) => invoke::Argument::Float(*value),
                Argument::Double(value) => invoke::Argument::Double(*value),
                Argument::Null => invoke::Argument::Pointer(0),
                Argument::Bytes(bytes) | Argument::Out(bytes) => invoke::Argument::Buffer(bytes),
            })
            .collect();
        let call = || invoke_here(&module, &self.function, signature, &mut arguments);
        let value = timings.stage("call", call)?;
        // What the function printed comes before its result.
        flush_c_streams();
        Ok(value)
    }

    fn call_on(
        &self,
        address: &Address,
        remote: Remote,
        image: &Image<'_>,
        signature: &Signature,
        arguments: &mut [Argument],
        timings: &mut Timings,
    ) -> anyhow::Result<executor::Value> {
        let mut arguments: Vec<executor::Argument<'_>> = (arguments.iter_mut())
            .map(|argument| match argument {
                Argument::Int(value) => executor::Argument::Int(*value),
                Argument::Float(value) => executor::Argument::Float(*value),
                Argument::Double(value) => executor::Argument::Double(*value),
                Argument::Null => executor::Argument::Pointer(0),
                Argument::Bytes(bytes) => executor::Argument::In(bytes),
                Argument::Out(bytes) => executor::Argument::Out(bytes),
            })
            .collect();
        let signature = signature.to_string();
        let name = name_of(&self.image);
        let called = remote.call(
            image,
            &name,
            &self.function,
            &signature,
            &mut arguments,
            timings,
        );
        called.map_err(|error| at_address(error, address))
    }
}

fn no_export(image: &Image<'_>, function: &str) -> String {
    let names = || image.all_exports().map(|(_, symbol)| symbol.name);
    let nearest = nearest(function.as_bytes(), names());
    if !nearest.is_empty() {
        return format!("it exports no {function}; similar: {}", nearest.join(", "));
    }
    const SHOWN: usize = 5;
    let shown: Vec<_> = names().take(SHOWN).map(String::from_utf8_lossy).collect();
    match names().count() {
        0 => format!("it exports no {function}; it exports nothing"),
        count if count <= SHOWN => {
            format!("it exports no {function}, only {}", shown.join(", "))
        }
        count => format!("it exports no {function}; farcall inspect lists its {count} exports"),
    }
}
