int overridden(void) { return 100; }
__attribute__((weak)) int override_here(void) { return 2; }
int weak_variable = 40;
__attribute__((visibility("hidden"))) int hidden_there(void) { return 13; }
__attribute__((visibility("protected"))) int protected_there(void) { return 14; }
__attribute__((visibility("internal"))) int internal_there(void) { return 15; }
extern int hidden_here, protected_here;
int other_sees(void) { return hidden_here * 100 + protected_here; }
static int same_name(void) { return 16; }
static int same_variable = 17;
int other_same(void) { return same_name() + same_variable; }
int override_here(void);
int (*const table_there[])(void) = {hidden_there, override_here, other_same};
int asm_named(void) __asm__("name$with.odd_characters");
int asm_named(void) { return 18; }
