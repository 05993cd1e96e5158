//! The LLVM calls that inkwell lacks, each behind a safe function.
//!
//! This is the crate's only unsafe module, with its parts; what to do with these calls is decided elsewhere.
//!
//! Two facts hold for every block below and are not repeated there. An inkwell `Context` or `Module` behind a reference is
//! live, so its raw pointer is valid; and neither is `Sync`, so no other thread uses that context meanwhile. A [`Global`]
//! borrows its module, and what erases a global takes the module by `&mut`: no `Global` outlives what it points to.

#![allow(
    unsafe_code,
    reason = "the C interface of LLVM has no safe form for these calls"
)]

mod absolute;
mod backend;
mod divide;
mod global;
mod merge;
mod outline;
mod redeclare;
mod scope;
mod split;

use std::{
    cell::RefCell,
    ffi::{CStr, c_char, c_int, c_void},
    io::Write,
    ptr, slice,
    sync::Once,
    thread,
};

use inkwell::{
    context::{AsContextRef, Context},
    memory_buffer::MemoryBuffer,
    module::Module,
    targets::{InitializationConfig, Target},
};
use llvm_sys::{
    LLVMDiagnosticSeverity, LLVMLinkage, LLVMModuleFlagBehavior, core::*,
    error_handling::LLVMInstallFatalErrorHandler, ir_reader::LLVMParseIRInContext2, prelude::*,
};

pub(crate) use absolute::absolute_address;
pub(crate) use backend::{Backend, BackendOptions, CodeModel};
pub(crate) use divide::Division;
pub(crate) use global::{AttributeKind, Global, GlobalKind, Place, Shape, Type, globals};
pub(crate) use merge::merge;
pub(crate) use outline::{assembly_symbols, has_assembly};
pub(crate) use redeclare::redeclare;
pub(crate) use scope::share_scope;
pub(crate) use split::Split;

/// Makes LLVM ready, once a process: its targets, and what happens when it cannot go on.
pub(crate) fn initialize() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let config = InitializationConfig::default();
        Target::initialize_x86(&config);
        Target::initialize_aarch64(&config);
        // SAFETY: the handler has the required signature and lives as long as the program. LLVM wants no concurrent
        // installation; `Once` excludes one by this crate, and the crate's documentation tells the application.
        unsafe { LLVMInstallFatalErrorHandler(Some(on_fatal_error)) };
    });
}

/// Has `handler` run when the process exits, before what was registered by now: LLVM's destructors among it.
pub(crate) fn at_exit(handler: extern "C" fn()) {
    unsafe extern "C" {
        fn atexit(handler: extern "C" fn()) -> c_int;
    }
    // SAFETY: the handler takes nothing, and is there as long as the program. Without memory for it there is none.
    let _ = unsafe { atexit(handler) };
}

/// Takes LLVM's reason for going no further.
pub(crate) type GiveUp = Box<dyn FnOnce(String)>;

thread_local! {
    static GIVE_UP: RefCell<Option<GiveUp>> = const { RefCell::new(None) };
}

/// Sets what happens when LLVM cannot go on in this thread: `give_up` gets the reason, and the thread never runs again.
pub(crate) fn on_give_up(give_up: GiveUp) {
    GIVE_UP.set(Some(give_up));
}

/// LLVM met something that it cannot report as an error. It ends the process when this returns.
extern "C" fn on_fatal_error(reason: *const c_char) {
    // SAFETY: LLVM passes a C string that lives during the call.
    let reason = unsafe { CStr::from_ptr(reason) }.to_string_lossy();
    if let Some(give_up) = GIVE_UP.take() {
        give_up(reason.into_owned());
        loop {
            thread::park();
        }
    }
    // A thread of the application's own; and there is no one left to tell when standard error is closed.
    let _ = writeln!(std::io::stderr(), "LLVM ERROR: {reason}");
}

/// What LLVM has to say while a context is used: errors are kept, the rest goes to `tracing`.
///
/// Without it LLVM prints an error and ends the process.
pub(crate) struct Diagnostics<'c> {
    context: &'c Context,
    errors: Box<RefCell<Vec<String>>>,
}

impl<'c> Diagnostics<'c> {
    pub(crate) fn install(context: &'c Context) -> Self {
        let errors = Box::new(RefCell::new(Vec::new()));
        let data = ptr::from_ref::<RefCell<Vec<String>>>(&errors)
            .cast_mut()
            .cast::<c_void>();
        // SAFETY: `data` points into the box, which is freed only after `drop` has uninstalled the handler (and never,
        // should `self` be forgotten). `on_diagnostic` reads it as the type that it has.
        unsafe { LLVMContextSetDiagnosticHandler(context.raw(), Some(on_diagnostic), data) };
        Self { context, errors }
    }

    /// The errors since the last call.
    pub(crate) fn take_errors(&self) -> Vec<String> {
        self.errors.take()
    }
}

impl Drop for Diagnostics<'_> {
    fn drop(&mut self) {
        // SAFETY: no handler and no data are what a fresh context has.
        unsafe { LLVMContextSetDiagnosticHandler(self.context.raw(), None, ptr::null_mut()) };
    }
}

extern "C" fn on_diagnostic(info: LLVMDiagnosticInfoRef, data: *mut c_void) {
    // SAFETY: `info` is live during the call, and `Diagnostics::install` passed `data`: a live `RefCell<Vec<String>>` of
    // this thread, since a context is used by one thread at a time. The description is a fresh C string, ours to free.
    let (severity, text, errors) = unsafe {
        let severity = LLVMGetDiagInfoSeverity(info);
        (
            severity,
            take_message(LLVMGetDiagInfoDescription(info)),
            &*data.cast::<RefCell<Vec<String>>>(),
        )
    };
    match severity {
        LLVMDiagnosticSeverity::LLVMDSError => errors.borrow_mut().push(text.trim_end().to_owned()),
        LLVMDiagnosticSeverity::LLVMDSWarning => tracing::warn!("{text}"),
        LLVMDiagnosticSeverity::LLVMDSRemark | LLVMDiagnosticSeverity::LLVMDSNote => {
            tracing::debug!("{text}");
        }
    }
}

/// Reads text or bitcode.
///
/// `Context::create_module_from_ir` of inkwell 0.11 does the same and leaks the buffer with LLVM 22.
pub(crate) fn parse<'c>(context: &'c Context, ir: &MemoryBuffer<'_>) -> Result<Module<'c>, String> {
    let mut module = ptr::null_mut();
    let mut message = ptr::null_mut();
    // SAFETY: the buffer is live and ends in a NUL that is not counted, as the text parser wants (inkwell's copying
    // constructor sees to it). It stays ours. Both results are written before they are read.
    let failed =
        unsafe { LLVMParseIRInContext2(context.raw(), ir.as_mut_ptr(), &mut module, &mut message) };
    // SAFETY: without a failure `module` is a fresh module of this context and nobody else's; with one, `message` is.
    unsafe {
        if failed == 0 {
            Ok(Module::new(module))
        } else {
            Err(take_message(message))
        }
    }
}

/// The value of an integer module flag.
pub(crate) fn module_flag(module: &Module<'_>, key: &str) -> Option<u64> {
    let node = flag_node(module, key)?;
    let value = flag_operands(node)[2];
    // SAFETY: a verified module's flag has three live operands; the kind of this one is tested before it is read.
    unsafe {
        if LLVMIsAConstantInt(value).is_null() {
            None
        } else {
            Some(LLVMConstIntGetZExtValue(value))
        }
    }
}

/// Sets an integer module flag, which may exist or not.
///
/// Metadata belongs to the context: the module must be the only one in it.
pub(crate) fn set_module_flag(module: &Module<'_>, key: &str, value: u32) {
    let context = module.get_context();
    // SAFETY: the constant is of the module's context, and wrapping it as metadata keeps it alive.
    let value = unsafe {
        let int32 = LLVMInt32TypeInContext(context.as_ctx_ref());
        LLVMValueAsMetadata(LLVMConstInt(int32, u64::from(value), 0))
    };
    match flag_node(module, key) {
        // SAFETY: the node is live and has three operands, of which the last is the value.
        Some(node) => unsafe { LLVMReplaceMDNodeOperandWith(node, 2, value) },
        // SAFETY: the key is copied, by its length.
        None => unsafe {
            let behavior = LLVMModuleFlagBehavior::LLVMModuleFlagBehaviorOverride;
            LLVMAddModuleFlag(
                module.as_mut_ptr(),
                behavior,
                key.as_ptr().cast(),
                key.len(),
                value,
            );
        },
    }
}

/// The flag's metadata node, `{behaviour, key, value}`.
fn flag_node(module: &Module<'_>, key: &str) -> Option<LLVMValueRef> {
    const FLAGS: &CStr = c"llvm.module.flags";
    // SAFETY: LLVM writes as many nodes as it has counted.
    let nodes = unsafe {
        let count = LLVMGetNamedMetadataNumOperands(module.as_mut_ptr(), FLAGS.as_ptr());
        let mut nodes = vec![ptr::null_mut(); count as usize];
        LLVMGetNamedMetadataOperands(module.as_mut_ptr(), FLAGS.as_ptr(), nodes.as_mut_ptr());
        nodes
    };
    nodes.into_iter().find(|&node| {
        let mut length = 0;
        // SAFETY: the second operand of a verified module's flag is a string, whose bytes the context owns.
        let name = unsafe {
            let text = LLVMGetMDString(flag_operands(node)[1], &mut length);
            bytes(text, length as usize)
        };
        name == key.as_bytes()
    })
}

fn flag_operands(node: LLVMValueRef) -> [LLVMValueRef; 3] {
    let mut operands = [ptr::null_mut(); 3];
    // SAFETY: `node` comes from `llvm.module.flags`; the verifier has seen that each of these has three operands.
    unsafe {
        assert_eq!(LLVMGetMDNodeNumOperands(node), 3, "the module is verified");
        LLVMGetMDNodeOperands(node, operands.as_mut_ptr());
    }
    operands
}

/// Adds a section that linkers read and leave out (SHF_EXCLUDE, not SHF_ALLOC).
///
/// It is a private constant that nothing uses: add it after the passes that would drop it.
pub(crate) fn add_excluded_section(module: &Module<'_>, section: &CStr, content: &[u8]) {
    let raw = module.as_mut_ptr();
    // SAFETY: all values are made in the module's own context; content and names are copied, by length or up to their NUL.
    unsafe {
        let context = LLVMGetModuleContext(raw);
        let data = LLVMConstStringInContext2(context, content.as_ptr().cast(), content.len(), 1);
        let global = LLVMAddGlobal(raw, LLVMTypeOf(data), c"farcall.section".as_ptr());
        LLVMSetInitializer(global, data);
        LLVMSetGlobalConstant(global, 1);
        LLVMSetLinkage(global, LLVMLinkage::LLVMPrivateLinkage);
        LLVMSetSection(global, section.as_ptr());
        LLVMSetAlignment(global, 1);
        let kind = LLVMGetMDKindIDInContext(context, c"exclude".as_ptr(), 7);
        LLVMGlobalSetMetadata(
            global,
            kind,
            LLVMMDNodeInContext2(context, ptr::null_mut(), 0),
        );
    }
}

/// # Safety
/// Null, or a string that LLVM has handed over.
unsafe fn take_message(message: *mut c_char) -> String {
    if message.is_null() {
        return String::new();
    }
    // SAFETY: a C string, as promised by the caller, freed once and after it is copied.
    unsafe {
        let text = CStr::from_ptr(message).to_string_lossy().into_owned();
        LLVMDisposeMessage(message);
        text
    }
}

/// # Safety
/// Null with length 0, or `length` readable bytes that outlive `'a`.
unsafe fn bytes<'a>(start: *const c_char, length: usize) -> &'a [u8] {
    if length == 0 {
        return &[];
    }
    // SAFETY: as promised by the caller.
    unsafe { slice::from_raw_parts(start.cast(), length) }
}
