//! Numbers in IR that are used as addresses.

use std::collections::HashSet;

use inkwell::module::Module;
use llvm_sys::{LLVMOpcode, core::*, prelude::*};

use super::{globals, take_message};

/// A number that IR makes a pointer of.
pub(crate) struct AbsoluteAddress {
    /// The name of the function or variable.
    pub(crate) owner: String,
    /// The instruction or the constant, as LLVM writes it.
    pub(crate) text: String,
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
                    if is_cast && self.is_refused_cast(instruction) || self.operands(instruction) {
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

    /// Whether an `inttoptr` is of a number that is refused.
    fn is_refused_cast(&self, cast: LLVMValueRef) -> bool {
        // SAFETY: the value is a live `inttoptr`, which has one operand and a pointer's type or a vector's of pointers.
        unsafe {
            let number = LLVMGetOperand(cast, 0);
            let pointer = LLVMTypeOf(cast);
            let is_pointer =
                LLVMGetTypeKind(pointer) == llvm_sys::LLVMTypeKind::LLVMPointerTypeKind;
            if LLVMIsAConstantInt(number).is_null()
                || !is_pointer
                || LLVMGetIntTypeWidth(LLVMTypeOf(number)) > u64::BITS
            {
                return false;
            }
            (self.is_refused)(
                LLVMConstIntGetZExtValue(number),
                LLVMGetPointerAddressSpace(pointer),
            )
        }
    }
}

/// The value as LLVM writes it, in one line.
fn text(value: LLVMValueRef) -> String {
    // SAFETY: the value is live; the text is given to us.
    let text = unsafe { take_message(LLVMPrintValueToString(value)) };
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
