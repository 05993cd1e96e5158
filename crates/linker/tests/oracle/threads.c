// Thread-local variables, global and local, zeroed and not, aligned, in threads made after the load.
#include <pthread.h>
#include <stdint.h>

_Thread_local int exported = 5;
static _Thread_local int local_data = 6;
static _Thread_local long local_zero;
static _Thread_local char buffer[1000];
static _Thread_local _Alignas(64) int aligned = 9;

static int check(void) {
    if (exported != 5 || local_data != 6 || local_zero || buffer[999] || aligned != 9) return 1;
    if ((uintptr_t)&aligned % 64) return 2;
    exported = local_data = aligned = 1;
    local_zero = 1;
    buffer[999] = 1;
    return exported + local_data + (int)local_zero + buffer[999] + aligned == 5 ? 0 : 3;
}

static void *run(void *argument) {
    (void)argument;
    return (void *)(intptr_t)check();
}

int test(void) {
    for (int i = 0; i < 4; i++) {
        pthread_t thread;
        void *result;
        if (pthread_create(&thread, 0, run, 0)) return 10;
        if (pthread_join(thread, &result)) return 11;
        if (result) return (int)(intptr_t)result;
    }
    return 0;
}
