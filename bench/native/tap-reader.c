/*
 * Reads copies from a device as an engine does that does nothing with them: a TPACKET_V3 ring of the size of ours, every frame looked at once.
 *
 *   tap-reader INTERFACE
 *
 * Prints "ready". Each line on its standard input is answered with JSON: frames and bytes read, frames lost because the ring was full, and its
 * processor time in nanoseconds; all since the start. Frames are counted when no more of them come for 20 ms, or after a second. Ends with its input.
 */
#define _GNU_SOURCE
#include "frames.h"

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

enum { BLOCK = 1 << 17, BLOCKS = 264 };

static uint64_t packets, bytes, lost, seen;
static uint8_t *ring;
static unsigned next_block;

static int open_ring(const char *interface) {
  int handle = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
  if (handle < 0) fail("socket for", interface);
  int version = TPACKET_V3;
  if (setsockopt(handle, SOL_PACKET, PACKET_VERSION, &version, sizeof version) != 0) fail("TPACKET_V3", interface);
  struct tpacket_req3 request = {.tp_block_size = BLOCK, .tp_block_nr = BLOCKS, .tp_frame_size = BLOCK, .tp_frame_nr = BLOCKS, .tp_retire_blk_tov = 10};
  if (setsockopt(handle, SOL_PACKET, PACKET_RX_RING, &request, sizeof request) != 0) fail("ring of", interface);
  ring = mmap(NULL, (size_t)BLOCK * BLOCKS, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, handle, 0);
  if (ring == MAP_FAILED) fail("mapped ring of", interface);
  struct sockaddr_ll address = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL), .sll_ifindex = (int)if_nametoindex(interface)};
  if (address.sll_ifindex == 0) fail("no interface", interface);
  if (bind(handle, (struct sockaddr *)&address, sizeof address) != 0) fail("bind", interface);
  return handle;
}

/* False when no block was full. */
static int read_block(void) {
  struct tpacket_block_desc *block = (struct tpacket_block_desc *)(ring + (size_t)next_block * BLOCK);
  if ((__atomic_load_n(&block->hdr.bh1.block_status, __ATOMIC_ACQUIRE) & TP_STATUS_USER) == 0) return 0;
  uint8_t *at = (uint8_t *)block + block->hdr.bh1.offset_to_first_pkt;
  for (unsigned i = 0; i < block->hdr.bh1.num_pkts; i += 1) {
    struct tpacket3_hdr *header = (struct tpacket3_hdr *)at;
    /* Where an engine would begin: the type of the frame. */
    seen += at[header->tp_mac + 12];
    packets += 1;
    bytes += header->tp_len;
    at += header->tp_next_offset;
  }
  __atomic_store_n(&block->hdr.bh1.block_status, TP_STATUS_KERNEL, __ATOMIC_RELEASE);
  next_block = (next_block + 1) % BLOCKS;
  return 1;
}

static void answer(int handle) {
  double begun = now(), last = begun;
  while (now() - last < 20e6 && now() - begun < 1e9) {
    if (read_block()) last = now();
    else usleep(1000);
  }
  struct tpacket_stats_v3 stats;
  socklen_t size = sizeof stats;
  if (getsockopt(handle, SOL_PACKET, PACKET_STATISTICS, &stats, &size) != 0) fail("statistics", "");
  lost += stats.tp_drops;
  struct rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  double cpu = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1e9 + (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1e3;
  printf("{\"packets\":%lu,\"bytes\":%lu,\"lost\":%lu,\"processorNs\":%.0f,\"seen\":%lu}\n", packets, bytes, lost, cpu, seen);
  fflush(stdout);
}

int main(int argc, char **argv) {
  if (argc != 2) {
    fprintf(stderr, "usage: tap-reader INTERFACE\n");
    return 2;
  }
  /* A reader that other work of the machine keeps from reading says nothing about copies. */
  if (setpriority(PRIO_PROCESS, 0, -20) != 0) fail("priority", "-20");
  int handle = open_ring(argv[1]);
  printf("ready\n");
  fflush(stdout);
  struct pollfd waiting[] = {{.fd = handle, .events = POLLIN}, {.fd = STDIN_FILENO, .events = POLLIN}};
  for (;;) {
    while (read_block()) {
    }
    if (poll(waiting, 2, -1) < 0 && errno != EINTR) fail("poll", argv[1]);
    if (waiting[1].revents != 0) {
      char line[64];
      if (read(STDIN_FILENO, line, sizeof line) <= 0) return 0;
      answer(handle);
    }
  }
}
