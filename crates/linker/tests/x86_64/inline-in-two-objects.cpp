// A function that throws, inline in two objects: one copy, its unwind record and table, and one personality.
//# Args: -O1
//# ExpectSymbol: _Z6sharedi binding=WEAK type=FUNC section=.text
//# ExpectUnwind: first _Z6sharedi second
//# ExpectImport: __gxx_personality_v0
//# ExpectImport: _ZTIi
//# ExpectValue: end(.gcc_except_table) - start(.gcc_except_table) = 24
__attribute__((noinline)) inline int shared(int x) { try { if (x) throw x; } catch (int y) { return y; } return 0; }
extern "C" int first() { return shared(1); }
//# Object: b.o
//# Args: -O1
__attribute__((noinline)) inline int shared(int x) { try { if (x) throw x; } catch (int y) { return y; } return 0; }
extern "C" int second() { return shared(2); }
