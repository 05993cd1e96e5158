// Takes bytes through zlib's ways there and back: whole buffers, streams in small steps, and gzip files.
//
// Prints a line for each size and level; exits with 0 when all came back as it was.

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "zlib.h"

/// Bytes that compress somewhat: runs of a few letters, broken by noise.
static unsigned char *sample(size_t size) {
    unsigned char *bytes = malloc(size + 1);
    uint32_t state = 12345;
    for (size_t i = 0; i < size; i++) {
        state = state * 1664525u + 1013904223u;
        bytes[i] = (state >> 28) == 0 ? (unsigned char)(state >> 16) : (unsigned char)('a' + (i / 7) % 5);
    }
    return bytes;
}

static void fail(const char *what, int status) {
    fprintf(stderr, "zlib: %s: %d\n", what, status);
    exit(1);
}

static uLong whole(const unsigned char *bytes, size_t size, int level) {
    uLongf packed_size = compressBound(size), size_again = size + 1;
    unsigned char *packed = malloc(packed_size), *again = malloc(size_again);
    int status = compress2(packed, &packed_size, bytes, size, level);
    if (status != Z_OK) fail("compress2", status);
    status = uncompress(again, &size_again, packed, packed_size);
    if (status != Z_OK) fail("uncompress", status);
    if (size_again != size || memcmp(bytes, again, size) != 0) fail("the bytes differ", 0);
    free(packed);
    free(again);
    return packed_size;
}

/// Packs by `step` bytes of input and output at a time, then unpacks in the same way.
static uLong stream(const unsigned char *bytes, size_t size, int level, uInt step) {
    z_stream out = {0}, in = {0};
    size_t capacity = compressBound(size) + 64;
    unsigned char *packed = malloc(capacity), *again = malloc(size + 1);
    int status = deflateInit2(&out, level, Z_DEFLATED, 15 + 16, 9, Z_DEFAULT_STRATEGY);
    if (status != Z_OK) fail("deflateInit2", status);
    out.next_in = (unsigned char *)bytes;
    out.next_out = packed;
    do {
        size_t left = size - (size_t)(out.next_in - bytes), room = capacity - out.total_out;
        out.avail_in = left < step ? (uInt)left : step;
        out.avail_out = room < step ? (uInt)room : step;
        status = deflate(&out, left <= step ? Z_FINISH : Z_NO_FLUSH);
    } while (status == Z_OK || status == Z_BUF_ERROR);
    if (status != Z_STREAM_END) fail("deflate", status);

    status = inflateInit2(&in, 15 + 32);
    if (status != Z_OK) fail("inflateInit2", status);
    in.next_in = packed;
    in.next_out = again;
    do {
        size_t left = out.total_out - in.total_in, room = size + 1 - in.total_out;
        in.avail_in = left < step ? (uInt)left : step;
        in.avail_out = room < step ? (uInt)room : step;
        status = inflate(&in, Z_NO_FLUSH);
    } while (status == Z_OK);
    if (status != Z_STREAM_END || in.total_out != size || memcmp(bytes, again, size) != 0) fail("inflate", status);
    uLong packed_size = out.total_out;
    deflateEnd(&out);
    inflateEnd(&in);
    free(packed);
    free(again);
    return packed_size;
}

/// Writes and reads a gzip file that has no name.
static void file(const unsigned char *bytes, size_t size) {
    FILE *nameless = tmpfile();
    if (nameless == NULL) fail("tmpfile", 0);
    gzFile out = gzdopen(dup(fileno(nameless)), "wb6");
    if (gzwrite(out, bytes, (unsigned)size) != (int)size || gzprintf(out, "%s %d\n", "end", 42) != 7) fail("gzwrite", 0);
    if (gzclose(out) != Z_OK) fail("gzclose", 0);
    rewind(nameless);

    unsigned char *again = malloc(size + 1);
    char end[16] = "";
    gzFile in = gzdopen(dup(fileno(nameless)), "rb");
    if (gzread(in, again, (unsigned)size) != (int)size || memcmp(bytes, again, size) != 0) fail("gzread", 0);
    if (gzgets(in, end, sizeof end) == NULL || strcmp(end, "end 42\n") != 0) fail("gzgets", 0);
    gzclose(in);
    fclose(nameless);
    free(again);
}

int main(void) {
    static const size_t sizes[] = {0, 1, 100, 65536, 1000003};
    static const int levels[] = {0, 1, 6, 9};
    printf("zlib %s\n", zlibVersion());
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        size_t size = sizes[s];
        unsigned char *bytes = sample(size);
        printf("%zu bytes: crc32 %08lx adler32 %08lx\n", size, crc32(0, bytes, (uInt)size), adler32(1, bytes, (uInt)size));
        for (size_t l = 0; l < sizeof levels / sizeof *levels; l++)
            printf("  level %d: whole %lu, stream %lu\n", levels[l], whole(bytes, size, levels[l]), stream(bytes, size, levels[l], 4093));
        file(bytes, size);
        free(bytes);
    }
    unsigned char garbage[] = "this is no compressed stream", out[64];
    uLongf out_size = sizeof out;
    printf("garbage: %s\n", zError(uncompress(out, &out_size, garbage, sizeof garbage)));
    return 0;
}
