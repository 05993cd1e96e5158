// Flags that contradict each other.
//# ExpectError: a.o: section own_tls: it is thread-local and executable
        .section own_tls,"axT",@progbits
        .quad 1
