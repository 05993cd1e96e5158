//! The chain of states that an image goes through: `Image → Mapped → Bound → Published → Module`.
//! Dropping any of them undoes it.

use std::alloc::Layout;
use std::ffi::{c_char, c_void};
use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex, Weak};

use farcall_arch::Machine;
use farcall_image::{Image, Symbol, SymbolKind};

use crate::error::{Error, Result};
use crate::held::{Held, Kept, WeakHeld};
use crate::indirect::{IndirectFunctions, IndirectWord};
use crate::loaded::{Attachments, ExitHandlers, Loaded, Tables};
use crate::mapping::{Draft, Pages};
use crate::relocate::{self, RelocationError, ThreadLocalValues, Values};
use crate::reservation::SystemError;
use crate::resolve::Resolution;
use crate::source::Source;
use crate::sys::host::{self, UnwindTable, UnwindTables};
use crate::sys::tls_descriptor::descriptor_functions;
use crate::sys::{memory, noexcept, runtime};
use crate::thread_exit::{self, Registration};
use crate::tls::{Template, ThreadLocals, TlsIndex};
use crate::users::Users;
use crate::{Module, TrustedImage, cpu, dormant, fork, thread_locals};

/// Loads an image up to the point where its constructors would run.
///
/// Constants and code are mapped from `source`, a file with the image's bytes, if there is one.
pub(crate) fn publish(
    image: &TrustedImage<'_>,
    source: Option<Source<'_>>,
    pages: Pages,
    resolve: impl FnOnce() -> Result<Resolution>,
) -> Result<Published> {
    fork::watch();
    Mapped::new(image, source, pages)?
        .bind(resolve()?)?
        .publish()
}

/// As [`publish`], without running code of the image: one that would run is refused.
pub(crate) fn publish_dormant(
    image: &TrustedImage<'_>,
    source: Option<Source<'_>>,
    pages: Pages,
    resolve: impl FnOnce() -> Result<Resolution>,
) -> Result<Published> {
    fork::watch();
    let bound = Mapped::new(image, source, pages)?.bind(resolve()?)?;
    if bound.has_indirect_functions() {
        return Err(dormant::runs_code(image));
    }
    bound.publish()
}

/// An image's bytes in memory.
pub(crate) struct Mapped<'a, 'data> {
    image: &'a TrustedImage<'data>,
    draft: Draft,
    /// Its thread-local variables, if someone had to know of them early.
    tls: Option<ThreadLocals>,
}

/// An image with every import bound and every relocation applied.
pub(crate) struct Bound<'a, 'data> {
    image: &'a TrustedImage<'data>,
    draft: Draft,
    resolution: Resolution,
    tls: Option<ThreadLocals>,
    descriptor_pairs: Box<[TlsIndex]>,
    indirect: Vec<IndirectWord>,
    constructors: Vec<u64>,
    destructors: Vec<u64>,
}

/// An image that could run, and of which nothing has run.
pub(crate) struct Published {
    loaded: Loaded,
    /// The image's addresses, if it may register destructors of thread-local objects.
    thread_exit_ranges: Vec<Range<u64>>,
    constructors: Vec<u64>,
}

/// What constructors and `main` are given, as C programs know it: null-terminated arrays.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Arguments {
    pub(crate) count: i32,
    pub(crate) values: *const *const c_char,
}

impl Arguments {
    /// No arguments, not even a name.
    pub(crate) fn none() -> Self {
        struct Null(*const c_char);
        // SAFETY: a null pointer that is never written.
        unsafe impl Sync for Null {}
        static NONE: Null = Null(std::ptr::null());
        Self {
            count: 0,
            values: &raw const NONE.0,
        }
    }

    /// `(argc, argv, envp)`.
    pub(crate) fn words(self) -> [u64; 3] {
        // SAFETY: reading the pointer; programs that change the environment in another thread at
        // the same time are wrong already in C.
        let environment = unsafe { runtime::environ };
        [
            u64::from(self.count.cast_unsigned()),
            self.values.expose_provenance() as u64,
            environment.expose_provenance() as u64,
        ]
    }
}

impl<'a, 'data> Mapped<'a, 'data> {
    pub(crate) fn new(
        image: &'a TrustedImage<'data>,
        source: Option<Source<'_>>,
        pages: Pages,
    ) -> Result<Self> {
        check_form(image)?;
        let error = |error| system_error(image, error);
        let draft = Draft::new(image.image(), source, pages).map_err(error)?;
        let tls = None;
        Ok(Self { image, draft, tls })
    }

    /// What will be added to an address of the image.
    pub(crate) fn bias(&self) -> u64 {
        self.draft.bias()
    }

    /// The identity of the image's thread-local variables, for those that are bound to them before this
    /// image is bound itself; `None` when there are none or only binding can place them.
    pub(crate) fn thread_locals(&mut self) -> Result<Option<u64>> {
        if self.tls.is_none() {
            self.tls = thread_locals::in_blocks(self.image)?;
        }
        Ok(self.tls.as_ref().map(ThreadLocals::identity))
    }

    pub(crate) fn bind(self, mut resolution: Resolution) -> Result<Bound<'a, 'data>> {
        let Self {
            image,
            mut draft,
            tls,
        } = self;
        let form = image.image();
        resolution.make_stubs().map_err(|source| Error::System {
            image: image.name().to_owned(),
            call: "stubs for its imports".to_owned(),
            source,
        })?;
        let values = Values {
            bias: draft.bias(),
            imports: &resolution.values,
        };
        let error = |error| relocation_error(image, error);
        let mut segments = draft.segments_mut();
        let indirect = relocate::apply_shared(form, &mut segments, &values).map_err(error)?;
        let tls = match tls {
            Some(tls) => Some(tls),
            None => thread_locals::provide(image, &segments, &indirect)?,
        };
        let static_blocks = thread_locals::static_blocks(form, tls.as_ref(), values.imports);
        let thread_local = ThreadLocalValues {
            own_module: tls.as_ref().map(ThreadLocals::identity),
            static_blocks: &static_blocks,
            functions: descriptor_functions,
        };
        let descriptor_pairs =
            relocate::apply_thread_local(form, &mut segments, &values, &thread_local)
                .map_err(error)?;
        if indirect.iter().any(|word| is_table_entry(form, word)) {
            return Err(unsupported(
                image,
                "a constructor or destructor is an indirect function",
            ));
        }
        let constructors = relocate::words(&mut segments, form.init_array());
        let destructors = relocate::words(&mut segments, form.fini_array());
        let bound = Bound {
            constructors: functions(image, "constructor", constructors, &values)?,
            destructors: functions(image, "destructor", destructors, &values)?,
            image,
            draft,
            resolution,
            tls,
            descriptor_pairs,
            indirect,
        };
        Ok(bound)
    }
}

impl Bound<'_, '_> {
    /// Whether code of the image has to run before it is published.
    pub(crate) fn has_indirect_functions(&self) -> bool {
        let mut exports = self.image.image().all_exports();
        let is_indirect = |symbol: Symbol<'_>| symbol.kind == SymbolKind::IndirectFunction;
        !self.indirect.is_empty() || exports.any(|(_, symbol)| is_indirect(symbol))
    }

    pub(crate) fn publish(self) -> Result<Published> {
        let Self {
            image, resolution, ..
        } = self;
        let form = image.image();
        let error = |error| system_error(image, error);
        let mut memory = self.draft.make_callable(form).map_err(error)?;
        let bias = memory.bias();
        let tls = self.tls;
        if let (Some(ThreadLocals::Dynamic(slot)), Some(template)) = (&tls, template(image, bias)?)
        {
            // SAFETY: the slot is dropped before the memory: here as the later variable, in
            // `Loaded` as the earlier field.
            unsafe { slot.publish(template) };
        }
        // SAFETY: someone vouches for the image, and binding has applied its other relocations;
        // parsing has found the words in writable segments.
        let indirect = unsafe { IndirectFunctions::choose(form, &mut memory, &self.indirect) };
        let memory = memory.publish(form).map_err(error)?;

        // SAFETY: what is made of them is in `Loaded`, which drops the memory last.
        let in_memory = unsafe { memory.lookup_tables(form) };
        let tables = Tables::new(form, in_memory);
        let is_known = memory.name_functions(form) && host::UNWINDS_SPACES;
        let unwind = (!is_known).then(|| unwind_table(form, bias)).flatten();
        let unwind = unwind.map(|table| {
            // SAFETY: parsing has walked the records; `Loaded` drops this before the memory.
            unsafe { UnwindTables::register(&table) }
        });
        let dso_handle = bias.wrapping_add(form.dso_handle());
        let wants_thread_exit = imports_any(form, &thread_exit::NAMES);
        let thread_exit_ranges = match wants_thread_exit {
            true => memory.addresses(form).collect(),
            false => Vec::new(),
        };
        let attachments = Attachments {
            unwind,
            tls,
            descriptor_pairs: self.descriptor_pairs,
            indirect,
            thread_destructors: None,
            lazy_imports: resolution.lazy_imports,
            libraries: resolution.libraries,
        };
        for provider in &resolution.providers {
            provider.add_importer(image.name());
        }
        Ok(Published {
            thread_exit_ranges,
            constructors: self.constructors,
            loaded: Loaded {
                name: image.name_of().clone(),
                digest: form.digest(),
                tables,
                exit_handlers: ExitHandlers::new(
                    dso_handle,
                    self.destructors,
                    imports_any(form, &REGISTERING),
                ),
                users: Mutex::new(Users::default()),
                providers: resolution.providers,
                attachments: attachments.boxed(),
                memory,
            },
        })
    }
}

/// The functions by which an image's code registers handlers that unloading must forget.
const REGISTERING: [&[u8]; 3] = [
    b"__cxa_atexit",
    b"__cxa_at_quick_exit",
    b"__register_atfork",
];

impl Published {
    pub(crate) fn loaded(&self) -> &Loaded {
        &self.loaded
    }

    /// Registers the destructors and runs the constructors.
    pub(crate) fn start(mut self, arguments: Arguments) -> Result<Module> {
        self.loaded.register_exit_handlers()?;
        let constructors = self.take_constructors();
        let held = self.finish_alone();
        run_constructors(constructors, arguments);
        Ok(Module::new(held))
    }

    /// Keeps modules that it imports from, beyond those of its resolution.
    pub(crate) fn keep(&mut self, providers: impl Iterator<Item = Held>) {
        for provider in providers {
            provider.users().add_importer(self.loaded.name.as_str());
            self.loaded.providers.push(Kept::Module(provider));
        }
    }

    /// The module, of which no constructor has run, and which is in no cycle.
    pub(crate) fn finish_alone(self) -> Held {
        if self.thread_exit_ranges.is_empty() {
            return Held::Alone(Arc::new(self.loaded));
        }
        let finish = |weak: &Weak<Loaded>| self.finish(&WeakHeld::Alone(weak.clone()));
        Held::Alone(Arc::new_cyclic(finish))
    }

    /// The module, of which no constructor has run; `held` tells how it will be kept.
    pub(crate) fn finish(mut self, held: &WeakHeld) -> Loaded {
        let ranges = self.thread_exit_ranges;
        if !ranges.is_empty() {
            let attachments = self.loaded.attachments.get_or_insert_default();
            attachments.thread_destructors = Some(Registration::new(ranges, held));
        }
        self.loaded
    }

    /// Takes the constructors, which are to run once the module can be kept.
    pub(crate) fn take_constructors(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.constructors)
    }
}

/// Runs constructors that [`Published::take_constructors`] gave.
pub(crate) fn run_constructors(constructors: Vec<u64>, arguments: Arguments) {
    let arguments = arguments.words();
    for constructor in constructors {
        // SAFETY: loading has found the entry to be code, of an image that someone vouches for;
        // these are the arguments of constructors.
        unsafe { noexcept::call(constructor, arguments) };
    }
}

fn imports_any(image: &Image<'_>, names: &[&[u8]]) -> bool {
    let mut imports = image.imports();
    imports.any(|(_, symbol)| names.contains(&symbol.name))
}

/// Refuses what the form of images allows and this loader does not serve.
fn check_form(image: &TrustedImage<'_>) -> Result<()> {
    let form = image.image();
    let unknown = || unsupported(image, "no machine like this one is known");
    let expected = Machine::host().ok_or_else(unknown)?;
    if form.machine() != expected {
        return Err(Error::Image {
            image: image.name().to_owned(),
            source: farcall_image::Error::WrongMachine {
                found: form.machine(),
                expected,
            },
        });
    }
    if memory::page_size() as u64 > expected.max_page_size() {
        return Err(unsupported(
            image,
            "this system's pages are larger than those that images are made for",
        ));
    }
    cpu::check(image)
}

fn relocation_error(image: &TrustedImage<'_>, error: RelocationError) -> Error {
    match error {
        RelocationError::ThreadLocal => unsupported(
            image,
            "a relocation wants the one address of a thread-local variable",
        ),
        RelocationError::NotThreadLocal => unsupported(
            image,
            "a thread-local relocation refers to what is not thread-local",
        ),
        RelocationError::NotStatic(symbol) => Error::NotStaticTls {
            image: image.name().to_owned(),
            name: image.image().symbol(symbol).map_or_else(
                || "its own variables".to_owned(),
                |symbol| String::from_utf8_lossy(symbol.name).into_owned(),
            ),
        },
    }
}

/// Whether a word is a pointer to a constructor or destructor.
fn is_table_entry(image: &Image<'_>, word: &IndirectWord) -> bool {
    image.init_array().contains(&word.place) || image.fini_array().contains(&word.place)
}

/// The entries of a table that are functions: all but null and -1, which stand for none.
fn functions(
    image: &TrustedImage<'_>,
    table: &'static str,
    entries: Vec<u64>,
    values: &Values<'_>,
) -> Result<Vec<u64>> {
    let is_code = |address: u64| {
        let own = address.wrapping_sub(values.bias);
        let mut segments = image.image().segments().iter();
        segments.any(|segment| segment.executable && segment.memory.contains(&own))
            || values.imports.contains(&relocate::Value::Address(address))
    };
    let mut functions = Vec::with_capacity(entries.len());
    for (index, address) in entries.into_iter().enumerate() {
        if matches!(address, 0 | u64::MAX) {
            continue;
        }
        if !is_code(address) {
            return Err(Error::NotCode {
                image: image.name().to_owned(),
                table,
                index,
                address,
            });
        }
        functions.push(address);
    }
    Ok(functions)
}

/// The unwind table of an image that is at `bias`, if it has one.
fn unwind_table(image: &Image<'_>, bias: u64) -> Option<UnwindTable> {
    let at = |range: Range<u64>| bias.wrapping_add(range.start)..bias.wrapping_add(range.end);
    let records = image.eh_frame().filter(|records| !records.is_empty())?;
    let code = image.segments().iter().filter(|it| it.executable);
    let code = code.map(|it| it.memory.clone());
    let code = code.reduce(|all, it| all.start.min(it.start)..all.end.max(it.end))?;
    Some(UnwindTable {
        records: at(records),
        header: at(image.eh_frame_hdr()?),
        code: at(code),
    })
}

/// What each thread's block starts as, once the image is at `bias`.
fn template(image: &TrustedImage<'_>, bias: u64) -> Result<Option<Template>> {
    let Some(tls) = image.image().tls() else {
        return Ok(None);
    };
    let layout = || {
        let size = usize::try_from(tls.memory_size).ok()?;
        Layout::from_size_align(size, usize::try_from(tls.align).ok()?).ok()
    };
    Ok(Some(Template {
        address: bias.wrapping_add(tls.vaddr),
        initialized: tls.file.len(),
        layout: layout().ok_or_else(|| Error::System {
            image: image.name().to_owned(),
            call: format!("thread-local storage of {} bytes", tls.memory_size),
            source: io::ErrorKind::OutOfMemory.into(),
        })?,
    }))
}

pub(crate) fn unsupported(image: &TrustedImage<'_>, what: &'static str) -> Error {
    Error::Unsupported {
        image: image.name().to_owned(),
        what,
    }
}

fn system_error(image: &TrustedImage<'_>, error: SystemError) -> Error {
    Error::System {
        image: image.name().to_owned(),
        call: error.call,
        source: error.source,
    }
}

/// The pointer that a word of this process's is.
pub(crate) fn pointer(address: u64) -> *mut c_void {
    let address = usize::try_from(address).expect("it is an address in this process");
    std::ptr::with_exposed_provenance_mut(address)
}

#[cfg(test)]
mod tests {
    use farcall_testkit::Linker;

    use crate::made_object::{self, PLAIN, PLAIN_VALUE, TO_ABSENT, TO_ITSELF, TO_OTHER};
    use crate::{Definition, Loader, TrustedImage};

    use super::*;

    #[test]
    fn an_image_is_bound_and_its_data_is_written() {
        let object = made_object::object(Machine::host().unwrap());
        let bytes = Linker::new().add("made.o", &object).link().unwrap();
        // SAFETY: it has no code that runs at load.
        let image = unsafe { TrustedImage::assume_trusted(Image::parse(&bytes).unwrap()) };
        let mut loader = Loader::new();
        loader.host_exports(false);
        let missing = loader.load(&image, &[]).unwrap_err().to_string();
        assert!(missing.contains("missing symbol: other"), "{missing}");
        let mut other = [0_u64; 2];
        // SAFETY: the variable lives longer than the module.
        let other_one = unsafe { Definition::data_at(other.as_mut_ptr().cast()) };
        loader.define("other", other_one);
        // The image, and one that imports its variable as `other`.
        let first = loader.load(&image, &[]).unwrap();
        loader.define("other", Definition::export(&first, "own").unwrap());
        let second = loader.load(&image, &[&first]).unwrap();
        for (module, imported) in [
            (&first, other.as_mut_ptr().cast()),
            (&second, first.address("own").unwrap()),
        ] {
            let own = module.address("own").unwrap().cast::<u8>();
            // SAFETY: `own` has four words.
            let word = |at| unsafe { own.wrapping_add(at).cast::<u64>().read() };
            assert_eq!(word(TO_ITSELF), own.addr() as u64 + PLAIN as u64);
            assert_eq!(word(TO_OTHER), imported.addr() as u64 + 4);
            assert_eq!([word(TO_ABSENT), word(PLAIN)], [0, PLAIN_VALUE]);
            let itself = pointer(word(TO_ITSELF)).cast::<u64>();
            // SAFETY: it is the fourth word of `own`.
            unsafe { itself.write(7) };
            assert_eq!(word(PLAIN), 7);
            assert!(module.address("local").is_err());
            assert!(module.lookup::<unsafe extern "C" fn()>("function").is_ok());
        }
        first.unload().unwrap_err();
        second.unload().unwrap();
    }
}
