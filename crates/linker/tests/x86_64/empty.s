// Symbols in empty sections have an address and a section.
//# ExpectSymbol: nothing type=FUNC size=0
//# ExpectSymbol: no_data
//# ExpectDynamic: RELATIVE at table = nothing
        .globl nothing, no_data, table
        .type nothing, @function
nothing:
        .bss
no_data:
        .section .data.rel.ro,"aw"
table:  .quad nothing
