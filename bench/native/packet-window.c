/*
 * Sends prepared Ethernet frames through a switch that runs in a process of its own, and measures how fast they arrive: never more than
 * WINDOW packets are under way, so that no queue is ever full and none is lost.
 *
 *   packet-window PACKETS WARM WINDOW SENDER RECEIVER FILE FIRST
 *
 * FILE holds frames (frames.h). Every packet is of a connection of its own: after each pass over FILE the source port is another,
 * beginning with FIRST. WARM packets come before the clock starts. Arrivals are counted by RECEIVER's statistics. Prints JSON: {"ns": nanoseconds a packet, "lost": packets that did not come within a second}.
 */
#define _GNU_SOURCE
#include "frames.h"

#include <fcntl.h>
#include <unistd.h>

enum { BATCH = 32, PORTS = 64000 };

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
  prepare_batch(messages, parts, BATCH);
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
        set_source_port(copies[i], 1024 + (unsigned)((first + at / count) % PORTS));
        parts[i].iov_base = copies[i];
      }
      send_batch(sender, messages, batch);
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
