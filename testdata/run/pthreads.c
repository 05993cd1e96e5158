// POSIX threads: mutex, condition, read-write lock, barrier, semaphore, keys, once, cancellation.
// Flags: -pthread
#define _GNU_SOURCE
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static pthread_rwlock_t lock = PTHREAD_RWLOCK_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_barrier_t barrier;
static pthread_key_t key;
static sem_t ready;
static int counter, once_calls, key_calls, turn;

static void init_once(void) { once_calls++; }
static void key_end(void *value) {
  pthread_mutex_lock(&mutex);
  key_calls += *(int *)value;
  pthread_mutex_unlock(&mutex);
  free(value);
}
static void *worker(void *argument) {
  int id = (int)(long)argument;
  pthread_once(&once, init_once);
  int *value = malloc(sizeof *value);
  *value = id + 1;
  pthread_setspecific(key, value);
  for (int i = 0; i < 5000; i++) {
    pthread_mutex_lock(&mutex);
    counter++;
    pthread_mutex_unlock(&mutex);
  }
  int last = pthread_barrier_wait(&barrier) == PTHREAD_BARRIER_SERIAL_THREAD;
  pthread_rwlock_rdlock(&lock);
  int seen = counter;
  pthread_rwlock_unlock(&lock);
  // In turn: each thread prints when the one before has.
  pthread_mutex_lock(&mutex);
  while (turn != id) pthread_cond_wait(&changed, &mutex);
  printf("thread %d sees %d\n", id, seen);
  turn++;
  pthread_cond_broadcast(&changed);
  pthread_mutex_unlock(&mutex);
  return (void *)(long)last;
}
static void cleanup(void *text) { puts(text); }
static void *cancelled(void *unused) {
  pthread_cleanup_push(cleanup, "outer cleanup");
  pthread_cleanup_push(cleanup, "inner cleanup");
  sem_post(&ready);
  for (;;) pause();
  pthread_cleanup_pop(0);
  pthread_cleanup_pop(0);
  return unused;
}

int main(void) {
  pthread_barrier_init(&barrier, NULL, 6);
  pthread_key_create(&key, key_end);
  sem_init(&ready, 0, 0);
  pthread_t threads[6];
  for (long i = 0; i < 6; i++) pthread_create(&threads[i], NULL, worker, (void *)i);
  long serial = 0;
  for (int i = 0; i < 6; i++) {
    void *last;
    pthread_join(threads[i], &last);
    serial += (long)last;
  }
  printf("%d %d %d %ld\n", counter, once_calls, key_calls, serial);
  pthread_t thread;
  pthread_create(&thread, NULL, cancelled, NULL);
  sem_wait(&ready);
  pthread_cancel(thread);
  void *result;
  pthread_join(thread, &result);
  printf("cancelled %d\n", result == PTHREAD_CANCELED);
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, 1 << 20);
  pthread_mutexattr_t kind;
  pthread_mutexattr_init(&kind);
  pthread_mutexattr_settype(&kind, PTHREAD_MUTEX_RECURSIVE);
  pthread_mutex_t again;
  pthread_mutex_init(&again, &kind);
  printf("%d %d\n", pthread_mutex_lock(&again), pthread_mutex_trylock(&again));
  return 0;
}
