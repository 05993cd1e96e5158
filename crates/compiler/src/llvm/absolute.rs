//! Numbers in IR that are used as addresses.

use std::{collections::HashSet, slice};

use inkwell::module::Module;
use llvm_sys::{LLVMIntPredicate, LLVMOpcode, LLVMTypeKind, core::*, prelude::*};

use super::{globals, take_message};

/// A number that IR makes a pointer of.
pub(crate) struct AbsoluteAddress {
    /// The name of the function or variable.
    pub(crate) owner: String,
    /// The instruction or the constant, as LLVM writes it.
    pub(crate) text: String,
    /// Its file, line and column in the source, if debug information says so.
    pub(crate) location: Option<String>,
}

/// The first number that IR makes a pointer of and that `is_refused`: it is given the number and the
/// pointer's address space.
pub(crate) fn absolute_address(
    module: &Module<'_>,
    is_refused: impl Fn(u64, u32) -> bool,
) -> Option<AbsoluteAddress> {
    let mut search = Search {
        is_refused,
        seen: HashSet::new(),
    };
    for global in globals(module) {
        let owner = || String::from_utf8_lossy(global.name()).into_owned();
        // What a global refers to: a variable's content, an alias's aim, a function's personality.
        let found = search.operands(global.value).then_some(global.value);
        let found = found.or_else(|| search.instructions(global.value));
        if let Some(value) = found {
            return Some(AbsoluteAddress {
                owner: owner(),
                text: text(value),
                location: location(value),
            });
        }
    }
    None
}

struct Search<F> {
    is_refused: F,
    /// Constants that were looked into: they share their parts.
    seen: HashSet<LLVMValueRef>,
}

impl<F: Fn(u64, u32) -> bool> Search<F> {
    /// The first instruction of a function that uses such a number; `None` for what is no function.
    fn instructions(&mut self, function: LLVMValueRef) -> Option<LLVMValueRef> {
        // SAFETY: the value is a live global; blocks and instructions are walked within it, and null ends each walk.
        unsafe {
            if LLVMIsAFunction(function).is_null() {
                return None;
            }
            let mut block = LLVMGetFirstBasicBlock(function);
            while !block.is_null() {
                let mut instruction = LLVMGetFirstInstruction(block);
                while !instruction.is_null() {
                    let is_cast = LLVMGetInstructionOpcode(instruction) == LLVMOpcode::LLVMIntToPtr;
                    if is_cast && self.is_refused_cast(instruction)
                        || !is_ordering(instruction) && self.operands(instruction)
                    {
                        return Some(instruction);
                    }
                    instruction = LLVMGetNextInstruction(instruction);
                }
                block = LLVMGetNextBasicBlock(block);
            }
        }
        None
    }

    /// Whether a constant among the operands of a value, or a part of one, is such a number.
    fn operands(&mut self, user: LLVMValueRef) -> bool {
        let mut pending = vec![user];
        while let Some(user) = pending.pop() {
            // SAFETY: the values are live users; operands are asked for by index below their number.
            unsafe {
                for index in 0..LLVMGetNumOperands(user).max(0) {
                    let operand = LLVMGetOperand(user, index.cast_unsigned());
                    // Globals are looked at by themselves; a basic block is no constant.
                    let is_part = !operand.is_null()
                        && LLVMIsConstant(operand) != 0
                        && LLVMIsAGlobalValue(operand).is_null()
                        && LLVMGetNumOperands(operand) > 0;
                    if !is_part || !self.seen.insert(operand) {
                        continue;
                    }
                    let is_cast = !LLVMIsAConstantExpr(operand).is_null()
                        && LLVMGetConstOpcode(operand) == LLVMOpcode::LLVMIntToPtr;
                    if is_cast && self.is_refused_cast(operand) {
                        return true;
                    }
                    pending.push(operand);
                }
            }
        }
        false
    }

    /// Whether an `inttoptr` is of a number that is refused, or of a vector with such a number in it.
    fn is_refused_cast(&self, cast: LLVMValueRef) -> bool {
        // SAFETY: the value is a live `inttoptr`, which has one operand, and a pointer's type or that of a vector of
        // pointers, which are as many as the elements of the operand.
        unsafe {
            let number = LLVMGetOperand(cast, 0);
            let mut pointer = LLVMTypeOf(cast);
            let mut n_elements = None;
            if LLVMGetTypeKind(pointer) == LLVMTypeKind::LLVMVectorTypeKind {
                n_elements = Some(LLVMGetVectorSize(pointer));
                pointer = LLVMGetElementType(pointer);
            }
            if LLVMIsConstant(number) == 0
                || LLVMGetTypeKind(pointer) != LLVMTypeKind::LLVMPointerTypeKind
            {
                return false;
            }
            let address_space = LLVMGetPointerAddressSpace(pointer);
            let is_refused = |number| {
                self::number(number).is_some_and(|number| (self.is_refused)(number, address_space))
            };
            match n_elements {
                None => is_refused(number),
                Some(n) => (0..n).any(|index| is_refused(LLVMGetAggregateElement(number, index))),
            }
        }
    }
}

/// Whether the instruction asks which of two values is larger. Of a pointer that only code asks which keeps numbers in
/// pointers, as Rust's `std::io::Error` does; a number to which it compares is a limit of these, and no place.
fn is_ordering(instruction: LLVMValueRef) -> bool {
    // SAFETY: the instruction is live, and a comparison where its predicate is asked for.
    unsafe {
        !LLVMIsAICmpInst(instruction).is_null()
            && !matches!(
                LLVMGetICmpPredicate(instruction),
                LLVMIntPredicate::LLVMIntEQ | LLVMIntPredicate::LLVMIntNE
            )
    }
}

/// The low 64 bits of an integer constant, as many as a pointer has; `None` when the value is none.
fn number(value: LLVMValueRef) -> Option<u64> {
    // SAFETY: the value is live, or null where a vector has no such element.
    unsafe {
        if value.is_null() || LLVMIsAConstantInt(value).is_null() {
            return None;
        }
        let value_type = LLVMTypeOf(value);
        let is_wide = LLVMGetIntTypeWidth(value_type) > u64::BITS;
        let narrow = LLVMInt64TypeInContext(LLVMGetTypeContext(value_type));
        let value = if is_wide {
            LLVMConstTrunc(value, narrow)
        } else {
            value
        };
        Some(LLVMConstIntGetZExtValue(value))
    }
}

/// Where in the source an instruction or a variable comes from, if its debug information says so.
fn location(value: LLVMValueRef) -> Option<String> {
    let mut length = 0;
    // SAFETY: LLVM is asked about instructions and globals only; the name it gives is of that length and lives as long as the
    // module.
    let (name, line, column) = unsafe {
        let is_instruction = !LLVMIsAInstruction(value).is_null();
        if !is_instruction && LLVMIsAGlobalVariable(value).is_null() {
            return None;
        }
        let name = LLVMGetDebugLocFilename(value, &raw mut length);
        if name.is_null() || length == 0 {
            return None;
        }
        let name = slice::from_raw_parts(name.cast::<u8>(), length.try_into().ok()?);
        let column = if is_instruction {
            LLVMGetDebugLocColumn(value)
        } else {
            0
        };
        (
            String::from_utf8_lossy(name).into_owned(),
            LLVMGetDebugLocLine(value),
            column,
        )
    };
    Some(match column {
        0 => format!("{name}:{line}"),
        column => format!("{name}:{line}:{column}"),
    })
}

/// The value as LLVM writes it, in one line.
fn text(value: LLVMValueRef) -> String {
    // SAFETY: the value is live; the text is given to us.
    let text = unsafe { take_message(LLVMPrintValueToString(value)) };
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
