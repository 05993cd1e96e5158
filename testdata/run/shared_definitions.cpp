// One definition in two files: inline functions and variables, templates, local statics, type identities.
// Files: parts/shared_definitions_other.cpp
// Flags: -std=c++17
#include "parts/shared_definitions.h"
#include <iostream>

View view_here() { return VIEW; }

int main() {
  View here = view_here(), there = view_there();
  std::cout << (here.function == there.function) << (here.variable == there.variable) << (here.local == there.local)
            << (here.instance == there.instance) << (here.member == there.member) << (here.type == there.type)
            << (*here.type == *there.type) << (here.constant == there.constant) << '\n';
  ++*here.variable, ++*there.variable;
  std::cout << counter << ' ' << next() << ' ' << next_there() << ' ' << next() << '\n';
  std::cout << Holder<int>::created << ' ' << Holder<double>::created << ' ' << constructed << '\n';
  std::cout << (make_there() == nullptr ? 0 : dynamic_cast<const Derived *>(make_there())->value) << '\n';
}
