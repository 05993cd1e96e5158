// A definition that names a place outside of its section is no export.
//# ExpectError: a.o: f: its value lies outside its section
        .globl f
f = . + 100
        .text
        ret
