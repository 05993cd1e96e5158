// What the C library's static part gives to every image: handlers are registered for this image.
//# ExpectWord32: f+1 = word32(f+1)
//# ExpectImport: __cxa_atexit
//# ExpectImport: __cxa_at_quick_exit
//# ExpectImport: __register_atfork
//# ExpectNoSymbol: atexit
//# ExpectNoSymbol: at_quick_exit
//# ExpectNoSymbol: pthread_atfork
//# ExpectNoSymbol: __dso_handle
//# ExpectBytes: f + 5 + word32(f+1) = f3 0f 1e fa 31 f6 48 8d 15
//# ExpectDynamic: RELATIVE at handle = start(.text)
        .globl f, handle
f:      call atexit@PLT
        call at_quick_exit@PLT
        call pthread_atfork@PLT
        .hidden __dso_handle
        .data
handle: .quad __dso_handle
