//! Reading the inputs.

mod archive;
mod constructors;
mod debug;
mod eh_frame;
mod object;
mod properties;
mod relocations;
mod version;

use farcall_arch::Machine;

pub(crate) use archive::Archive;
pub use archive::{Member, archive_members};
pub(crate) use eh_frame::{PC_BEGIN, Record, RecordKind, records};
pub use object::is_bitcode;
pub(crate) use object::{
    Binding, InputSymbol, NamedPlaces, Object, Placement, Section, SymbolType, Visibility,
};
pub(crate) use properties::Property;
pub(crate) use version::Versioned;

use crate::error::{Error, Result};

/// The machine that all objects are for; that of the archives' first member when there are none.
pub(crate) fn common_machine(objects: &[Object<'_>], archives: &[Archive<'_>]) -> Result<Machine> {
    let Some(first) = objects.first() else {
        let mut inputs = archives.iter().filter(|archive| !archive.is_library);
        let first = inputs
            .find_map(|archive| archive.objects().next())
            .ok_or(Error::NoInputs)?;
        return Ok(first?.machine);
    };
    match objects
        .iter()
        .find(|object| object.machine != first.machine)
    {
        None => Ok(first.machine),
        Some(other) => Err(Error::MixedMachines {
            object: other.name.clone(),
            machine: other.machine,
            first_object: first.name.clone(),
            first_machine: first.machine,
        }),
    }
}
