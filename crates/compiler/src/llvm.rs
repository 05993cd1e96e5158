//! The LLVM calls that inkwell lacks, each behind a safe function.
//!
//! This is the crate's only unsafe module; what to do with these calls is decided elsewhere.
//!
//! Two facts hold for every block below and are not repeated there. An inkwell `Context` or `Module` behind a reference is
//! live, so its raw pointer is valid; and neither is `Sync`, so no other thread uses that context meanwhile. A [`Global`]
//! borrows its module, and what erases a global takes the module by `&mut`: no `Global` outlives what it points to.

#![allow(
    unsafe_code,
    reason = "the C interface of LLVM has no safe form for these calls"
)]

use std::{
    cell::RefCell,
    ffi::{CStr, c_char, c_uint, c_void},
    io::Write,
    marker::PhantomData,
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
    LLVMDiagnosticSeverity, LLVMLinkage, LLVMModuleFlagBehavior, LLVMTypeKind, LLVMVisibility,
    core::*, error_handling::LLVMInstallFatalErrorHandler, ir_reader::LLVMParseIRInContext2,
    prelude::*,
};

/// Makes LLVM ready, once a process: its targets, and what happens when it cannot go on.
pub(crate) fn initialize() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        Target::initialize_x86(&InitializationConfig::default());
        // SAFETY: the handler has the required signature and lives as long as the program. LLVM wants no concurrent
        // installation; `Once` excludes one by this crate, and the crate's documentation tells the application.
        unsafe { LLVMInstallFatalErrorHandler(Some(on_fatal_error)) };
    });
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

/// A function, variable, alias or ifunc of a module.
pub(crate) struct Global<'m> {
    value: LLVMValueRef,
    pub(crate) kind: GlobalKind,
    module: PhantomData<&'m ()>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GlobalKind {
    Function,
    Variable,
    Alias,
    Ifunc,
}

/// Where an attribute of a function's signature stands.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Place {
    Result,
    /// From 0.
    Parameter(usize),
}

/// All globals, in the module's order, one kind after the other.
pub(crate) fn globals<'m>(module: &'m Module<'_>) -> Vec<Global<'m>> {
    type First = unsafe extern "C" fn(LLVMModuleRef) -> LLVMValueRef;
    type Next = unsafe extern "C" fn(LLVMValueRef) -> LLVMValueRef;
    let lists: [(GlobalKind, First, Next); 4] = [
        (
            GlobalKind::Function,
            LLVMGetFirstFunction,
            LLVMGetNextFunction,
        ),
        (GlobalKind::Variable, LLVMGetFirstGlobal, LLVMGetNextGlobal),
        (
            GlobalKind::Alias,
            LLVMGetFirstGlobalAlias,
            LLVMGetNextGlobalAlias,
        ),
        (
            GlobalKind::Ifunc,
            LLVMGetFirstGlobalIFunc,
            LLVMGetNextGlobalIFunc,
        ),
    ];
    let mut globals = Vec::new();
    for (kind, first, next) in lists {
        // SAFETY: each pair walks one list of the module; `next` is given live members only, and null ends the walk.
        unsafe {
            let mut value = first(module.as_mut_ptr());
            while !value.is_null() {
                globals.push(Global {
                    value,
                    kind,
                    module: PhantomData,
                });
                value = next(value);
            }
        }
    }
    globals
}

impl Global<'_> {
    /// The name in the IR, which may begin with LLVM's `\01`.
    pub(crate) fn name(&self) -> &[u8] {
        let mut length = 0;
        // SAFETY: a global's name belongs to it and is not changed while the module is borrowed.
        unsafe { bytes(LLVMGetValueName2(self.value, &mut length), length) }
    }

    pub(crate) fn linkage(&self) -> LLVMLinkage {
        // SAFETY: the value is a live global.
        unsafe { LLVMGetLinkage(self.value) }
    }

    pub(crate) fn is_declaration(&self) -> bool {
        // SAFETY: the value is a live global.
        unsafe { LLVMIsDeclaration(self.value) != 0 }
    }

    pub(crate) fn is_used(&self) -> bool {
        // SAFETY: the value is live.
        unsafe { !LLVMGetFirstUse(self.value).is_null() }
    }

    pub(crate) fn has_default_visibility(&self) -> bool {
        // SAFETY: the value is a live global.
        unsafe { LLVMGetVisibility(self.value) == LLVMVisibility::LLVMDefaultVisibility }
    }

    /// Sets `dso_local`. The global must not be of local linkage.
    ///
    /// The C interface has no such call; but a visibility other than the default implies `dso_local`, and going back to the
    /// default does not take it away.
    pub(crate) fn set_dso_local(&self) {
        // SAFETY: the value is a live global.
        unsafe {
            let visibility = LLVMGetVisibility(self.value);
            LLVMSetVisibility(self.value, LLVMVisibility::LLVMHiddenVisibility);
            LLVMSetVisibility(self.value, visibility);
        }
    }

    /// The function's type, or the type of the variable's content.
    pub(crate) fn value_type(&self) -> Type<'_> {
        // SAFETY: the value is a live global.
        let raw = unsafe { LLVMGlobalGetValueType(self.value) };
        Type {
            raw,
            context: PhantomData,
        }
    }

    /// The function that signature attributes stand at: itself, or what an alias is an alias of.
    fn function(&self) -> Option<LLVMValueRef> {
        match self.kind {
            GlobalKind::Function => Some(self.value),
            // SAFETY: an alias has an aliasee; the cast tests for a function and gives null for anything else.
            GlobalKind::Alias => unsafe {
                let function = LLVMIsAFunction(LLVMAliasGetAliasee(self.value));
                if function.is_null() {
                    None
                } else {
                    Some(function)
                }
            },
            GlobalKind::Variable | GlobalKind::Ifunc => None,
        }
    }

    /// LLVM's number of the calling convention; 0 is C's.
    pub(crate) fn calling_convention(&self) -> u32 {
        // SAFETY: the value is a live function.
        self.function()
            .map_or(0, |function| unsafe { LLVMGetFunctionCallConv(function) })
    }

    /// Those of `names` (enum and type attributes) that stand at `place`, in LLVM's order.
    pub(crate) fn attributes(&self, place: Place, names: &[&'static str]) -> Vec<&'static str> {
        let Some(function) = self.function() else {
            return Vec::new();
        };
        let index = match place {
            Place::Result => llvm_sys::LLVMAttributeReturnIndex,
            // A function type has at most u32::MAX parameters.
            Place::Parameter(nth) => c_uint::try_from(nth).map_or(c_uint::MAX - 1, |nth| nth + 1),
        };
        let kind = |name: &str| {
            // SAFETY: the name is read by its length.
            unsafe { LLVMGetEnumAttributeKindForName(name.as_ptr().cast(), name.len()) }
        };
        let known: Vec<(u32, &'static str)> =
            names.iter().map(|&name| (kind(name), name)).collect();
        let mut found = Vec::new();
        for attribute in attributes_at(function, index) {
            // SAFETY: the attribute belongs to the context. String attributes have no kind and are passed over.
            let kind = unsafe {
                if LLVMIsStringAttribute(attribute) != 0 {
                    0
                } else {
                    LLVMGetEnumAttributeKind(attribute)
                }
            };
            found.extend(
                known
                    .iter()
                    .filter(|known| known.0 == kind && kind != 0)
                    .map(|known| known.1),
            );
        }
        found
    }
}

fn attributes_at(function: LLVMValueRef, index: c_uint) -> Vec<LLVMAttributeRef> {
    // SAFETY: callers pass a live function; LLVM writes as many attributes as it has counted.
    unsafe {
        let mut attributes =
            vec![ptr::null_mut(); LLVMGetAttributeCountAtIndex(function, index) as usize];
        LLVMGetAttributesAtIndex(function, index, attributes.as_mut_ptr());
        attributes
    }
}

/// A type of a module's context.
#[derive(Clone, Copy)]
pub(crate) struct Type<'m> {
    raw: LLVMTypeRef,
    context: PhantomData<&'m ()>,
}

/// What a type is made of.
pub(crate) enum Shape<'m> {
    Function {
        result: Type<'m>,
        parameters: Vec<Type<'m>>,
        variadic: bool,
    },
    Struct {
        fields: Vec<Type<'m>>,
        packed: bool,
    },
    Array {
        length: u64,
        element: Type<'m>,
    },
    /// A structure that is only declared.
    Opaque,
    /// LLVM's spelling of any other type; it names no structure.
    Leaf(String),
}

impl<'m> Type<'m> {
    pub(crate) fn shape(self) -> Shape<'m> {
        let wrap = |raw| Type {
            raw,
            context: PhantomData,
        };
        // SAFETY: types live as long as their context. Each query is made of the kind of type that it is for, and LLVM
        // writes as many types as it has counted.
        unsafe {
            match LLVMGetTypeKind(self.raw) {
                LLVMTypeKind::LLVMFunctionTypeKind => {
                    let mut parameters =
                        vec![ptr::null_mut(); LLVMCountParamTypes(self.raw) as usize];
                    LLVMGetParamTypes(self.raw, parameters.as_mut_ptr());
                    Shape::Function {
                        result: wrap(LLVMGetReturnType(self.raw)),
                        parameters: parameters.into_iter().map(wrap).collect(),
                        variadic: LLVMIsFunctionVarArg(self.raw) != 0,
                    }
                }
                LLVMTypeKind::LLVMStructTypeKind if LLVMIsOpaqueStruct(self.raw) != 0 => {
                    Shape::Opaque
                }
                LLVMTypeKind::LLVMStructTypeKind => {
                    let mut fields =
                        vec![ptr::null_mut(); LLVMCountStructElementTypes(self.raw) as usize];
                    LLVMGetStructElementTypes(self.raw, fields.as_mut_ptr());
                    let packed = LLVMIsPackedStruct(self.raw) != 0;
                    Shape::Struct {
                        fields: fields.into_iter().map(wrap).collect(),
                        packed,
                    }
                }
                LLVMTypeKind::LLVMArrayTypeKind => Shape::Array {
                    length: LLVMGetArrayLength2(self.raw),
                    element: wrap(LLVMGetElementType(self.raw)),
                },
                _ => Shape::Leaf(take_message(LLVMPrintTypeToString(self.raw))),
            }
        }
    }
}

/// Replaces the globals that `choose` picks by fresh ones of the same name that are not `dso_local`.
///
/// The C interface can neither read nor clear `dso_local`, but what it makes does not have it. Picked may be declarations
/// and ifuncs. All that IR can say of a declaration and the C interface can set is carried over; what it cannot set (a
/// variable's code model and sanitizer flags) means nothing for a symbol that is reached through the GOT.
pub(crate) fn redeclare(module: &mut Module<'_>, choose: impl Fn(&Global<'_>) -> bool) {
    let chosen: Vec<(LLVMValueRef, GlobalKind)> = globals(module)
        .into_iter()
        .filter(choose)
        .map(|global| (global.value, global.kind))
        .collect();
    for (old, kind) in chosen {
        // SAFETY: `old` is a live global of this module and of this kind, and no `Global` exists: `module` is borrowed
        // mutably. The new one has the same type (checked by its address space), so that it can stand in every use. The name
        // is copied before its owner is erased, and the erased one is not used again.
        unsafe {
            let new = match kind {
                GlobalKind::Function => fresh_function(module.as_mut_ptr(), old),
                GlobalKind::Variable => fresh_variable(module.as_mut_ptr(), old),
                GlobalKind::Ifunc => fresh_ifunc(module.as_mut_ptr(), old),
                GlobalKind::Alias => continue,
            };
            // The linkage comes first: of a hidden symbol only a weak one may stay without `dso_local`.
            LLVMSetLinkage(new, LLVMGetLinkage(old));
            LLVMSetVisibility(new, LLVMGetVisibility(old));
            LLVMSetUnnamedAddress(new, LLVMGetUnnamedAddress(old));
            if LLVMTypeOf(new) == LLVMTypeOf(old) {
                let mut length = 0;
                let name = bytes(LLVMGetValueName2(old, &mut length), length).to_vec();
                LLVMReplaceAllUsesWith(old, new);
                erase(old, kind);
                LLVMSetValueName2(new, name.as_ptr().cast(), name.len());
            } else {
                erase(new, kind);
            }
        }
    }
}

/// # Safety
/// `value` is a live global of this kind, not an alias, and is not used afterwards.
unsafe fn erase(value: LLVMValueRef, kind: GlobalKind) {
    // SAFETY: as promised by the caller.
    unsafe {
        match kind {
            GlobalKind::Function => LLVMDeleteFunction(value),
            GlobalKind::Variable => LLVMDeleteGlobal(value),
            GlobalKind::Ifunc => LLVMEraseGlobalIFunc(value),
            GlobalKind::Alias => {}
        }
    }
}

/// # Safety
/// `old` is a live function declaration of `module`.
unsafe fn fresh_function(module: LLVMModuleRef, old: LLVMValueRef) -> LLVMValueRef {
    // SAFETY: all that is read of `old` is alive with it; attributes and metadata belong to the context.
    unsafe {
        let new = LLVMAddFunction(module, c"".as_ptr(), LLVMGlobalGetValueType(old));
        LLVMSetFunctionCallConv(new, LLVMGetFunctionCallConv(old));
        let places = 0..=LLVMCountParams(old);
        for index in places.chain([llvm_sys::LLVMAttributeFunctionIndex]) {
            for attribute in attributes_at(old, index) {
                LLVMAddAttributeAtIndex(new, index, attribute);
            }
        }
        let gc = LLVMGetGC(old);
        if !gc.is_null() {
            LLVMSetGC(new, gc);
        }
        copy_placement(old, new);
        new
    }
}

/// # Safety
/// `old` is a live variable declaration of `module`.
unsafe fn fresh_variable(module: LLVMModuleRef, old: LLVMValueRef) -> LLVMValueRef {
    // SAFETY: all that is read of `old` is alive with it.
    unsafe {
        let space = LLVMGetPointerAddressSpace(LLVMTypeOf(old));
        let new =
            LLVMAddGlobalInAddressSpace(module, LLVMGlobalGetValueType(old), c"".as_ptr(), space);
        LLVMSetGlobalConstant(new, LLVMIsGlobalConstant(old));
        LLVMSetThreadLocalMode(new, LLVMGetThreadLocalMode(old));
        LLVMSetExternallyInitialized(new, LLVMIsExternallyInitialized(old));
        copy_placement(old, new);
        new
    }
}

/// # Safety
/// `old` is a live ifunc of `module`.
unsafe fn fresh_ifunc(module: LLVMModuleRef, old: LLVMValueRef) -> LLVMValueRef {
    // SAFETY: the resolver is a constant of the module and alive with it.
    unsafe {
        let space = LLVMGetPointerAddressSpace(LLVMTypeOf(old));
        let resolver = LLVMGetGlobalIFuncResolver(old);
        LLVMAddGlobalIFunc(
            module,
            c"".as_ptr(),
            0,
            LLVMGlobalGetValueType(old),
            space,
            resolver,
        )
    }
}

/// Copies section, alignment and metadata.
///
/// # Safety
/// Both are live functions or variables of one module.
unsafe fn copy_placement(old: LLVMValueRef, new: LLVMValueRef) {
    // SAFETY: as promised by the caller; the list of metadata is ours to free and is read within its length.
    unsafe {
        let section = LLVMGetSection(old);
        if !section.is_null() {
            LLVMSetSection(new, section);
        }
        LLVMSetAlignment(new, LLVMGetAlignment(old));
        let mut count = 0;
        let entries = LLVMGlobalCopyAllMetadata(old, &mut count);
        for index in 0..c_uint::try_from(count).unwrap_or(0) {
            let kind = LLVMValueMetadataEntriesGetKind(entries, index);
            LLVMGlobalAddMetadata(
                new,
                kind,
                LLVMValueMetadataEntriesGetMetadata(entries, index),
            );
        }
        LLVMDisposeValueMetadataEntries(entries);
    }
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
