// sqlite_main [ROWS]: prints the workload's report and its checksum.

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int64_t run_workload(int64_t rows);
int32_t workload_report(int64_t rows, char *out, int64_t capacity);

int main(int argc, char **argv) {
    int64_t rows = argc > 1 ? strtoll(argv[1], NULL, 10) : 1000;
    char report[4096];
    int32_t length = workload_report(rows, report, sizeof report);
    if (length < 0) {
        fprintf(stderr, "sqlite: error %d\n", -length);
        return 1;
    }
    fwrite(report, 1, (size_t)length, stdout);
    printf("checksum %" PRId64 "\n", run_workload(rows));
    return 0;
}
