//! What a module of IR defines, before there is code of it.

use inkwell::{context::Context, module::Module};
use llvm_sys::LLVMLinkage as Linkage;

use crate::{
    Compiler, Error,
    backends::Backends,
    llvm::{self, Diagnostics, Global, GlobalKind},
    types,
};

/// What a module of IR defines: see [`Compiler::outline`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outline {
    /// The symbols that its object would define for others, hidden ones too. One that is weak may be missing there, if nothing in the module
    /// uses it (`linkonce`).
    pub definitions: Vec<DefinedSymbol>,
    /// The module, to be compiled instead of what it was read from: text is read once then.
    pub bitcode: Vec<u8>,
}

/// A symbol that a module of IR defines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DefinedSymbol {
    /// Its name in the object.
    pub name: String,
    /// What it names.
    pub kind: DefinedKind,
    /// Whether others may define it too: `weak`, `linkonce`, `common`.
    pub is_weak: bool,
    /// Whether it is hidden: others see it only if their image shares a scope with this one ([`Builder::share_scope`](crate::Builder::share_scope)).
    pub is_hidden: bool,
    /// Its type as the object says it ([`TYPES_SECTION`](crate::TYPES_SECTION)). Empty for what assembly defines.
    pub value_type: String,
}

/// What a defined symbol names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DefinedKind {
    /// A function.
    Function,
    /// A function that is chosen when it is loaded (`ifunc`).
    IndirectFunction,
    /// A variable, also one of each thread.
    Variable,
    /// A function or a variable of the module's assembly, which does not say.
    Assembly,
}

impl Compiler {
    /// Reads and checks IR, text or bitcode, as [`compile_ir`](Self::compile_ir) does, and says what it defines.
    ///
    /// Costs reading it and writing it as bitcode; no code is made.
    ///
    /// # Errors
    /// As `compile_ir` has when it reads.
    pub fn outline(&self, name: &str, ir: &[u8]) -> Result<Outline, Error> {
        self.on_worker(name, ir, |compiler, name, ir, backends| {
            compiler.outline_here(name, ir, backends)
        })
    }

    fn outline_here(
        &self,
        name: &str,
        ir: &[u8],
        backends: &mut Backends,
    ) -> Result<Outline, Error> {
        let context = Context::create();
        let _diagnostics = Diagnostics::install(&context);
        let input = self.read(&context, name, ir, backends)?;
        let mut definitions: Vec<_> = llvm::globals(&input.module)
            .iter()
            .filter(|global| types::is_symbol(global) && is_definition(global))
            .filter_map(DefinedSymbol::of)
            .collect();
        definitions.extend(DefinedSymbol::of_assembly(&input.module));
        let bitcode = input.module.write_bitcode_to_memory().as_slice().to_vec();
        backends.give_back(input.options, input.backend);
        Ok(Outline {
            definitions,
            bitcode,
        })
    }
}

/// Whether the object has it.
pub(crate) fn is_definition(global: &Global<'_>) -> bool {
    !global.is_declaration() && global.linkage() != Linkage::LLVMAvailableExternallyLinkage
}

impl DefinedSymbol {
    /// What the module's own assembly defines. What is wrong with that is said when it is compiled.
    pub(crate) fn of_assembly(module: &Module<'_>) -> impl Iterator<Item = Self> {
        let symbols = llvm::assembly_symbols(module).into_iter();
        symbols.map(|(name, is_weak)| Self {
            name,
            kind: DefinedKind::Assembly,
            is_weak,
            is_hidden: false,
            value_type: String::new(),
        })
    }

    /// `None` when its name is none for a symbol.
    pub(crate) fn of(global: &Global<'_>) -> Option<Self> {
        let name = types::symbol(global)?;
        let is_function = || types::is_function(global);
        Some(Self {
            name: String::from_utf8(name.to_vec()).ok()?,
            kind: match global.kind {
                GlobalKind::Ifunc => DefinedKind::IndirectFunction,
                GlobalKind::Function => DefinedKind::Function,
                GlobalKind::Alias if is_function() => DefinedKind::Function,
                GlobalKind::Alias | GlobalKind::Variable => DefinedKind::Variable,
            },
            is_weak: !matches!(global.linkage(), Linkage::LLVMExternalLinkage),
            is_hidden: global.has_hidden_visibility(),
            value_type: types::notation(global),
        })
    }
}
