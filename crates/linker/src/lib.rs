//! The linker: objects and archives to one image, in memory.
//!
//! Phases, one file each, every phase borrowing what the one before gave and returning a type of
//! its own: `input` reads objects, `resolve` decides which definition each name means, `gc` leaves
//! out what nothing needs if that is asked, `merge` leaves one copy of equal constants, `local_exec`
//! takes code that was made for executables out of line, `share` decides what other images of a scope may define instead, `scan` collects what relocations need (GOT, PLT, dynamic relocations), `collect` sorts the inputs'
//! sections into the image's, `layout` gives every piece its address, `write` writes the bytes and
//! applies the relocations.
//!
//! No I/O and no host assumption: any host links for any machine, and the same inputs give the
//! same bytes.
//!
//! # To add a relocation
//!
//! Add its row to the machine's table in `farcall-arch`. If its expression is a new one, say in
//! `scan.rs` what it needs and in `apply.rs` how it is evaluated.

#![forbid(unsafe_code)]

mod apply;
mod collect;
mod cpu;
mod debug;
mod error;
mod exports;
mod gc;
mod headers;
mod input;
mod layout;
mod local_exec;
mod merge;
mod output;
mod packing;
mod properties;
mod refuse;
mod relax;
mod resolve;
mod scan;
mod share;
mod synthetic;
mod types;
mod write;

use input::{Archive, Object};

pub use error::{Error, Errors, NotExported, Place, Referrer, Result};
pub use exports::{ExportList, ParseExportListError};
pub use input::{Member, archive_members, is_bitcode};

/// The objects and archives of one image, in link order.
///
/// Borrows the bytes. Nothing is read before [`Linker::link`].
#[derive(Debug, Default, Clone)]
pub struct Linker<'data> {
    inputs: Vec<Input<'data>>,
    libraries: Vec<(String, &'data [u8])>,
    exports: Vec<String>,
    export_list: ExportList,
    gc_sections: bool,
    cpu_dispatch: bool,
    shares_scope: bool,
    debug_info: DebugInfo,
}

#[derive(Debug, Clone)]
struct Input<'data> {
    name: String,
    content: Content<'data>,
}

#[derive(Debug, Clone)]
enum Content<'data> {
    /// An object, or an archive whose members are linked on demand.
    File(&'data [u8]),
    /// An archive that is linked whole.
    Whole(&'data [u8]),
    /// Members that are linked on demand.
    Members(Vec<Member<'data>>),
}

/// What becomes of the inputs' debug information.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum DebugInfo {
    /// It is left out.
    #[default]
    Drop,
    /// It is in the image, behind what is loaded, with a table of all symbols.
    Keep,
}

/// An image and its debug information: see [`Linker::link_split`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split {
    /// The image, without debug information.
    pub image: Vec<u8>,
    /// An ELF file with the debug information, for debuggers, which know it by the image's build-id.
    pub debug_file: Vec<u8>,
}

impl<'data> Linker<'data> {
    /// A link with no inputs.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an object or an archive; which of the two, the bytes tell.
    ///
    /// `name` is how errors call it, such as its path; only its last component enters the image.
    /// Members of an archive are linked when something refers to a name that they define; all of
    /// them when there are only archives and nothing says which.
    pub fn add(&mut self, name: impl Into<String>, bytes: &'data [u8]) -> &mut Self {
        self.inputs.push(Input {
            name: name.into(),
            content: Content::File(bytes),
        });
        self
    }

    /// Adds an archive all of whose members are linked, whether anything refers to them or not.
    ///
    /// `name` is as in [`Linker::add`]. What is no archive is added as it is.
    pub fn add_whole_archive(&mut self, name: impl Into<String>, bytes: &'data [u8]) -> &mut Self {
        self.inputs.push(Input {
            name: name.into(),
            content: Content::Whole(bytes),
        });
        self
    }

    /// Adds the members of an archive, each with its name, as [`archive_members`] gives them: they are
    /// linked on demand. For archives of which some members had to be compiled.
    pub fn add_members(
        &mut self,
        name: impl Into<String>,
        members: Vec<Member<'data>>,
    ) -> &mut Self {
        self.inputs.push(Input {
            name: name.into(),
            content: Content::Members(members),
        });
        self
    }

    /// Adds an archive of which only what is needed is ever linked, after all inputs: a compiler's
    /// runtime.
    pub fn library(&mut self, name: impl Into<String>, bytes: &'data [u8]) -> &mut Self {
        self.libraries.push((name.into(), bytes));
        self
    }

    /// Exports `name`, if an input defines it, however it was declared: `main` of a program that
    /// hides its names.
    pub fn export(&mut self, name: impl Into<String>) -> &mut Self {
        self.exports.push(name.into());
        self
    }

    /// Exports no more than the list does, except for the names given to [`Linker::export`].
    pub fn export_list(&mut self, list: ExportList) -> &mut Self {
        self.export_list = list;
        self
    }

    /// Whether sections that no export and no constructor needs are left out, as they are not unless this
    /// says so. What is left out is not linked, so what is wrong in it is no error.
    pub fn gc_sections(&mut self, is_wanted: bool) -> &mut Self {
        self.gc_sections = is_wanted;
        self
    }

    /// Whether the code asks the CPU before it calls inputs that need more of it than others, so that the image
    /// requires only what all inputs need; those that say nothing need nothing. Unless this says so, it
    /// requires what any of them needs, and does not load on a CPU that lacks it.
    ///
    /// Within one input this goes without saying: it needs what all its functions need.
    pub fn cpu_dispatch(&mut self, asks: bool) -> &mut Self {
        self.cpu_dispatch = asks;
        self
    }

    /// Whether the image is for a scope in which images are what objects are to one link: of a weak definition one is meant by
    /// all of them, whichever image has it, and hidden names are found in all. Unless this says so, an image means what it defines itself, and
    /// hides what is hidden.
    ///
    /// Then code reaches a weak definition as if it were an import, and it is one, of the name that the image exports too: who
    /// loads the image says which is meant. That goes for what is weak or unique (`STB_GNU_UNIQUE`) unless a relocation needs it here, as
    /// code has that was made for executables; of a group all or none. Hidden definitions are exports that are marked so,
    /// hidden names without one are imports. What comes from [a runtime](Linker::library) stays the image's own.
    pub fn share_scope(&mut self, is_wanted: bool) -> &mut Self {
        self.shares_scope = is_wanted;
        self
    }

    /// What becomes of the inputs' debug information: it is dropped unless this says otherwise.
    pub fn debug_info(&mut self, debug_info: DebugInfo) -> &mut Self {
        self.debug_info = debug_info;
        self
    }

    /// Links what was added to an image and gives its bytes.
    ///
    /// Global definitions of default or protected visibility are exported; references bind to the
    /// image's own definitions first; what is undefined becomes an import.
    ///
    /// # Errors
    ///
    /// Everything found wrong in the phase that first finds something wrong.
    pub fn link(&self) -> Result<Vec<u8>, Errors> {
        let plan = self.plan(self.debug_info == DebugInfo::Keep)?;
        let unloaded = match self.debug_info {
            DebugInfo::Drop => Vec::new(),
            DebugInfo::Keep => debug::unloaded_sections(&plan.resolved, &plan.layout)?,
        };
        write::write(&plan.resolved, &plan.scanned, &plan.layout, &unloaded)
    }

    /// Links what was added to an image without debug information, the one that [`Linker::link`] gives
    /// when that is dropped, and to a file with it.
    ///
    /// # Errors
    ///
    /// Those of [`Linker::link`], and what is wrong in the debug information.
    pub fn link_split(&self) -> Result<Split, Errors> {
        let plan = self.plan(true)?;
        let image = write::write(&plan.resolved, &plan.scanned, &plan.layout, &[])?;
        let unloaded = debug::unloaded_sections(&plan.resolved, &plan.layout)?;
        let debug_file = debug::debug_file(&image, &plan.layout, &unloaded);
        Ok(Split { image, debug_file })
    }

    /// All phases but writing.
    fn plan(&self, with_debug_info: bool) -> Result<Plan<'data>, Errors> {
        let mut objects = Vec::with_capacity(self.inputs.len());
        let mut archives = Vec::new();
        for Input { name, content } in &self.inputs {
            match content {
                Content::Whole(bytes) if Archive::is_archive(bytes) => {
                    let archive = Archive::parse(name, bytes, false, with_debug_info)?;
                    for object in archive.objects() {
                        objects.push(object?);
                    }
                }
                Content::File(bytes) if Archive::is_archive(bytes) => {
                    archives.push(Archive::parse(name, bytes, false, with_debug_info)?);
                }
                Content::File(bytes) | Content::Whole(bytes) => {
                    objects.push(Object::parse(name.clone(), bytes, with_debug_info)?);
                }
                Content::Members(members) => {
                    archives.push(Archive::of_members(name, members, with_debug_info)?);
                }
            }
        }
        for (name, bytes) in &self.libraries {
            archives.push(Archive::parse(name, bytes, true, with_debug_info)?);
        }
        let machine = input::common_machine(&objects, &archives)?;
        let mut resolved = resolve::resolve(
            machine,
            objects,
            &archives,
            &self.exports,
            &self.export_list,
            self.shares_scope,
        )?;
        if self.gc_sections {
            gc::collect_garbage(&mut resolved)?;
        }
        local_exec::move_out_of_line(&mut resolved);
        merge::merge_sections(&mut resolved)?;
        if self.shares_scope {
            share::share(&mut resolved);
        }
        let scanned = scan::scan(&resolved)?;
        let cpus = cpu::cpus(machine, &resolved.objects, self.cpu_dispatch);
        let layout = layout::layout(&resolved, &scanned, &cpus)?;
        Ok(Plan {
            resolved,
            scanned,
            layout,
        })
    }
}

/// An image that is decided and not yet written.
struct Plan<'data> {
    resolved: resolve::Resolved<'data>,
    scanned: scan::Scanned,
    layout: layout::Layout<'data>,
}
