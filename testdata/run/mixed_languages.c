// C and C++ in one program: C main, C++ library with globals and exceptions behind a C interface.
// Files: parts/mixed_languages_other.cpp
#include <stdio.h>

int cpp_count(const char *text, char *most_frequent, unsigned long room);
int cpp_fails(int v);
extern int cpp_ready;
int c_callback(int v);
int c_callback(int v) { return v * 3; }

int main(void) {
  char word[32];
  printf("%d ", cpp_ready);
  printf("%d ", cpp_count("one two two three three three", word, sizeof word));
  puts(word);
  printf("%d %d\n", cpp_fails(1), cpp_fails(-1));
  return 0;
}
