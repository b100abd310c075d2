/*
 * Sends prepared frames at a rate: batches of 32, each at its time.
 *
 *   packet-pace INTERFACE FILE RATE PACKETS
 *
 * FILE holds frames (frames.h), sent in turn. A sender that comes late sends what is due at once, but at most 5 ms of packets: so a busy
 * machine makes the rate lower and no burst of seconds. Prints JSON: packets sent, and the seconds it took.
 */
#define _GNU_SOURCE
#include "frames.h"

#include <sys/resource.h>
#include <unistd.h>

enum { BATCH = 32 };

int main(int argc, char **argv) {
  if (argc != 5) {
    fprintf(stderr, "usage: packet-pace INTERFACE FILE RATE PACKETS\n");
    return 2;
  }
  int handle = open_socket(argv[1]);
  uint8_t *frames;
  size_t count = read_frames(argv[2], &frames);
  double interval = 1e9 / strtod(argv[3], NULL), late = 5e6;
  size_t packets = strtoul(argv[4], NULL, 10);
  if (setpriority(PRIO_PROCESS, 0, -20) != 0) fail("priority", "-20");

  struct mmsghdr messages[BATCH];
  struct iovec parts[BATCH];
  prepare_batch(messages, parts, BATCH);
  double started = now(), due = started;
  for (size_t sent = 0; sent < packets;) {
    double time = now();
    if (time < due) {
      /* Close to the time it spins; else others need the processor, with this priority. */
      if (due - time > 200e3) usleep((unsigned)((due - time - 100e3) / 1e3));
      continue;
    }
    if (time - due > late) due = time - late;
    unsigned batch = packets - sent < BATCH ? (unsigned)(packets - sent) : BATCH;
    for (unsigned i = 0; i < batch; i += 1) parts[i].iov_base = frames + (sent + i) % count * FRAME;
    send_batch(handle, messages, batch);
    sent += batch;
    due += interval * batch;
  }
  printf("{\"packets\":%zu,\"seconds\":%.6f}\n", packets, (now() - started) / 1e9);
  return 0;
}
