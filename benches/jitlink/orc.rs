//! LLJIT over JITLink, through the C interface.

use std::ffi::{CStr, CString, c_char, c_void};
use std::ptr::null_mut;

use farcall_benches::{Contender, Entry};
use llvm_sys::core::LLVMCreateMemoryBufferWithMemoryRange;
use llvm_sys::error::{LLVMDisposeErrorMessage, LLVMErrorRef, LLVMGetErrorMessage};
use llvm_sys::orc2::ee::LLVMOrcCreateObjectLinkingLayerWithInProcessMemoryManager;
use llvm_sys::orc2::lljit::{
    LLVMOrcCreateLLJIT, LLVMOrcCreateLLJITBuilder, LLVMOrcLLJITAddObjectFile,
    LLVMOrcLLJITBuilderSetObjectLinkingLayerCreator, LLVMOrcLLJITGetExecutionSession,
    LLVMOrcLLJITGetGlobalPrefix, LLVMOrcLLJITRef,
};
use llvm_sys::orc2::{
    LLVMOrcCJITDylibSearchOrderElement, LLVMOrcCLookupSetElement, LLVMOrcCSymbolMapPairs,
    LLVMOrcCreateDynamicLibrarySearchGeneratorForProcess, LLVMOrcExecutionSessionCreateJITDylib,
    LLVMOrcExecutionSessionIntern, LLVMOrcExecutionSessionLookup, LLVMOrcExecutionSessionRef,
    LLVMOrcJITDylibAddGenerator, LLVMOrcJITDylibClear, LLVMOrcJITDylibLookupFlags,
    LLVMOrcJITDylibRef, LLVMOrcLookupKind, LLVMOrcObjectLayerRef, LLVMOrcSymbolLookupFlags,
};
use llvm_sys::target::{LLVM_InitializeNativeAsmPrinter, LLVM_InitializeNativeTarget};

/// LLJIT, and the object that it links into this process, each time into a `JITDylib` of its own.
#[derive(Debug)]
pub(crate) struct JitLink {
    object: Vec<u8>,
    /// Made at the first load, which is what the first load in a process means.
    session: Option<Session>,
    /// `JITDylib`s that were cleared: the C interface cannot remove one.
    free: Vec<LLVMOrcJITDylibRef>,
    n_made: usize,
}

#[derive(Debug, Clone, Copy)]
struct Session {
    jit: LLVMOrcLLJITRef,
    execution: LLVMOrcExecutionSessionRef,
}

impl JitLink {
    pub(crate) fn new(object: Vec<u8>) -> Self {
        Self {
            object,
            session: None,
            free: Vec::new(),
            n_made: 0,
        }
    }

    fn session(&mut self) -> Result<Session, String> {
        match self.session {
            Some(session) => Ok(session),
            None => Ok(*self.session.insert(Session::new()?)),
        }
    }

    fn dylib(&mut self, session: Session) -> Result<LLVMOrcJITDylibRef, String> {
        if let Some(dylib) = self.free.pop() {
            return Ok(dylib);
        }
        let name = CString::new(format!("module{}", self.n_made)).expect("no zero byte");
        self.n_made += 1;
        let mut dylib = null_mut();
        // SAFETY: the session is live, and the name ends in a zero byte.
        check(unsafe {
            LLVMOrcExecutionSessionCreateJITDylib(session.execution, &raw mut dylib, name.as_ptr())
        })?;
        let mut generator = null_mut();
        // SAFETY: the session is live; no filter is given.
        check(unsafe {
            LLVMOrcCreateDynamicLibrarySearchGeneratorForProcess(
                &raw mut generator,
                LLVMOrcLLJITGetGlobalPrefix(session.jit),
                None,
                null_mut(),
            )
        })?;
        // SAFETY: both are live; the `JITDylib` takes the generator.
        unsafe { LLVMOrcJITDylibAddGenerator(dylib, generator) };
        Ok(dylib)
    }
}

impl Session {
    fn new() -> Result<Self, String> {
        // SAFETY: these may be called at any time.
        unsafe {
            LLVM_InitializeNativeTarget();
            LLVM_InitializeNativeAsmPrinter();
        }
        // SAFETY: as above.
        let builder = unsafe { LLVMOrcCreateLLJITBuilder() };
        // Said, so that it cannot be RuntimeDyld, which is the default on some machines.
        // SAFETY: the builder is live, and the function has the type that it asks for.
        unsafe {
            LLVMOrcLLJITBuilderSetObjectLinkingLayerCreator(builder, jitlink_layer, null_mut());
        }
        let mut jit = null_mut();
        // SAFETY: the builder is live, and given away.
        check(unsafe { LLVMOrcCreateLLJIT(&raw mut jit, builder) })?;
        // SAFETY: the LLJIT is live; it owns the session.
        let execution = unsafe { LLVMOrcLLJITGetExecutionSession(jit) };
        Ok(Self { jit, execution })
    }

    fn find(self, dylib: LLVMOrcJITDylibRef, name: &CStr) -> Result<u64, String> {
        let mut order = [LLVMOrcCJITDylibSearchOrderElement {
            JD: dylib,
            JDLookupFlags:
                LLVMOrcJITDylibLookupFlags::LLVMOrcJITDylibLookupFlagsMatchExportedSymbolsOnly,
        }];
        let mut symbols = [LLVMOrcCLookupSetElement {
            // SAFETY: the session is live, and the name ends in a zero byte.
            Name: unsafe { LLVMOrcExecutionSessionIntern(self.execution, name.as_ptr()) },
            LookupFlags: LLVMOrcSymbolLookupFlags::LLVMOrcSymbolLookupFlagsRequiredSymbol,
        }];
        let mut result = Err("the lookup has not ended".to_owned());
        // SAFETY: all is live until the call returns, and by then the result has been given: LLJIT without threads of its
        // own materializes on this one.
        unsafe {
            LLVMOrcExecutionSessionLookup(
                self.execution,
                LLVMOrcLookupKind::LLVMOrcLookupKindStatic,
                order.as_mut_ptr(),
                order.len(),
                symbols.as_mut_ptr(),
                symbols.len(),
                found,
                (&raw mut result).cast(),
            );
        }
        result
    }
}

impl Contender for JitLink {
    type Module = LLVMOrcJITDylibRef;

    fn load(&mut self) -> Result<LLVMOrcJITDylibRef, String> {
        let session = self.session()?;
        let dylib = self.dylib(session)?;
        // SAFETY: the bytes live as long as this does, which is longer than the link.
        let buffer = unsafe {
            LLVMCreateMemoryBufferWithMemoryRange(
                self.object.as_ptr().cast(),
                self.object.len(),
                c"object".as_ptr(),
                0,
            )
        };
        // SAFETY: all are live, and the buffer is given away.
        check(unsafe { LLVMOrcLLJITAddObjectFile(session.jit, dylib, buffer) })?;
        Ok(dylib)
    }

    /// The first lookup in a module links it.
    fn entry(&self, module: &LLVMOrcJITDylibRef, name: &CStr) -> Entry {
        let session = self.session.expect("a module was loaded");
        let address = session.find(*module, name).expect("it is there");
        let address = usize::try_from(address).expect("an address of this process");
        let pointer = std::ptr::with_exposed_provenance::<c_void>(address);
        // SAFETY: the subjects' functions are of this type, or their caller changes it back.
        unsafe { std::mem::transmute::<*const c_void, Entry>(pointer) }
    }

    fn unload(&mut self, module: LLVMOrcJITDylibRef) {
        // SAFETY: the `JITDylib` is live.
        check(unsafe { LLVMOrcJITDylibClear(module) }).expect("a module can be removed");
        self.free.push(module);
    }
}

extern "C" fn jitlink_layer(
    _context: *mut c_void,
    session: LLVMOrcExecutionSessionRef,
    _triple: *const c_char,
) -> LLVMOrcObjectLayerRef {
    let mut layer = null_mut();
    // SAFETY: LLJIT calls this with its session.
    let made = unsafe {
        LLVMOrcCreateObjectLinkingLayerWithInProcessMemoryManager(&raw mut layer, session)
    };
    check(made).expect("a layer can be made");
    layer
}

extern "C" fn found(
    error: LLVMErrorRef,
    pairs: LLVMOrcCSymbolMapPairs,
    n_pairs: usize,
    context: *mut c_void,
) {
    let result = check(error).map(|()| {
        assert_eq!(n_pairs, 1);
        // SAFETY: without an error there are that many pairs.
        unsafe { (*pairs).Sym.Address }
    });
    // SAFETY: the context is what `find` gave, which waits for it.
    unsafe { *context.cast::<Result<u64, String>>() = result };
}

fn check(error: LLVMErrorRef) -> Result<(), String> {
    if error.is_null() {
        return Ok(());
    }
    // SAFETY: the error is live; this ends it.
    let message = unsafe { LLVMGetErrorMessage(error) };
    // SAFETY: the message ends in a zero byte.
    let text = unsafe { CStr::from_ptr(message) }
        .to_string_lossy()
        .into_owned();
    // SAFETY: nobody uses the message any more.
    unsafe { LLVMDisposeErrorMessage(message) };
    Err(text)
}
