// Socket pairs, poll, epoll, eventfd, passing a descriptor; a thread that answers.
// Flags: -pthread
#define _GNU_SOURCE
#include <poll.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

static void *echo(void *argument) {
  int fd = *(int *)argument;
  char text[64];
  ssize_t n;
  while ((n = recv(fd, text, sizeof text, 0)) > 0) {
    for (ssize_t i = 0; i < n / 2; i++) {
      char c = text[i];
      text[i] = text[n - 1 - i];
      text[n - 1 - i] = c;
    }
    send(fd, text, (size_t)n, 0);
  }
  shutdown(fd, SHUT_WR);
  return NULL;
}

int main(void) {
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair)) return 1;
  pthread_t thread;
  pthread_create(&thread, NULL, echo, &pair[1]);
  const char *words[] = {"hello", "level", "socket"};
  for (int i = 0; i < 3; i++) {
    send(pair[0], words[i], strlen(words[i]), 0);
    struct pollfd wait = {.fd = pair[0], .events = POLLIN};
    int n = poll(&wait, 1, 10000);
    char text[64] = {0};
    recv(pair[0], text, sizeof text - 1, 0);
    printf("%d %d %s\n", n, (wait.revents & POLLIN) != 0, text);
  }
  shutdown(pair[0], SHUT_WR);
  pthread_join(thread, NULL);

  int event = eventfd(0, 0), queue = epoll_create1(0);
  struct epoll_event want = {.events = EPOLLIN, .data.u32 = 77}, got;
  epoll_ctl(queue, EPOLL_CTL_ADD, event, &want);
  printf("%d ", epoll_wait(queue, &got, 1, 0));
  uint64_t value = 5;
  write(event, &value, 8);
  printf("%d %u ", epoll_wait(queue, &got, 1, 1000), epoll_wait(queue, &got, 1, 0) == 1 ? got.data.u32 : 0);
  read(event, &value, 8);
  printf("%llu\n", (unsigned long long)value);

  int ends[2], carrier[2];
  if (pipe(ends) || socketpair(AF_UNIX, SOCK_STREAM, 0, carrier)) return 1;
  char control[CMSG_SPACE(sizeof(int))] __attribute__((aligned(8))) = {0}, byte = 'x';
  struct iovec part = {&byte, 1};
  struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  struct cmsghdr *header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET, header->cmsg_type = SCM_RIGHTS, header->cmsg_len = CMSG_LEN(sizeof(int));
  memcpy(CMSG_DATA(header), &ends[1], sizeof(int));
  sendmsg(carrier[0], &message, 0);
  memset(control, 0, sizeof control);
  recvmsg(carrier[1], &message, 0);
  int received;
  memcpy(&received, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(int));
  write(received, "passed\n", 7);
  char text[8] = {0};
  read(ends[0], text, 7);
  fputs(text, stdout);
  return 0;
}
