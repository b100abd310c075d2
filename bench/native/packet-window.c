/*
 * Sends prepared Ethernet frames through a switch that runs in a process of its own, and measures how fast they arrive: never more than
 * WINDOW packets are under way, so that no queue is ever full and none is lost.
 *
 *   packet-window PACKETS WARM WINDOW SENDER RECEIVER FILE FIRST
 *
 * FILE holds frames of 60 bytes: Ethernet, IPv4 without options, UDP without a checksum. Every packet is of a connection of its own: after
 * each pass over FILE the source port is another, beginning with FIRST. WARM packets come before the clock starts. Arrivals are counted by
 * RECEIVER's statistics. Prints JSON: {"ns": nanoseconds a packet, "lost": packets that did not come within a second}.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { FRAME = 60, BATCH = 32, SOURCE_PORT = 34, PORTS = 64000 };

static void fail(const char *what, const char *name) {
  fprintf(stderr, "packet-window: %s %s: %s\n", what, name, strerror(errno));
  exit(1);
}

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

/* Protocol 0: the socket sends and receives nothing. */
static int open_socket(const char *interface) {
  int handle = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
  if (handle < 0) fail("socket for", interface);
  struct sockaddr_ll address = {.sll_family = AF_PACKET, .sll_ifindex = (int)if_nametoindex(interface)};
  if (address.sll_ifindex == 0) fail("no interface", interface);
  if (bind(handle, (struct sockaddr *)&address, sizeof address) != 0) fail("bind", interface);
  int on = 1;
  if (setsockopt(handle, SOL_PACKET, PACKET_QDISC_BYPASS, &on, sizeof on) != 0) fail("qdisc bypass", interface);
  return handle;
}

static size_t read_frames(const char *path, uint8_t **frames) {
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

static int open_counter(const char *interface) {
  char path[256];
  snprintf(path, sizeof path, "/sys/class/net/%s/statistics/rx_packets", interface);
  int handle = open(path, O_RDONLY | O_CLOEXEC);
  if (handle < 0) fail("open", path);
  return handle;
}

static uint64_t read_counter(int handle) {
  char text[32];
  ssize_t length = pread(handle, text, sizeof text - 1, 0);
  if (length <= 0) fail("read", "rx_packets");
  text[length] = 0;
  return strtoull(text, NULL, 10);
}

int main(int argc, char **argv) {
  if (argc != 8) {
    fprintf(stderr, "usage: packet-window PACKETS WARM WINDOW SENDER RECEIVER FILE FIRST\n");
    return 2;
  }
  uint64_t warm = strtoull(argv[2], NULL, 10), total = strtoull(argv[1], NULL, 10) + warm, window = strtoull(argv[3], NULL, 10);
  int sender = open_socket(argv[4]), counter = open_counter(argv[5]);
  uint8_t *frames;
  size_t count = read_frames(argv[6], &frames);
  unsigned first = (unsigned)strtoul(argv[7], NULL, 10);

  struct mmsghdr messages[BATCH];
  struct iovec parts[BATCH];
  memset(messages, 0, sizeof messages);
  for (int i = 0; i < BATCH; i += 1) {
    parts[i].iov_len = FRAME;
    messages[i].msg_hdr.msg_iov = &parts[i];
    messages[i].msg_hdr.msg_iovlen = 1;
  }
  uint64_t base = read_counter(counter), sent = 0, done = 0, lost = 0, timed_from = 0;
  double started = 0, progress = now();
  while (done < total) {
    while (sent < total && sent + BATCH - done <= window) {
      /* The same frame may stand twice in a batch, with two source ports. */
      uint8_t copies[BATCH][FRAME];
      unsigned batch = total - sent < BATCH ? (unsigned)(total - sent) : BATCH;
      for (unsigned i = 0; i < batch; i += 1) {
        uint64_t at = sent + i;
        memcpy(copies[i], frames + at % count * FRAME, FRAME);
        unsigned port = 1024 + (unsigned)((first + at / count) % PORTS);
        copies[i][SOURCE_PORT] = (uint8_t)(port >> 8);
        copies[i][SOURCE_PORT + 1] = (uint8_t)port;
        parts[i].iov_base = copies[i];
      }
      for (unsigned at = 0; at < batch;) {
        int accepted = sendmmsg(sender, messages + at, batch - at, 0);
        if (accepted > 0) at += (unsigned)accepted;
        else if (errno != ENOBUFS && errno != EAGAIN && errno != EINTR) fail("send", argv[4]);
      }
      sent += batch;
    }
    uint64_t arrived = read_counter(counter) - base + lost;
    double time = now();
    /* What was given up may still come. */
    if (arrived > sent) arrived = sent;
    if (arrived > done) {
      done = arrived;
      progress = time;
    } else if (time - progress > 1e9) {
      lost += sent - done;
      done = sent;
      progress = time;
    } else {
      /* The switch may want this processor. */
      struct timespec pause = {.tv_nsec = 20000};
      nanosleep(&pause, NULL);
    }
    if (started == 0 && done >= warm) {
      started = time;
      timed_from = done;
    }
  }
  printf("{\"ns\": %.1f, \"lost\": %llu}\n", (now() - started) / (double)(total - timed_from), (unsigned long long)lost);
  return 0;
}
