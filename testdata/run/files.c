// File access by stdio and system calls, directories, stat, temporary files, mapping.
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static int shown(const struct dirent *entry) { return entry->d_name[0] != '.'; }

int main(void) {
  char folder[] = "/tmp/farcall-files-XXXXXX";
  if (!mkdtemp(folder) || chdir(folder)) return 1;
  FILE *file = fopen("data.txt", "w+");
  for (int i = 0; i < 1000; i++) fprintf(file, "%04d,", i);
  fseek(file, 500 * 5, SEEK_SET);
  int number;
  if (fscanf(file, "%d", &number) != 1) return 2;
  fseek(file, -5, SEEK_END);
  fwrite("last!", 1, 5, file);
  printf("%d %ld\n", number, ftell(file));
  rewind(file);
  char start[11];
  if (!fgets(start, sizeof start, file)) return 3;
  printf("%s\n", start);
  fclose(file);
  struct stat by_path, by_descriptor, link;
  int fd = open("data.txt", O_RDWR);
  printf("%d %d ", stat("data.txt", &by_path), fstat(fd, &by_descriptor));
  printf("%lld %d %d\n", (long long)by_path.st_size, by_path.st_ino == by_descriptor.st_ino, S_ISREG(by_path.st_mode));
  char *map = mmap(NULL, 5000, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  memcpy(map, "MAPPED", 6);
  msync(map, 5000, MS_SYNC);
  char back[7] = {0};
  pread(fd, back, 6, 0);
  printf("%s %.5s\n", back, map + 4995);
  munmap(map, 5000);
  ftruncate(fd, 10);
  close(fd);
  symlink("data.txt", "link");
  lstat("link", &link);
  mkdir("sub", 0755);
  printf("%d %d\n", S_ISLNK(link.st_mode), rename("data.txt", "sub/moved"));
  fclose(fopen("b", "w"));
  fclose(fopen("a", "w"));
  struct dirent **names;
  int n = scandir(".", &names, shown, alphasort);
  for (int i = 0; i < n; i++) {
    printf("%s ", names[i]->d_name);
    free(names[i]);
  }
  free(names);
  errno = 0;
  FILE *none = fopen("missing/file", "r");
  printf("\n%d %s\n", none == NULL, strerror(errno));
  FILE *memory = fmemopen("in memory", 9, "r");
  char word[8];
  printf("%d ", fscanf(memory, "%7s", word));
  puts(word);
  fclose(memory);
  char *text;
  size_t size;
  FILE *stream = open_memstream(&text, &size);
  fprintf(stream, "%d bytes", 123);
  fclose(stream);
  printf("%s %zu\n", text, size);
  free(text);
  FILE *temporary = tmpfile();
  fputs("x", temporary);
  printf("%ld\n", ftell(temporary));
  unlink("a"), unlink("b"), unlink("link"), unlink("sub/moved"), rmdir("sub");
  chdir("/");
  printf("%d\n", rmdir(folder));
  return 0;
}
