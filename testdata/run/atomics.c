// C11 atomics of every size under threads; 16 bytes and odd sizes go to libatomic.
// Flags: -pthread
// Libs: atomic
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>

static _Atomic int8_t byte;
static _Atomic uint16_t half;
static atomic_int word;
static atomic_ullong wide;
static _Atomic double real = 0;
static _Atomic(int *) pointer;
struct two { int64_t a, b; };
static _Atomic struct two both;
struct odd { char text[24]; };
static _Atomic struct odd big;
static atomic_flag flag = ATOMIC_FLAG_INIT;
static int guarded, cells[4];

static void *work(void *unused) {
  for (int i = 0; i < 2000; i++) {
    byte++;
    half += 3;
    atomic_fetch_add_explicit(&word, 2, memory_order_relaxed);
    atomic_fetch_xor(&wide, 1ull << (i % 64));
    real += 0.5;
    struct two old = atomic_load(&both), new;
    do new = (struct two){old.a + 1, old.b - 1};
    while (!atomic_compare_exchange_weak(&both, &old, new));
    while (atomic_flag_test_and_set_explicit(&flag, memory_order_acquire)) {}
    guarded++;
    atomic_flag_clear_explicit(&flag, memory_order_release);
  }
  return unused;
}

int main(void) {
  pthread_t threads[4];
  for (int i = 0; i < 4; i++) pthread_create(&threads[i], NULL, work, NULL);
  for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
  struct two end = atomic_load(&both);
  printf("%d %d %d %llu %.1f %lld %lld %d\n", byte, half, word, (unsigned long long)wide, (double)real, (long long)end.a, (long long)end.b, guarded);
  atomic_store(&pointer, &cells[1]);
  pointer++;
  printf("%d\n", (int)(atomic_exchange(&pointer, NULL) - cells));
  atomic_store(&big, (struct odd){"by the library"});
  printf("%s\n", atomic_load(&big).text);
  atomic_thread_fence(memory_order_seq_cst);
  __int128 value = 1, expected = 1;
  printf("%d ", __sync_bool_compare_and_swap((int *)&cells[0], 0, 9));
  printf("%d %d\n", cells[0], __atomic_compare_exchange_n(&value, &expected, (__int128)5 << 70, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST));
  printf("%d\n", (int)(value >> 70));
  return 0;
}
