struct entry { const char *name; int (*run)(int); };
static int negate(int x) { return -x; }
__attribute__((section("entries"), used, aligned(sizeof(void *)))) static const struct entry third = {"negate", negate};
__attribute__((section("numbers"), used)) static int more_numbers[3] = {2, 3, 4};
