// Flags: -pthread
// Thread-local variables in every kind of instruction that compilers make of them: objects that are compiled
// for an executable have the distance from the thread pointer in them.
#include <stdio.h>
#include <string.h>
#include <pthread.h>
struct S { long a[4]; char c[13]; double d; float f; };
__thread int counter = 5;
__thread unsigned char bytes[64] = "hello";
static __thread struct S s = { {1,2,3,4}, "abc", 2.5, 1.5f };
__thread long zero[100];
static __thread int (*fp)(int);
static __thread __int128 wide __attribute__((aligned(16))) = 7;
static int twice(int x){return 2*x;}
static int inc(int x){ return x+1; }
__attribute__((noinline)) int call(int x){ return fp(x); }
__attribute__((noinline)) int call2(int x){ return fp(x)+1; }
__attribute__((noinline)) long index_(int i){ return zero[i]++ + s.a[i&3]; }
__attribute__((noinline)) void put(int i, int v){ bytes[i] = v; bytes[i+1] ^= v; }
__attribute__((noinline)) double fl(void){ s.d *= 1.25; s.f += 0.5f; return s.d + s.f; }
__attribute__((noinline)) void *addr(void){ return &s.c[3]; }
__attribute__((noinline)) int cmp(int v){ return counter < v; }
__attribute__((noinline)) long atom(void){ return __atomic_fetch_add(&zero[3], 3, __ATOMIC_SEQ_CST); }
__attribute__((noinline)) void copy(struct S *o){ *o = s; }
__attribute__((noinline)) void wides(void){ wide = wide * 3 + 1; }
static void *run(void *arg){
  long id=(long)arg;
  counter += id; fp = id&1 ? twice : inc;
  for(int i=0;i<50;i++){ put(i%60, i+id); index_(i%100); }
  struct S o; copy(&o); wides();
  static char out[4][400];
  int n=sprintf(out[id],"%ld: %d %d %d %d %ld %g %s %d %ld %s %ld ", id, counter, call(20), call2(3), (int)bytes[7], index_(3), fl(), (char*)addr()-3, cmp(6), atom(), o.c, (long)wide);
  return out[id];
}
int main(void){
  pthread_t t[3];
  for(long i=0;i<3;i++) pthread_create(t+i,0,run,(void*)i);
  void*r; for(int i=0;i<3;i++){ pthread_join(t[i],&r); puts(r);} puts(run((void*)3));
  return 0;
}
