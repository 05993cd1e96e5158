//! GNU properties of an object (`.note.gnu.property`).
//!
//! Source: Linux Extensions to gABI, "Program Property".

use farcall_arch::Machine;
use object::elf::SectionHeader64;
use object::endian::LittleEndian as LE;
use object::read::elf::SectionHeader as _;

use super::object::ReadError;
use crate::error::Error;

pub(super) const SECTION: &[u8] = b".note.gnu.property";

/// `GNU_PROPERTY_AARCH64_FEATURE_PAUTH`: who signs which pointers, as two words, of which zeroes mean
/// nobody.
const AARCH64_PAUTH: u32 = 0xc000_0001;

/// One property of an object whose value the image's depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Property {
    /// `GNU_PROPERTY_*`.
    pub(crate) kind: u32,
    pub(crate) value: u32,
}

/// The properties in a section of this name.
pub(super) fn properties(
    object: &str,
    machine: Machine,
    header: &SectionHeader64<LE>,
    bytes: &[u8],
) -> Result<Vec<Property>, ReadError> {
    let mut properties = Vec::new();
    let Some(mut notes) = header.notes(LE, bytes)? else {
        return Ok(properties);
    };
    while let Some(note) = notes.next()? {
        let Some(mut list) = note.gnu_properties(LE) else {
            continue;
        };
        while let Some(property) = list.next()? {
            let kind = property.pr_type().0;
            let signs = machine == Machine::Aarch64 && kind == AARCH64_PAUTH;
            if signs && property.pr_data().iter().any(|&byte| byte != 0) {
                return Err(Error::Section {
                    object: object.to_owned(),
                    section: String::from_utf8_lossy(SECTION).into_owned(),
                    reason: "the object is for a system that signs pointers (PAuth ABI), which loading does not do: \
                             compile it for another ABI",
                }
                .into());
            }
            if machine.property_rule(kind).is_some() {
                let value = property.data_u32(LE)?;
                properties.push(Property { kind, value });
            }
        }
    }
    Ok(properties)
}
