// A thread-local variable that is a number.
//# ExpectError: a.o: x: thread-local variables cannot be absolute
//# Poke: a.o+0x5c = 16
        .globl x
x = 4
