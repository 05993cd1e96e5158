// A C program in two objects, as the compiler writes them at every level and in its code models.
//# Variants: -O0 | -O1 | -O2 -fpic | -O3 -g -ffunction-sections -fdata-sections | -Os -mcmodel=tiny | -O2 -mno-outline-atomics -fno-plt | -O2 -mbranch-protection=standard -fno-asynchronous-unwind-tables
//# ExpectSymbol: run type=FUNC section=.text
//# ExpectSymbol: names type=OBJECT section=.data size=32
//# ExpectSymbol: zeroes type=OBJECT section=.bss size=4096
//# ExpectDynamic: ABSOLUTE puts at handlers
//# ExpectDynamic: RELATIVE at handlers+8 = square
//# ExpectDynamic: RELATIVE at names+24 = names+8
//# ExpectImport: puts
//# ExpectImport: memcpy
//# ExpectImport: counter
//# ExpectImport: absent weak
//# ExpectNoSymbol: hidden_total
//# ExpectInit: start
typedef unsigned long size_t;
extern int puts(const char *);
extern void *memcpy(void *, const void *, size_t);
extern int counter;
extern int absent(int) __attribute__((weak));
extern int hidden_total __attribute__((visibility("hidden")));
int square(int);
double halves(const double *, int);

struct big { char bytes[4000]; };
char zeroes[4096];
const void *names[4] = {"one", "two", 0, &names[1]};
int (*handlers[2])(int) = {(int (*)(int))puts, square};
static const short table[] = {3, 1, 4, 1, 5, 9, 2, 6};

__attribute__((constructor)) void start(void) { zeroes[7] = (char)puts("start"); }

static int spell(unsigned digit) {
    switch (digit) {
    case 0: return puts("zero");
    case 1: return puts("one");
    case 2: return puts(names[1]);
    case 3: return square(3);
    case 4: return puts("four");
    case 5: return counter;
    case 6: return hidden_total;
    default: return -1;
    }
}

struct big copy(const struct big *from) { return *from; }

int run(int n) {
    static int calls;
    double values[] = {0.5, 1.5, 1e300};
    int sum = 0;
    for (int i = 0; i < n; i++)
        sum += spell((unsigned)table[i & 7]) + handlers[i & 1](i);
    if (absent)
        sum += absent(n);
    memcpy(zeroes, names, sizeof names);
    __atomic_fetch_add(&calls, 1, __ATOMIC_SEQ_CST);
    counter += calls;
    hidden_total += sum;
    return sum + (int)halves(values, 3) + zeroes[n & 4095];
}
//# Object: b.o
int square(int);
int hidden_total;
double halves(const double *values, int n) {
    double sum = 0;
    for (int i = 0; i < n; i++)
        sum += values[i] / 2;
    return sum;
}
int square(int n) { return n * n + hidden_total; }
