//! Reading globals and their types.

use std::{ffi::c_uint, marker::PhantomData, ptr};

use inkwell::module::Module;
use llvm_sys::{LLVMLinkage, LLVMTypeKind, LLVMVisibility, core::*, prelude::*};

use super::{bytes, take_message};

/// A function, variable, alias or ifunc of a module.
pub(crate) struct Global<'m> {
    pub(super) value: LLVMValueRef,
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
    pub(super) fn raw(&self) -> LLVMValueRef {
        self.value
    }

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

    pub(crate) fn has_hidden_visibility(&self) -> bool {
        // SAFETY: the value is a live global.
        unsafe { LLVMGetVisibility(self.value) == LLVMVisibility::LLVMHiddenVisibility }
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

    /// The names of those of `kinds` that stand at `place`, in LLVM's order.
    pub(crate) fn attributes(&self, place: Place, kinds: &[AttributeKind]) -> Vec<&'static str> {
        let Some(function) = self.function() else {
            return Vec::new();
        };
        let index = match place {
            Place::Result => llvm_sys::LLVMAttributeReturnIndex,
            // A function type has at most u32::MAX parameters.
            Place::Parameter(nth) => c_uint::try_from(nth).map_or(c_uint::MAX - 1, |nth| nth + 1),
        };
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
            let wanted = kinds.iter().filter(|wanted| wanted.number == kind);
            found.extend(wanted.map(|wanted| wanted.name));
        }
        found
    }
}

/// An enum or type attribute, without the type.
pub(crate) struct AttributeKind {
    name: &'static str,
    number: u32,
}

impl AttributeKind {
    /// The kind of this name, if LLVM has it. Looking it up takes as long as reading a function's attributes.
    pub(crate) fn named(name: &'static str) -> Option<Self> {
        // SAFETY: the name is read by its length.
        let number = unsafe { LLVMGetEnumAttributeKindForName(name.as_ptr().cast(), name.len()) };
        (number != 0).then_some(Self { name, number })
    }
}

pub(super) fn attributes_at(function: LLVMValueRef, index: c_uint) -> Vec<LLVMAttributeRef> {
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
