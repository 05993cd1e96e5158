// SHT_REL keeps the addend in the instruction, in its units. No assembler writes it for this machine, so what the
// header of the table says (its type, its symbols and its section) is put in afterwards.
//# Poke: a.o+0x1ac = 09 00 00 00
//# Poke: a.o+0x1d0 = 04 00 00 00 02 00 00 00
//# ExpectValue: operand(f) = f + 8
//# ExpectValue: operand(f+4) = f - 4
        .globl f
f:      .word 0x94000002
        .word 0x17ffffff
        .section .rel.text,"",@0x70000009
        .quad 0, 3 << 32 | 0x11b
        .quad 4, 3 << 32 | 0x11a
