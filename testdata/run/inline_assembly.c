// Assembly: operands, clobbers, labels, goto; a whole function and its data at module level.
#include <cpuid.h>
#include <stdint.h>
#include <stdio.h>

__asm__(".text\n"
        ".globl asm_sum\n"
        ".type asm_sum, @function\n"
        "asm_sum:\n"
        "  .cfi_startproc\n"
        "  lea (%rdi,%rsi), %rax\n"
        "  add asm_bias(%rip), %rax\n"
        "  ret\n"
        "  .cfi_endproc\n"
        ".size asm_sum, . - asm_sum\n"
        ".data\n"
        ".p2align 3\n"
        "asm_bias: .quad 1000\n"
        ".globl asm_table\n"
        "asm_table: .quad asm_sum, c_function\n"
        ".text\n");
long asm_sum(long, long);
extern long (*asm_table[])(long, long);
long c_function(long a, long b);
__attribute__((used)) long c_function(long a, long b) { return a * b; }

static int is_small(int v) {
  __asm__ goto("cmpl $10, %0\n\tjl %l1" : : "r"(v) : "cc" : small);
  return 0;
small:
  return 1;
}
__attribute__((naked, noinline)) static long naked_double(__attribute__((unused)) long v) {
  __asm__("lea (%rdi,%rdi), %rax\n\tret");
}

int main(void) {
  uint64_t low, high, value = 0xfedcba9876543210;
  __asm__("mulq %3" : "=a"(low), "=d"(high) : "a"(value), "rm"(value) : "cc");
  printf("%llx %llx\n", (unsigned long long)high, (unsigned long long)low);
  int count = 0;
  __asm__ volatile("1: incl %0\n\tcmpl $7, %0\n\tjne 1b" : "+r"(count) : : "cc");
  char copy[6];
  const char *from = "asm!\n";
  char *to = copy;
  long n = 6;
  __asm__ volatile("rep movsb" : "+S"(from), "+D"(to), "+c"(n) : : "memory");
  unsigned a, b, c, d;
  printf("%d %d %s", count, __get_cpuid(0, &a, &b, &c, &d) && a > 0, copy);
  printf("%d %d %ld\n", is_small(3), is_small(30), naked_double(21));
  printf("%ld %ld %ld\n", asm_sum(3, 4), asm_table[0](1, 1), asm_table[1](6, 7));
  return 0;
}
