// A day's work for SQLite: a table in memory, rows in one transaction, aggregates over them.
//
// The answer depends on the number of rows alone, so it is the same wherever it is computed.

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "sqlite3.h"

/// Runs the workload over `rows` rows. Returns a checksum of its report, or SQLite's error code, negated.
int64_t run_workload(int64_t rows);

/// Runs the workload over `rows` rows and writes its report, without a final zero, to `out`, which has room for
/// `capacity` bytes. Returns the report's length in bytes; or SQLite's error code, negated (SQLITE_TOOBIG: no room).
int32_t workload_report(int64_t rows, char *out, int64_t capacity);

enum { REPORT_CAPACITY = 4096 };

/// The report as it grows.
struct report {
    char *bytes;
    int64_t capacity;
    int64_t length;
};

static int report_line(struct report *report, const char *line) {
    int64_t length = (int64_t)strlen(line);
    if (length > report->capacity - report->length) return SQLITE_TOOBIG;
    memcpy(report->bytes + report->length, line, (size_t)length);
    report->length += length;
    return SQLITE_OK;
}

static int insert_rows(sqlite3 *db, int64_t rows) {
    sqlite3_stmt *insert = NULL;
    int status = sqlite3_prepare_v2(db, "insert into reading (id, sensor, label, value) values (?, ?, ?, ?)", -1, &insert, NULL);
    for (int64_t id = 0; status == SQLITE_OK && id < rows; id++) {
        uint64_t mixed = (uint64_t)id * UINT64_C(0x9e3779b97f4a7c15) >> 40;
        char label[32];
        snprintf(label, sizeof label, "label-%03d", (int)(mixed % 1000));
        sqlite3_bind_int64(insert, 1, id);
        sqlite3_bind_int(insert, 2, (int)(mixed % 64));
        sqlite3_bind_text(insert, 3, label, -1, SQLITE_TRANSIENT);
        // Multiples of a quarter add up exactly, in any order.
        sqlite3_bind_double(insert, 4, (double)(mixed % 4096) * 0.25);
        if (sqlite3_step(insert) != SQLITE_DONE) status = sqlite3_errcode(db);
        sqlite3_reset(insert);
    }
    sqlite3_finalize(insert);
    return status;
}

/// Adds a line for each row of a query: its columns, as text, with a bar between two.
static int query(sqlite3 *db, const char *sql, struct report *report) {
    sqlite3_stmt *select = NULL;
    int status = sqlite3_prepare_v2(db, sql, -1, &select, NULL);
    while (status == SQLITE_OK) {
        int step = sqlite3_step(select);
        if (step == SQLITE_DONE) break;
        if (step != SQLITE_ROW) {
            status = step;
            break;
        }
        for (int column = 0; status == SQLITE_OK && column < sqlite3_column_count(select); column++) {
            const char *text = (const char *)sqlite3_column_text(select, column);
            if (column > 0) status = report_line(report, "|");
            if (status == SQLITE_OK) status = report_line(report, text != NULL ? text : "null");
        }
        if (status == SQLITE_OK) status = report_line(report, "\n");
    }
    sqlite3_finalize(select);
    return status;
}

static int work(int64_t rows, struct report *report) {
    sqlite3 *db = NULL;
    int status = sqlite3_open(":memory:", &db);
    // It sorts in memory too: where it is shipped to it may not open files.
    if (status == SQLITE_OK) status = sqlite3_exec(db, "pragma temp_store = memory; create table reading (id integer primary key, sensor integer, label text, value real); begin", NULL, NULL, NULL);
    if (status == SQLITE_OK) status = insert_rows(db, rows);
    if (status == SQLITE_OK) status = sqlite3_exec(db, "commit; create index by_sensor on reading (sensor)", NULL, NULL, NULL);
    if (status == SQLITE_OK) status = query(db, "select count(*), sum(value), round(avg(value), 6) from reading", report);
    if (status == SQLITE_OK)
        status = query(db,
                       "select sensor, count(*), sum(value), round(avg(value), 6), min(label), max(label) "
                       "from reading where sensor % 8 = 0 group by sensor having count(*) > 0 order by sensor",
                       report);
    if (status == SQLITE_OK)
        status = query(db, "select label, count(*) from reading where label like '%7' group by label order by 2 desc, 1 limit 3", report);
    sqlite3_close(db);
    return status;
}

int64_t run_workload(int64_t rows) {
    char bytes[REPORT_CAPACITY];
    int32_t length = workload_report(rows, bytes, sizeof bytes);
    if (length < 0) return length;
    uint64_t checksum = UINT64_C(0xcbf29ce484222325);  // FNV-1a, 64 bits.
    for (int32_t i = 0; i < length; i++) checksum = (checksum ^ (unsigned char)bytes[i]) * UINT64_C(0x100000001b3);
    return (int64_t)(checksum >> 1);  // Never negative: a negative result is an error.
}

int32_t workload_report(int64_t rows, char *out, int64_t capacity) {
    struct report report = {out, capacity, 0};
    int status = work(rows, &report);
    return status == SQLITE_OK ? (int32_t)report.length : -(status & 0xff);
}
