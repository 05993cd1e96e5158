// Thread-local variables at one distance from every thread's pointer.
static __thread int counter __attribute__((tls_model("initial-exec"))) = 40;
extern __thread int errno_like __attribute__((tls_model("initial-exec"), weak));
int next(void) { return ++counter; }
int *other(void) { return &errno_like; }
