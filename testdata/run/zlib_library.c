// A library named by -l: zlib.
// Libs: z
#include <stdio.h>
#include <string.h>
#include <zlib.h>

int main(void) {
  static unsigned char text[200000], packed[210000], back[200000];
  for (size_t i = 0; i < sizeof text; i++) text[i] = (unsigned char)("farcall "[i % 8] + (i / 1000) % 3);
  uLongf packed_size = sizeof packed, back_size = sizeof back;
  int packing = compress2(packed, &packed_size, text, sizeof text, 9);
  int unpacking = uncompress(back, &back_size, packed, packed_size);
  printf("%d %d %d %lu\n", packing, unpacking, packed_size < 5000, back_size);
  printf("%d %lx %lx\n", memcmp(text, back, sizeof text), crc32(0, text, sizeof text), adler32(1, text, sizeof text));
  return 0;
}
