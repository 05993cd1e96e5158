//! x86-64: an instruction has the whole number, as the displacement of its operand or as an immediate.
//!
//! Source: psABI, "Thread-Local Storage" (local exec). What is below the stack pointer is in use (psABI,
//! "The Stack Frame": the red zone), and flags must stay as they are.

use iced_x86::{Code, MemoryOperand, OpKind, Register};
use iced_x86::{Decoder, DecoderOptions, Encoder, Instruction, InstructionInfoFactory, Mnemonic};

use super::{Field, Fixup, OutOfLine};

const R_X86_64_PLT32: u32 = 4;
const R_X86_64_TPOFF64: u32 = 18;
const R_X86_64_GOTTPOFF: u32 = 22;
/// From a 32-bit field to the end of its instruction, which displacements count from.
const TO_END: i64 = -4;

const INT3: u8 = 0xcc;
const JMP: u8 = 0xe9;
const CALL: u8 = 0xe8;
/// Bytes below the stack pointer that a function may use.
const RED_ZONE: i32 = 128;
/// Bytes of a jump or call.
const BRANCH_SIZE: usize = 5;

/// Registers that an instruction may leave to us, those that few instructions imply first. The last
/// need no prefix, which the high-byte registers forbid.
const SCRATCH: [Register; 7] = [
    Register::R11,
    Register::R10,
    Register::R9,
    Register::R8,
    Register::RSI,
    Register::RDI,
    Register::RCX,
];

/// What does the same as the instruction that holds `field`, with the number from the GOT. `start` is
/// where an instruction starts before it.
pub(super) fn out_of_line(section: &[u8], start: usize, field: Field) -> Option<OutOfLine> {
    let (offset, instruction, place) = find(section, start, field.offset)?;
    let moved = Moved {
        start: offset,
        size: instruction.len(),
        addend: i32::try_from(field.addend).ok()?,
    };
    if moved.size < BRANCH_SIZE {
        return None;
    }
    let is_wide = field.r_type == R_X86_64_TPOFF64;
    match (place, instruction.mnemonic()) {
        (Place::Immediate, _) => moved.immediate(instruction, is_wide),
        (Place::Displacement, _) if is_wide => None,
        (Place::Displacement, Mnemonic::Call | Mnemonic::Jmp) => moved.branch(instruction),
        (Place::Displacement, Mnemonic::Push) => moved.push(instruction),
        (Place::Displacement, _) => moved.access(instruction),
    }
}

/// What of an instruction the field is.
enum Place {
    Displacement,
    Immediate,
}

/// Decodes from `start` on to the instruction that holds the field.
fn find(section: &[u8], start: usize, field: usize) -> Option<(usize, Instruction, Place)> {
    let code = section.get(start..)?;
    let mut decoder = Decoder::with_ip(64, code, start as u64, DecoderOptions::NONE);
    while decoder.can_decode() {
        let offset = start + decoder.position();
        let instruction = decoder.decode();
        if instruction.is_invalid() {
            return None;
        }
        if field < start + decoder.position() {
            let constants = decoder.get_constant_offsets(&instruction);
            let is_field =
                |has: bool, at: usize, size: usize| has && offset + at == field && size >= 4;
            let place = if is_field(
                constants.has_displacement(),
                constants.displacement_offset(),
                constants.displacement_size(),
            ) {
                Place::Displacement
            } else if is_field(
                constants.has_immediate(),
                constants.immediate_offset(),
                constants.immediate_size(),
            ) {
                Place::Immediate
            } else {
                return None;
            };
            return Some((offset, instruction, place));
        }
    }
    None
}

/// The instruction that is moved.
#[derive(Debug, Clone, Copy)]
struct Moved {
    start: usize,
    size: usize,
    addend: i32,
}

impl Moved {
    /// An instruction that reads, writes or takes the address of the variable.
    fn access(self, instruction: Instruction) -> Option<OutOfLine> {
        let scratch = scratch(&instruction)?;
        let mut code = Vec::new();
        step_over(&mut code, RED_ZONE);
        push(&mut code, scratch);
        let got = load_got(&mut code, scratch);
        self.access_by(&mut code, instruction, scratch)?;
        pop(&mut code, scratch);
        step_over(&mut code, -RED_ZONE);
        Some(self.with_way_back(code, got))
    }

    /// A push of the variable: the word that it is pushed to is left free below the red zone's start.
    fn push(self, instruction: Instruction) -> Option<OutOfLine> {
        const WORD: i32 = 8;
        if instruction.code() != Code::Push_rm64 {
            return None;
        }
        let mut load = instruction;
        load.set_code(Code::Mov_r64_rm64);
        load.set_op1_kind(OpKind::Memory);
        load.set_op0_kind(OpKind::Register);
        // Any register: it only says that this one is no candidate.
        load.set_op0_register(Register::RAX);
        let scratch = scratch(&load)?;
        load.set_op0_register(scratch);
        let mut code = Vec::new();
        step_over(&mut code, RED_ZONE + WORD);
        push(&mut code, scratch);
        let got = load_got(&mut code, scratch);
        self.access_by(&mut code, load, scratch)?;
        let pushed = memory(Register::RSP, Register::None, RED_ZONE + WORD);
        let store = Instruction::with2(Code::Mov_rm64_r64, pushed, scratch).ok()?;
        encode(&mut code, &store)?;
        pop(&mut code, scratch);
        step_over(&mut code, -RED_ZONE);
        Some(self.with_way_back(code, got))
    }

    /// The instruction in its own form, but that a register with the variable's distance takes part in
    /// its address.
    fn access_by(
        self,
        code: &mut Vec<u8>,
        mut instruction: Instruction,
        distance: Register,
    ) -> Option<()> {
        let (base, index) = (instruction.memory_base(), instruction.memory_index());
        let is_plain = |register: Register| register == Register::None || register.is_gpr64();
        if !is_plain(base) || !(is_plain(index) || index.is_vector_register()) {
            return None;
        }
        if base != Register::None && index != Register::None {
            encode(code, &lea(distance, memory(distance, base, 0))?)?;
        } else if base != Register::None {
            instruction.set_memory_index(base);
            instruction.set_memory_index_scale(1);
        }
        instruction.set_memory_base(distance);
        instruction.set_memory_displacement64(i64::from(self.addend).cast_unsigned());
        instruction.set_memory_displ_size(8);
        encode(code, &instruction)
    }

    /// A branch through the variable, before which no register holds an argument of this kind: psABI,
    /// "Register Usage".
    fn branch(self, mut instruction: Instruction) -> Option<OutOfLine> {
        let is_call = instruction.code() == Code::Call_rm64;
        let is_plain = instruction.memory_base() == Register::None
            && instruction.memory_index() == Register::None;
        if !is_plain || !(is_call || instruction.code() == Code::Jmp_rm64) {
            return None;
        }
        let mut code = Vec::new();
        let got = load_got(&mut code, Register::R11);
        // What was called comes back behind the call that stands for this one.
        instruction.set_code(Code::Jmp_rm64);
        instruction.set_memory_base(Register::R11);
        instruction.set_memory_displacement64(i64::from(self.addend).cast_unsigned());
        instruction.set_memory_displ_size(8);
        encode(&mut code, &instruction)?;
        Some(self.with(code, got, is_call, None))
    }

    /// An instruction that has the variable's distance as its immediate: `mov` or `add` to a register.
    fn immediate(self, instruction: Instruction, is_wide: bool) -> Option<OutOfLine> {
        let register = instruction.op0_register();
        if instruction.op0_kind() != OpKind::Register
            || !register.is_gpr64()
            || register == Register::RSP
        {
            return None;
        }
        let mut code = Vec::new();
        let got;
        match instruction.code() {
            Code::Mov_rm64_imm32 | Code::Mov_r64_imm64
                if is_wide == (instruction.code() == Code::Mov_r64_imm64) =>
            {
                got = load_got(&mut code, register);
                encode(
                    &mut code,
                    &lea(register, memory(register, Register::None, self.addend))?,
                )?;
            }
            Code::Add_rm64_imm32 | Code::Add_RAX_imm32 if !is_wide => {
                let scratch = scratch(&instruction)?;
                step_over(&mut code, RED_ZONE);
                push(&mut code, scratch);
                got = load_got(&mut code, scratch);
                encode(
                    &mut code,
                    &lea(scratch, memory(scratch, Register::None, self.addend))?,
                )?;
                let add = Instruction::with2(Code::Add_rm64_r64, register, scratch).ok()?;
                encode(&mut code, &add)?;
                pop(&mut code, scratch);
                step_over(&mut code, -RED_ZONE);
            }
            _ => return None,
        }
        Some(self.with_way_back(code, got))
    }

    fn with_way_back(self, mut code: Vec<u8>, got: usize) -> OutOfLine {
        code.push(JMP);
        let back = Fixup {
            offset: code.len(),
            r_type: R_X86_64_PLT32,
            addend: TO_END,
        };
        code.extend([0; 4]);
        self.with(code, got, false, Some(back))
    }

    /// `got` is the offset in the code of the displacement of the load from the GOT.
    fn with(self, code: Vec<u8>, got: usize, is_call: bool, back: Option<Fixup>) -> OutOfLine {
        // A call is the last, so that its return address is that of the instruction.
        let mut branch = vec![if is_call { 0x90 } else { INT3 }; self.size];
        let at = if is_call { self.size - BRANCH_SIZE } else { 0 };
        branch[at] = if is_call { CALL } else { JMP };
        branch[at + 1..at + BRANCH_SIZE].fill(0);
        OutOfLine {
            instruction: self.start..self.start + self.size,
            branch,
            to_code: Fixup {
                offset: at + 1,
                r_type: R_X86_64_PLT32,
                addend: TO_END,
            },
            code,
            to_got: vec![Fixup {
                offset: got,
                r_type: R_X86_64_GOTTPOFF,
                addend: TO_END,
            }],
            back,
        }
    }
}

/// A register that the instruction does not use; none if it uses the stack.
fn scratch(instruction: &Instruction) -> Option<Register> {
    let mut factory = InstructionInfoFactory::new();
    let used: Vec<Register> = (factory.info(instruction).used_registers().iter())
        .map(|used| used.register().full_register())
        .collect();
    if used.contains(&Register::RSP) {
        return None;
    }
    let has_high_byte = (0..instruction.op_count()).any(|operand| {
        let register = instruction.op_register(operand);
        matches!(
            register,
            Register::AH | Register::BH | Register::CH | Register::DH
        )
    });
    let candidates = if has_high_byte {
        &SCRATCH[4..]
    } else {
        &SCRATCH[..]
    };
    candidates.iter().copied().find(|each| !used.contains(each))
}

/// `mov register, [rip + …]`; gives the offset of the displacement.
fn load_got(code: &mut Vec<u8>, register: Register) -> usize {
    let number = number(register);
    code.extend([0x48 | (number >> 3) << 2, 0x8b, 0x05 | (number & 7) << 3]);
    let got = code.len();
    code.extend([0; 4]);
    got
}

fn push(code: &mut Vec<u8>, register: Register) {
    prefixed(code, 0x50, register);
}

fn pop(code: &mut Vec<u8>, register: Register) {
    prefixed(code, 0x58, register);
}

fn prefixed(code: &mut Vec<u8>, opcode: u8, register: Register) {
    let number = number(register);
    if number >= 8 {
        code.push(0x41);
    }
    code.push(opcode | number & 7);
}

fn number(register: Register) -> u8 {
    u8::try_from(register.number()).unwrap_or(0)
}

/// Moves the stack pointer down, which leaves the flags as they are.
fn step_over(code: &mut Vec<u8>, size: i32) {
    code.extend([0x48, 0x8d, 0xa4, 0x24]); // lea rsp, [rsp + …]
    code.extend((-size).to_le_bytes());
}

fn lea(to: Register, address: MemoryOperand) -> Option<Instruction> {
    Instruction::with2(Code::Lea_r64_m, to, address).ok()
}

fn memory(base: Register, index: Register, displacement: i32) -> MemoryOperand {
    let displacement = i64::from(displacement);
    MemoryOperand::new(base, index, 1, displacement, 8, false, Register::None)
}

fn encode(code: &mut Vec<u8>, instruction: &Instruction) -> Option<()> {
    let mut encoder = Encoder::new(64);
    encoder.encode(instruction, 0).ok()?;
    code.extend(encoder.take_buffer());
    Some(())
}
