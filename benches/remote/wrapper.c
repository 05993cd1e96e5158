// A function of the kind that ORC itself calls in an executor: bytes in, bytes out, of which up to eight are in the result itself.

struct bytes {
    union {
        char *large;
        int small[2];
    } data;
    unsigned long size;
};

struct bytes wrapped(const char *bytes, unsigned long size) {
    (void)bytes, (void)size;
    return (struct bytes){.data.small = {42}, .size = sizeof(int)};
}
