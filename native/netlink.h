// Netlink sockets: opening, sending a request or a batch, reading acknowledgements and consistent dumps. No JavaScript here;
// an object may be used from any thread, but from one at a time.
#pragma once
#include <linux/netlink.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <atomic>
#include <functional>
#include <memory>

#include "failure.h"

namespace dfw {

// Owns a file descriptor.
class UniqueFd {
 public:
  UniqueFd() = default;
  explicit UniqueFd(int fd) : fd_(fd) {}
  UniqueFd(UniqueFd&& other) noexcept : fd_(other.release()) {}
  UniqueFd& operator=(UniqueFd&& other) noexcept {
    if (this != &other) reset(other.release());
    return *this;
  }
  UniqueFd(const UniqueFd&) = delete;
  UniqueFd& operator=(const UniqueFd&) = delete;
  ~UniqueFd() { reset(); }

  int get() const { return fd_; }
  bool valid() const { return fd_ >= 0; }
  int release() {
    int fd = fd_;
    fd_ = -1;
    return fd;
  }
  void reset(int fd = -1);

 private:
  int fd_ = -1;
};

class NetlinkSocket {
 public:
  // Datagrams are at most this long: dumps are filled up to 32 kB, everything else is smaller.
  static constexpr size_t kReceiveSize = 64 * 1024;
  // An answer that takes longer is an error: the kernel answers before send() returns.
  static constexpr int kTimeoutSeconds = 30;
  static constexpr int kDumpTries = 16;

  // `protocol` NETLINK_NETFILTER, NETLINK_ROUTE...; `receiveBuffer` > 0 sets SO_RCVBUFFORCE (SO_RCVBUF without CAP_NET_ADMIN), bytes.
  Failure open(int protocol, int receiveBuffer = 0);
  void close() { fd_.reset(); }
  bool isOpen() const { return fd_.valid(); }
  int fd() const { return fd_.get(); }
  uint32_t portId() const { return portId_; }
  // First of `count` sequence numbers that nobody else uses on this socket.
  uint32_t takeSequence(uint32_t count = 1);

  // NETLINK_ADD_MEMBERSHIP.
  Failure join(unsigned group);

  // The whole of `data` by one sendmsg; enlarges the send buffer when it does not fit.
  Failure send(const void* data, size_t size);

  // One datagram into the internal buffer. Returns its length, 0 when none waits (only with `wait` = false), or -errno.
  ssize_t receive(bool wait);
  const uint8_t* received() const { return buffer_.get(); }

  // Sends one message and waits for its NLMSG_ERROR; fills nlmsg_seq, adds NLM_F_REQUEST | NLM_F_ACK. `call` names it in the failure.
  // `onAnswer` gets what comes before that: the answer to a question about one object.
  Failure request(nlmsghdr* message, const char* call, const std::function<void(const nlmsghdr*)>& onAnswer = {});

  struct Dump {
    const char* call = "dump";  // names it in failures
    // Begins a (further) pass: forget what the former one gave.
    std::function<void()> restart;
    // One answer. After a failure the rest of the pass is read and dropped.
    std::function<Failure(const nlmsghdr*)> onMessage;
    // Optional: the version of what is dumped, read before and after each pass; a pass during which it changed is repeated.
    std::function<Failure(uint32_t*)> version;
    // Optional: whether the answers of a pass fit together; otherwise it is repeated.
    std::function<bool()> plausible;
    // Optional: ends the dump between datagrams with ECANCELED; the socket is of no use then.
    const std::atomic<bool>* cancelled = nullptr;
  };
  // Sends one message with NLM_F_DUMP and hands over every answer. A pass that the kernel marks interrupted, that lost datagrams,
  // saw the version change or is not plausible is repeated, kDumpTries passes in all, then EINTR.
  Failure dump(nlmsghdr* message, const Dump& dump);

 private:
  Failure dumpOnce(nlmsghdr* message, const Dump& dump, bool* interrupted);

  UniqueFd fd_;
  uint32_t portId_ = 0;
  uint32_t sequence_ = 1;
  size_t sendBuffer_ = 0;
  std::unique_ptr<uint8_t[]> buffer_;
};

}  // namespace dfw
