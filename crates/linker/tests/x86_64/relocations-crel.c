// Compact relocations, as clang writes them when it is asked to.
//# Args: -O1 -fPIC -Wa,--crel,--allow-experimental-crel
//# ExpectImport: import
//# ExpectDynamic: GLOB_DAT import at got(import)
//# ExpectDynamic: RELATIVE at table = f
//# ExpectDynamic: RELATIVE at table+8 = value+4
int import(int);
int value[2];
int f(int x) { return import(x) + value[1]; }
void *table[] = {(void *)f, &value[1]};
