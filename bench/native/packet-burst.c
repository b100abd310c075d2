/*
 * Sends bursts of prepared Ethernet frames and measures what a packet costs on its whole way: with the queueing discipline
 * bypassed, everything up to the drop at the far end runs inside the sending system call, on the processor that sends.
 *
 *   packet-burst ROUNDS BURST PROCESSOR VARIANT...
 *   VARIANT: new:INTERFACE:FILE:NETNS           every packet belongs to a connection of its own (another source port); after each
 *                                               burst the connections of the network namespace at path NETNS are flushed
 *            established:INTERFACE:FILE:REPLY   the file's second half are the replies; sent once, from interface REPLY
 *
 * FILE holds frames (frames.h). The variants take turns, burst by burst, in every round. Prints JSON: for each variant an array with the nanoseconds a packet took in each round.
 */
#define _GNU_SOURCE
#include "frames.h"

#include <fcntl.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <linux/netlink.h>
#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

enum { BATCH = 64, FIRST_PORT = 1024, PORTS = 60000 };

struct variant {
  int socket;
  int reply_socket; /* -1: new connections */
  int conntrack;    /* netlink socket of the router's namespace, for new connections */
  uint8_t *frames;
  size_t count;    /* frames in the forward direction */
  size_t position; /* packets sent so far */
  double *times;
};

/* A netlink socket belongs to the namespace it was opened in, wherever the process goes afterwards. */
static int open_conntrack(const char *path) {
  int here = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC), there = open(path, O_RDONLY | O_CLOEXEC);
  if (here < 0 || there < 0 || setns(there, CLONE_NEWNET) != 0) fail("namespace", path);
  int handle = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
  if (handle < 0) fail("netlink in", path);
  if (setns(here, CLONE_NEWNET) != 0) fail("namespace", "of our own");
  close(here);
  close(there);
  return handle;
}

static void flush_connections(int conntrack) {
  struct {
    struct nlmsghdr header;
    struct nfgenmsg family;
  } request = {
      .header = {.nlmsg_len = sizeof request, .nlmsg_type = NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_DELETE, .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK},
      .family = {.nfgen_family = AF_UNSPEC, .version = NFNETLINK_V0},
  };
  struct {
    struct nlmsghdr header;
    struct nlmsgerr error;
    char rest[256];
  } answer;
  if (send(conntrack, &request, sizeof request, 0) != (ssize_t)sizeof request || recv(conntrack, &answer, sizeof answer, 0) < 0) fail("flush", "request");
  if (answer.header.nlmsg_type != NLMSG_ERROR || answer.error.error != 0) {
    errno = -answer.error.error;
    fail("flush", "answer");
  }
}

static void open_variant(struct variant *variant, char *text, size_t rounds) {
  const char *kind = strtok(text, ":"), *interface = strtok(NULL, ":"), *path = strtok(NULL, ":"), *last = strtok(NULL, ":");
  if (kind == NULL || interface == NULL || path == NULL || last == NULL) {
    errno = EINVAL;
    fail("variant", text);
  }
  const char *reply = strcmp(kind, "established") == 0 ? last : NULL;
  variant->socket = open_socket(interface);
  variant->reply_socket = reply == NULL ? -1 : open_socket(reply);
  variant->conntrack = reply == NULL ? open_conntrack(last) : -1;
  size_t count = read_frames(path, &variant->frames);
  variant->count = reply == NULL ? count : count / 2;
  variant->times = calloc(rounds, sizeof *variant->times);
  if (variant->times == NULL) fail("memory for", text);
}

/* A first packet and its reply for each connection, so that conntrack has seen both directions. */
static void establish(struct variant *variant) {
  for (size_t i = 0; i < variant->count; i += 1) {
    if (send(variant->socket, variant->frames + i * FRAME, FRAME, 0) != FRAME) fail("send", "first packet");
    if (send(variant->reply_socket, variant->frames + (variant->count + i) * FRAME, FRAME, 0) != FRAME) fail("send", "reply");
  }
}

static double burst(struct variant *variant, size_t packets) {
  struct mmsghdr messages[BATCH];
  struct iovec parts[BATCH];
  prepare_batch(messages, parts, BATCH);
  double started = now();
  for (size_t sent = 0; sent < packets; sent += BATCH) {
    for (int i = 0; i < BATCH; i += 1) {
      uint8_t *frame = variant->frames + variant->position % variant->count * FRAME;
      if (variant->reply_socket < 0) set_source_port(frame, FIRST_PORT + (unsigned)(variant->position / variant->count % PORTS));
      variant->position += 1;
      parts[i].iov_base = frame;
    }
    send_batch(variant->socket, messages, BATCH);
  }
  return (now() - started) / (double)packets;
}

int main(int argc, char **argv) {
  if (argc < 5) {
    fprintf(stderr, "usage: packet-burst ROUNDS BURST PROCESSOR VARIANT...\n");
    return 2;
  }
  size_t rounds = strtoul(argv[1], NULL, 10), packets = (strtoul(argv[2], NULL, 10) + BATCH - 1) / BATCH * BATCH;
  cpu_set_t processors;
  CPU_ZERO(&processors);
  CPU_SET((size_t)strtoul(argv[3], NULL, 10), &processors);
  if (sched_setaffinity(0, sizeof processors, &processors) != 0) fail("processor", argv[3]);

  /* Other work of the machine shall not fall into the bursts. */
  if (setpriority(PRIO_PROCESS, 0, -20) != 0) fail("priority", "-20");

  size_t count = (size_t)argc - 4;
  struct variant *variants = calloc(count, sizeof *variants);
  if (variants == NULL) fail("memory for", "variants");
  for (size_t i = 0; i < count; i += 1) {
    open_variant(&variants[i], argv[4 + i], rounds);
    if (variants[i].reply_socket >= 0) establish(&variants[i]);
  }
  /* One round more than asked warms caches and is not told. */
  for (size_t round = 0; round <= rounds; round += 1) {
    for (size_t i = 0; i < count; i += 1) {
      double time = burst(&variants[i], packets);
      if (variants[i].conntrack >= 0) flush_connections(variants[i].conntrack);
      if (round > 0) variants[i].times[round - 1] = time;
    }
  }
  printf("[");
  for (size_t i = 0; i < count; i += 1) {
    printf("%s[", i == 0 ? "" : ",");
    for (size_t round = 0; round < rounds; round += 1) printf("%s%.1f", round == 0 ? "" : ",", variants[i].times[round]);
    printf("]");
  }
  printf("]\n");
  return 0;
}
