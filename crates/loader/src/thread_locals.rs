//! Which way an image's thread-local variables go, and where those of others are.

use std::collections::HashMap;
use std::ops::Range;

use farcall_arch::Expression;
use farcall_image::{Image, TlsTemplate};

use crate::TrustedImage;
use crate::error::{Error, Result};
use crate::indirect::IndirectWord;
use crate::load::unsupported;
use crate::relocate::{self, SegmentBytes, Value};
use crate::sys::host::{self, HostError, Initial, StaticBlock};
use crate::tls::{Slot, ThreadLocals, is_ours};

/// Finds a place for the image's thread-local variables: at one distance from every thread's pointer
/// if its code counts on that, else in blocks of their own.
///
/// `memory` holds what all threads share; `indirect` are the words that do not have it yet.
pub(crate) fn provide(
    image: &TrustedImage<'_>,
    memory: &SegmentBytes<'_>,
    indirect: &[IndirectWord],
) -> Result<Option<ThreadLocals>> {
    let form = image.image();
    let Some(template) = form.tls() else {
        return Ok(None);
    };
    if let Some(in_blocks) = in_blocks(image)? {
        return Ok(Some(in_blocks));
    }
    // Threads get their copies now, so that these bytes must be final.
    let range = template.vaddr..template.vaddr + template.file.len() as u64;
    let later = indirect.iter().map(|word| word.place..word.place + 8);
    let relocations = form.relocations();
    let thread_local = relocations.filter(|it| relocate::is_thread_local(it.expression));
    let thread_local = thread_local.map(|it| it.place..it.place + it.size());
    let overlaps = |place: Range<u64>| place.start < range.end && range.start < place.end;
    if later.chain(thread_local).any(overlaps) {
        return Err(unsupported(
            image,
            "a thread-local variable that is used in the initial-exec model starts as what only running code can tell",
        ));
    }
    let initial = Initial {
        bytes: initial_bytes(template, memory),
        size: template.memory_size,
        align: template.align,
    };
    let block = StaticBlock::new(form.machine(), initial).map_err(|error| match error {
        HostError::System(call, source) => Error::NoFileForTls {
            image: image.name().to_owned(),
            call,
            source,
        },
        HostError::Refused(reason) => Error::NoStaticTls {
            image: image.name().to_owned(),
            size: initial.size,
            align: initial.align,
            reason,
        },
    })?;
    Ok(Some(ThreadLocals::Static(block)))
}

/// A place for the image's thread-local variables in blocks of their own, unless there are none or its
/// code counts on one distance from every thread's pointer.
pub(crate) fn in_blocks(image: &TrustedImage<'_>) -> Result<Option<ThreadLocals>> {
    let form = image.image();
    let mut wanting = relocate::wants_distance(form, Expression::TlsOffset);
    if form.tls().is_none() || wanting.any(|symbol| symbol == 0) {
        return Ok(None);
    }
    let slot = Slot::new().map_err(|source| Error::System {
        image: image.name().to_owned(),
        call: "thread-local storage".to_owned(),
        source,
    })?;
    Ok(Some(ThreadLocals::Dynamic(slot)))
}

/// What a copy starts with, in memory.
fn initial_bytes<'a>(template: &TlsTemplate, memory: &'a SegmentBytes<'_>) -> &'a [u8] {
    let end = template.vaddr + template.file.len() as u64;
    if template.file.is_empty() {
        return &[];
    }
    let found = memory.range(template.vaddr..end);
    found.expect("parsing has found the bytes in a segment")
}

/// Where blocks are from the thread pointer, by identity, for those whose distance the image's code
/// asks for and that have one.
pub(crate) fn static_blocks(
    image: &Image<'_>,
    own: Option<&ThreadLocals>,
    imports: &[Value],
) -> HashMap<u64, u64> {
    let offset = relocate::wants_distance(image, Expression::TlsOffset);
    let descriptor = relocate::wants_distance(image, Expression::TlsDescriptorPair);
    let mut hosts: Vec<u64> = offset
        .chain(descriptor)
        .filter(|&symbol| symbol != 0)
        .filter_map(|symbol| match imports.get(usize::try_from(symbol).ok()?)? {
            Value::ThreadLocal { module, .. } if !is_ours(*module) => Some(*module),
            _ => None,
        })
        .collect();
    hosts.sort_unstable();
    hosts.dedup();
    let mut blocks = host::static_blocks(&hosts);
    if let Some(ThreadLocals::Static(block)) = own {
        blocks.insert(block.module, block.offset);
    }
    blocks
}
