// Exceptions thrown in one file and caught in another, and through a frame of C.
// Files: parts/exceptions_files_other.cpp parts/exceptions_files_c.c
// Flags: -fexceptions
#include "parts/exceptions_files.h"
#include <iostream>

static void callback(int v) {
  if (v == 3) throw Hidden{v};
}

int main() {
  for (int i = 0; i < 4; i++) try { throw_kind(i); }
    catch (const Special &e) { std::cout << "Special " << e.value << ' ' << e.what() << '\n'; }
    catch (const std::exception &e) { std::cout << "exception " << e.what() << '\n'; }
    catch (const Template<int> &t) { std::cout << "template " << t.value << '\n'; }
    catch (...) { std::cout << "other\n"; }
  try { through_c(callback, 10); } catch (const Hidden &h) { std::cout << "hidden " << h.value << ' ' << c_progress << '\n'; }
  std::cout << catches([] { throw Special(9); }) << ' ' << catches([] { throw Template<int>{5}; }) << '\n';
}
