// Requests to ctnetlink: the dump of the whole table, reads of single entries, and clearing of label words. All block; for worker threads.
#pragma once
#include <libmnl/libmnl.h>

#include <cstdint>
#include <functional>
#include <vector>

#include "flow_record.h"
#include "failure.h"
#include "netlink.h"

namespace dfw {

/** A complete dump, read in portions of at most 32 kB (the kernel's own limit). */
class FlowDump {
 public:
  /**
   * True while the kernel holds so few entries that a dump takes some 20 ms: then a question is better answered from it than from the
   * index, because it also shows connections that got their label a moment ago.
   */
  static bool isCheap();
  /** Opens a socket and asks for the dump. */
  Failure begin();
  /** Reads one portion and visits its entries; false when the dump has ended, well (error() is 0) or not. */
  template <typename Visit>
  bool portion(Visit visit);
  Failure error() const { return error_; }

 private:
  /** Size of the portion, 0 or less = over. */
  ssize_t receive();
  NetlinkSocket socket_;
  Failure error_;
  bool done_ = false;
};

/** Reads single entries by tuple, many per system call. */
class FlowReader {
 public:
  Failure open();
  /** `visit(position, message)` for each of the keys; message is null when the kernel has no such entry (any more). Order is that of the keys. */
  Failure read(const FlowKey* keys, size_t count, const std::function<void(size_t, const nlmsghdr*)>& visit);

 private:
  Failure batch(const FlowKey* keys, size_t count, size_t offset, const std::function<void(size_t, const nlmsghdr*)>& visit);
  NetlinkSocket socket_;
  std::vector<char> request_;
  uint32_t sequence_ = 0;
};

/** Clears label words 2 and 3, batched; entries that end meanwhile are no error. */
class LabelClearer {
 public:
  Failure open();
  /** `flow` must come from a message that still exists (its tuple is copied verbatim, so every protocol and zone is named exactly). */
  Failure clear(const Flow& flow, bool out, bool in);
  /** Sends what is pending and waits for the kernel's answer. */
  Failure flush();
  uint64_t cleared() const { return cleared_; }

 private:
  NetlinkSocket socket_;
  std::vector<char> batch_;
  size_t used_ = 0;
  size_t last_ = 0;  // offset of the newest message
  uint32_t pending_ = 0;
  uint32_t sequence_ = 0;
  uint64_t cleared_ = 0;
};

template <typename Visit>
bool FlowDump::portion(Visit visit) {
  if (done_) return false;
  const ssize_t size = receive();
  if (size <= 0) {
    done_ = true;
    return false;
  }
  int left = static_cast<int>(size);
  for (const auto* message = reinterpret_cast<const nlmsghdr*>(socket_.received()); mnl_nlmsg_ok(message, left); message = mnl_nlmsg_next(message, &left)) {
    if (message->nlmsg_type == NLMSG_DONE) {
      done_ = true;
      break;
    }
    if (message->nlmsg_type == NLMSG_ERROR) {
      const auto* answer = static_cast<const nlmsgerr*>(mnl_nlmsg_get_payload(message));
      if (answer->error != 0) error_ = {-answer->error, "ctnetlink dump"};
      done_ = true;
      break;
    }
    visit(message);
  }
  return !done_;
}

}  // namespace dfw
