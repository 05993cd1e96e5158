// How compilers ask whether a weak hidden function exists: its GOT word is a number, null.
//# Args: -O2
//# ExpectNoSymbol: absent
//# ExpectNoSymbol: absent_variable
//# ExpectDynamicCount: 0
//# ExpectWord64: start(.got) = 0
//# ExpectSymbol: test type=FUNC section=.text
extern void absent(void) __attribute__((weak, visibility("hidden")));
extern int absent_variable __attribute__((weak, visibility("hidden")));
int test(void) {
    if (absent) absent();
    return &absent_variable ? absent_variable : 7;
}
