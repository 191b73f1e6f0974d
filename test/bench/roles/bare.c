/* Control: a C program that receives into place with recv, or sends with writev, in the framing of the other bare roles.
 *
 *   bare recv TENSOR_BYTES COUNT        prints {"event":"ready","port":N}, then {"event":"done",...}
 *   bare send PORT TENSOR_BYTES COUNT FRAME_BYTES
 *
 * Timed like the others: from the end of the first tensor to the end of the last. */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec + t.tv_nsec / 1e9;
}

static void die(const char *what) {
  perror(what);
  exit(1);
}

static void read_all(int fd, uint8_t *into, size_t length) {
  while (length > 0) {
    ssize_t n = recv(fd, into, length, 0);
    if (n <= 0) die("recv");
    into += n;
    length -= (size_t)n;
  }
}

static int receive(size_t tensor_bytes, int count) {
  int server = socket(AF_INET, SOCK_STREAM, 0);
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t size = sizeof at;
  if (bind(server, (struct sockaddr *)&at, size) || listen(server, 1) || getsockname(server, (struct sockaddr *)&at, &size)) die("listen");
  printf("{\"event\":\"ready\",\"port\":%d}\n", ntohs(at.sin_port));
  fflush(stdout);
  int fd = accept(server, NULL, NULL);
  uint8_t *tensor = malloc(tensor_bytes), header[14];
  if (fd < 0 || !tensor) die("accept");
  memset(tensor, 1, tensor_bytes);
  double start = 0;
  for (int i = 0; i < count; i++) {
    for (size_t done = 0; done < tensor_bytes;) {
      read_all(fd, header, sizeof header);
      uint32_t length;
      memcpy(&length, header + 10, 4);
      length = ntohl(length);
      if (length > tensor_bytes - done) return 1;
      read_all(fd, tensor + done, length);
      done += length;
    }
    if (i == 0) start = now();
  }
  printf("{\"event\":\"done\",\"bytes\":%zu,\"seconds\":%.6f}\n", tensor_bytes * (size_t)(count - 1), now() - start);
  return 0;
}

static int transmit(int port, size_t tensor_bytes, int count, size_t frame_bytes) {
  int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  if (connect(fd, (struct sockaddr *)&to, sizeof to)) die("connect");
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  uint8_t *tensor = malloc(tensor_bytes), header[14] = {1, 1, 0, 0, 0, 1};
  if (!tensor) die("malloc");
  memset(tensor, 3, tensor_bytes);
  for (int i = 0; i < count; i++) {
    uint32_t seq = 0;
    for (size_t at = 0; at < tensor_bytes; seq++) {
      size_t length = tensor_bytes - at < frame_bytes ? tensor_bytes - at : frame_bytes;
      uint32_t seq_be = htonl(seq), length_be = htonl((uint32_t)length);
      memcpy(header + 6, &seq_be, 4);
      memcpy(header + 10, &length_be, 4);
      struct iovec parts[2] = {{header, sizeof header}, {tensor + at, length}};
      at += length;
      for (int index = 0; index < 2;) {
        ssize_t n = writev(fd, parts + index, 2 - index);
        if (n < 0) die("writev");
        while (index < 2 && (size_t)n >= parts[index].iov_len) n -= (ssize_t)parts[index++].iov_len;
        if (index < 2) {
          parts[index].iov_base = (uint8_t *)parts[index].iov_base + n;
          parts[index].iov_len -= (size_t)n;
        }
      }
    }
  }
  close(fd);
  return 0;
}

int main(int argc, char **argv) {
  if (argc == 4 && !strcmp(argv[1], "recv")) return receive(strtoull(argv[2], 0, 10), atoi(argv[3]));
  if (argc == 6 && !strcmp(argv[1], "send")) return transmit(atoi(argv[2]), strtoull(argv[3], 0, 10), atoi(argv[4]), strtoull(argv[5], 0, 10));
  fprintf(stderr, "usage: bare recv TENSOR_BYTES COUNT | bare send PORT TENSOR_BYTES COUNT FRAME_BYTES\n");
  return 2;
}
