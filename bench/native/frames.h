/*
 * What the packet senders share: packet sockets without a queueing discipline, files of prepared frames, batches of frames.
 * Frames have 60 bytes: Ethernet, IPv4 without options, UDP without a checksum. Every failure ends the program with a message.
 */
#ifndef DFW_BENCH_FRAMES_H
#define DFW_BENCH_FRAMES_H
#include <errno.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

enum { FRAME = 60, SOURCE_PORT = 34 };

static inline void fail(const char *what, const char *name) {
  fprintf(stderr, "%s: %s %s: %s\n", program_invocation_short_name, what, name, strerror(errno));
  exit(1);
}

static inline double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

/* Protocol 0: the socket sends and receives nothing. */
static inline int open_socket(const char *interface) {
  int handle = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
  if (handle < 0) fail("socket for", interface);
  struct sockaddr_ll address = {.sll_family = AF_PACKET, .sll_ifindex = (int)if_nametoindex(interface)};
  if (address.sll_ifindex == 0) fail("no interface", interface);
  if (bind(handle, (struct sockaddr *)&address, sizeof address) != 0) fail("bind", interface);
  int on = 1;
  if (setsockopt(handle, SOL_PACKET, PACKET_QDISC_BYPASS, &on, sizeof on) != 0) fail("qdisc bypass", interface);
  return handle;
}

static inline size_t read_frames(const char *path, uint8_t **frames) {
  FILE *file = fopen(path, "rb");
  if (file == NULL) fail("open", path);
  if (fseek(file, 0, SEEK_END) != 0) fail("seek", path);
  long size = ftell(file);
  rewind(file);
  if (size < FRAME || size % FRAME != 0) {
    errno = EINVAL;
    fail("size of", path);
  }
  *frames = malloc((size_t)size);
  if (*frames == NULL || fread(*frames, 1, (size_t)size, file) != (size_t)size) fail("read", path);
  fclose(file);
  return (size_t)size / FRAME;
}

static inline void set_source_port(uint8_t *frame, unsigned port) {
  frame[SOURCE_PORT] = (uint8_t)(port >> 8);
  frame[SOURCE_PORT + 1] = (uint8_t)port;
}

/* One frame a message; the places of the frames come with each batch. */
static inline void prepare_batch(struct mmsghdr *messages, struct iovec *parts, int count) {
  memset(messages, 0, (size_t)count * sizeof *messages);
  for (int i = 0; i < count; i += 1) {
    parts[i].iov_len = FRAME;
    messages[i].msg_hdr.msg_iov = &parts[i];
    messages[i].msg_hdr.msg_iovlen = 1;
  }
}

static inline void send_batch(int handle, struct mmsghdr *messages, unsigned count) {
  for (unsigned sent = 0; sent < count;) {
    int done = sendmmsg(handle, messages + sent, count - sent, 0);
    if (done > 0) sent += (unsigned)done;
    else if (errno != ENOBUFS && errno != EAGAIN && errno != EINTR) fail("send", "");
  }
}

#endif
