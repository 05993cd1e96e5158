// Data of every kind: relocated constants, zeroed, common, weak, hidden, packed and aligned; constructors and destructors.
#include <stdint.h>
#include <stdio.h>
#include <string.h>

struct packed { char tag; const char *text; int (*function)(int); } __attribute__((packed));
static int twice(int x) { return 2 * x; }
__attribute__((weak)) int weak_defined(int x) { return x + 1; }
extern int weak_undefined(int) __attribute__((weak));
__attribute__((visibility("hidden"))) int hidden_variable = 11;
__attribute__((visibility("protected"))) int protected_variable = 12;
int common_variable[100];
static char large[1 << 20];
_Alignas(4096) static char page[4096] = {1};
static const struct packed packed[2] = {{1, "one", twice}, {2, "two", weak_defined}};
static const char *const *names = (const char *const[]){"a", "bc", "def", 0};
static int order[8], n_started;

__attribute__((constructor(300))) static void second(void) { order[n_started++] = 2; }
__attribute__((constructor(200))) static void first(void) { order[n_started++] = 1; }
__attribute__((constructor)) static void third(void) { order[n_started++] = 3; }
__attribute__((destructor)) static void last(void) { puts("destructor"); fflush(stdout); }

extern const int __start_entries[], __stop_entries[];
#define ENTRY(name, value) static const int name __attribute__((section("entries"), used)) = value
ENTRY(entry_one, 1);
ENTRY(entry_two, 2);

static int by_switch(int x) {
    switch (x) {
    case 0: return 5; case 1: return 7; case 2: return 1; case 3: return 9;
    case 4: return 12; case 5: return 3; case 6: return 8; default: return -1;
    }
}

int test(void) {
    static int calls;
    calls++;
    if (n_started != 3 || order[0] != 1 || order[1] != 2 || order[2] != 3) return 1;
    if (packed[0].function(4) != 8 || packed[1].function(4) != 5) return 2;
    if (strcmp(packed[1].text, "two") || strcmp(names[2], "def") || names[3]) return 3;
    if (weak_undefined) return 4;
    if (hidden_variable + protected_variable != 23) return 5;
    if ((uintptr_t)page % 4096 || page[0] != 1) return 6;
    for (int i = 0; i < 100; i++) common_variable[i] = i;
    memset(large, 3, sizeof large);
    if (common_variable[99] != 99 || large[sizeof large - 1] != 3) return 7;
    int sum = 0;
    for (const int *each = __start_entries; each < __stop_entries; each++) sum += *each;
    if (sum != 3) return 8;
    sum = 0;
    for (int i = 0; i < 8; i++) sum += by_switch(i);
    if (sum != 44) return 9;
    printf("calls %d %s\n", calls, names[1]);
    fflush(stdout);
    return 0;
}
