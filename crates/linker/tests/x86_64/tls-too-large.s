// Every thread has a block for the thread-local variables, so there is a limit to their size.
//# ExpectError: the image would have 0x40000010 bytes of thread-local variables: an image has at most 1 GiB
        .section .tbss, "awT", @nobits
        .zero 0x40000010
