// STB_GNU_UNIQUE binds as a global of this image.
//# ExpectSymbol: counter binding=GLOBAL type=OBJECT section=.bss
//# ExpectValue: end(.bss) - start(.bss) = 4
        .section .bss.counter,"awG",@nobits,counter,comdat
        .type counter, @gnu_unique_object
        .size counter, 4
counter: .zero 4
//# Object: b.o
        .section .bss.counter,"awG",@nobits,counter,comdat
        .type counter, @gnu_unique_object
        .size counter, 4
counter: .zero 4
