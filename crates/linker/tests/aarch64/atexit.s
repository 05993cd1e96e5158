// What the C library's static part gives to every image: handlers are registered for this image.
//# ExpectImport: __cxa_atexit
//# ExpectImport: __cxa_at_quick_exit
//# ExpectImport: __register_atfork
//# ExpectNoSymbol: atexit
//# ExpectNoSymbol: __dso_handle
//# ExpectWord32: operand(f) = 0xd503245f
//# ExpectWord32: operand(f)+4 = 0xd2800001
//# ExpectValue: operand(operand(f)+8) + operand(operand(f)+12) = start(.text)
//# ExpectValue: operand(operand(f)+16) = plt(__cxa_atexit)
//# ExpectValue: operand(operand(f+4)+4) + operand(operand(f+4)+8) = start(.text)
//# ExpectValue: operand(operand(f+4)+12) = plt(__cxa_at_quick_exit)
//# ExpectValue: operand(operand(f+8)+4) + operand(operand(f+8)+8) = start(.text)
//# ExpectValue: operand(operand(f+8)+12) = plt(__register_atfork)
        .globl f
f:      bl atexit
        bl at_quick_exit
        bl pthread_atfork
        ret
