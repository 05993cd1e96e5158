// Thread-local variables of C in every model that a loaded image can have, as the compiler writes them.
//# Variants: -O0 | -O2 | -O2 -ftls-model=local-dynamic | -O2 -mllvm -aarch64-elf-ldtls-generation -ftls-model=local-dynamic | -O2 -ftls-model=initial-exec | -O1 -mcmodel=tiny
//# ExpectSymbol: counter type=TLS section=.tdata size=4
//# ExpectSymbol: buffer type=TLS section=.tbss size=256
//# ExpectImport: other tls
//# ExpectValue: tls_align() = 64
__thread int counter = 7;
__thread char buffer[256] __attribute__((aligned(64)));
static __thread long own[3] = {1, 2, 3};
static __thread int last;
extern __thread int other __attribute__((tls_model("global-dynamic")));
int run(int n) {
    counter += n;
    own[n & 3] += other;
    buffer[n & 255] = (char)last++;
    return counter + (int)own[1];
}
int *address(void) { return &counter; }
