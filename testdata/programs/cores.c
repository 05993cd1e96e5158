/* Preloaded: the system says that there are as many cores for a program as the variable CORES says. */
#define _GNU_SOURCE
#include <sched.h>
#include <stdlib.h>

int sched_getaffinity(pid_t thread, size_t size, cpu_set_t *set) {
    (void)thread;
    CPU_ZERO_S(size, set);
    for (int core = atoi(getenv("CORES")); core-- > 0;)
        CPU_SET_S(core, size, set);
    return 0;
}
