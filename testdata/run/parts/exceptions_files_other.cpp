#include "exceptions_files.h"
namespace { struct Local {}; }
void throw_kind(int kind) {
  if (kind == 0) throw Special(10);
  if (kind == 1) throw std::out_of_range("range");
  if (kind == 2) throw Template<int>{20};
  throw Local();
}
int catches(void (*f)()) {
  try { f(); } catch (const Special &s) { return s.value; } catch (const Template<int> &t) { return t.value * 100; }
  return -1;
}
