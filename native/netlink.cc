#include "netlink.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <limits.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

namespace dfw {

void UniqueFd::reset(int fd) {
  // Linux releases the descriptor whatever close() returns (EINTR too), so there is nothing to repeat.
  if (fd_ >= 0) ::close(fd_);
  fd_ = fd;
}

Failure NetlinkSocket::open(int protocol, int receiveBuffer) {
  UniqueFd fd(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol));
  if (!fd.valid()) return {errno, "socket"};

  sockaddr_nl address{};
  address.nl_family = AF_NETLINK;
  if (bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) < 0) return {errno, "bind"};
  socklen_t length = sizeof address;
  if (getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &length) < 0) return {errno, "getsockname"};

  // Errors quote only the header of the refused message: thousands of them fit into the receive buffer.
  const int on = 1;
  if (setsockopt(fd.get(), SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof on) < 0) return {errno, "setsockopt(NETLINK_CAP_ACK)"};
  const timeval timeout{kTimeoutSeconds, 0};
  if (setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout) < 0) return {errno, "setsockopt(SO_RCVTIMEO)"};
  if (receiveBuffer > 0 && setsockopt(fd.get(), SOL_SOCKET, SO_RCVBUFFORCE, &receiveBuffer, sizeof receiveBuffer) < 0 &&
      setsockopt(fd.get(), SOL_SOCKET, SO_RCVBUF, &receiveBuffer, sizeof receiveBuffer) < 0) {
    return {errno, "setsockopt(SO_RCVBUF)"};
  }
  int sendBuffer = 0;
  length = sizeof sendBuffer;
  if (getsockopt(fd.get(), SOL_SOCKET, SO_SNDBUF, &sendBuffer, &length) < 0) return {errno, "getsockopt(SO_SNDBUF)"};

  if (buffer_ == nullptr) buffer_.reset(new uint8_t[kReceiveSize]);
  fd_ = std::move(fd);
  portId_ = address.nl_pid;
  sendBuffer_ = static_cast<size_t>(sendBuffer);
  return {};
}

uint32_t NetlinkSocket::takeSequence(uint32_t count) {
  const uint32_t first = sequence_;
  sequence_ += count;
  return first;
}

Failure NetlinkSocket::join(unsigned group) {
  const int value = static_cast<int>(group);
  if (setsockopt(fd_.get(), SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &value, sizeof value) < 0) {
    return {errno, "setsockopt(NETLINK_ADD_MEMBERSHIP)"};
  }
  return {};
}

Failure NetlinkSocket::send(const void* data, size_t size) {
  // The kernel wants the datagram to be smaller than the send buffer; it doubles the value it is given.
  if (size + 4096 > sendBuffer_) {
    if (size > static_cast<size_t>(INT_MAX / 2) - 8192) return {EMSGSIZE, "sendmsg"};
    const int wanted = static_cast<int>(size) + 8192;
    if (setsockopt(fd_.get(), SOL_SOCKET, SO_SNDBUFFORCE, &wanted, sizeof wanted) < 0) {
      // Without CAP_NET_ADMIN the limit of net.core.wmem_max holds; whether that is enough, send will tell.
      if (errno != EPERM || setsockopt(fd_.get(), SOL_SOCKET, SO_SNDBUF, &wanted, sizeof wanted) < 0) {
        return {errno, "setsockopt(SO_SNDBUFFORCE)"};
      }
    } else {
      sendBuffer_ = static_cast<size_t>(wanted);
    }
  }
  sockaddr_nl kernel{};
  kernel.nl_family = AF_NETLINK;
  iovec part{const_cast<void*>(data), size};
  msghdr header{};
  header.msg_name = &kernel;
  header.msg_namelen = sizeof kernel;
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  ssize_t sent = 0;
  do {
    sent = sendmsg(fd_.get(), &header, MSG_NOSIGNAL);
  } while (sent < 0 && errno == EINTR);
  if (sent < 0) return {errno, "sendmsg"};
  if (static_cast<size_t>(sent) != size) return {EIO, "sendmsg"};
  return {};
}

ssize_t NetlinkSocket::receive(bool wait) {
  for (;;) {
    sockaddr_nl sender{};
    iovec part{buffer_.get(), kReceiveSize};
    msghdr header{};
    header.msg_name = &sender;
    header.msg_namelen = sizeof sender;
    header.msg_iov = &part;
    header.msg_iovlen = 1;
    const ssize_t length = recvmsg(fd_.get(), &header, wait ? 0 : MSG_DONTWAIT);
    if (length < 0) {
      if (errno == EINTR) continue;
      if (errno == EAGAIN || errno == EWOULDBLOCK) return wait ? -ETIMEDOUT : 0;
      return -errno;
    }
    // Any local process may send to a netlink port: only what the kernel (port 0) sent counts.
    if (sender.nl_pid != 0 || length == 0) continue;
    if ((header.msg_flags & MSG_TRUNC) != 0) return -EMSGSIZE;
    return length;
  }
}

Failure NetlinkSocket::request(nlmsghdr* message, const char* call, const std::function<void(const nlmsghdr*)>& onAnswer) {
  message->nlmsg_flags |= NLM_F_REQUEST | NLM_F_ACK;
  message->nlmsg_seq = takeSequence();
  if (Failure failure = send(message, message->nlmsg_len)) return failure;
  for (;;) {
    const ssize_t length = receive(true);
    if (length < 0) return {static_cast<int>(-length), "recvmsg"};
    int left = static_cast<int>(length);
    const auto* answer = reinterpret_cast<const nlmsghdr*>(received());
    for (; mnl_nlmsg_ok(answer, left); answer = mnl_nlmsg_next(answer, &left)) {
      if (answer->nlmsg_seq != message->nlmsg_seq) continue;
      if (answer->nlmsg_type != NLMSG_ERROR) {
        if (onAnswer && answer->nlmsg_type >= NLMSG_MIN_TYPE) onAnswer(answer);
        continue;
      }
      if (mnl_nlmsg_get_payload_len(answer) < sizeof(nlmsgerr)) return {EBADMSG, call};
      const auto* result = static_cast<const nlmsgerr*>(mnl_nlmsg_get_payload(answer));
      return result->error == 0 ? Failure{} : Failure{-result->error, call};
    }
  }
}

Failure NetlinkSocket::dump(nlmsghdr* message, const Dump& dump) {
  message->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
  for (int attempt = 0; attempt < kDumpTries; attempt++) {
    // Someone else changes things all the time: wait a little longer each time (100 us ... 12.8 ms).
    if (attempt > 0) usleep(100u << (attempt < 8 ? attempt - 1 : 7));
    dump.restart();
    uint32_t before = 0;
    uint32_t after = 0;
    bool interrupted = false;
    if (dump.version) {
      if (Failure failure = dump.version(&before)) return failure;
    }
    if (Failure failure = dumpOnce(message, dump, &interrupted)) return failure;
    if (dump.version) {
      if (Failure failure = dump.version(&after)) return failure;
    }
    if (!interrupted && before == after && (!dump.plausible || dump.plausible())) return {};
  }
  return {EINTR, dump.call, "the dump was interrupted " + std::to_string(kDumpTries) + " times"};
}

Failure NetlinkSocket::dumpOnce(nlmsghdr* message, const Dump& dump, bool* interrupted) {
  const char* call = dump.call;
  message->nlmsg_seq = takeSequence();
  if (Failure failure = send(message, message->nlmsg_len)) return failure;
  Failure refused;
  for (;;) {
    if (dump.cancelled != nullptr && dump.cancelled->load(std::memory_order_relaxed)) return {ECANCELED, call};
    const ssize_t length = receive(true);
    if (length == -ENOBUFS) {  // The dump itself goes on: read it to its end, then start again.
      *interrupted = true;
      continue;
    }
    if (length < 0) return {static_cast<int>(-length), "recvmsg"};
    int left = static_cast<int>(length);
    const auto* answer = reinterpret_cast<const nlmsghdr*>(received());
    for (; mnl_nlmsg_ok(answer, left); answer = mnl_nlmsg_next(answer, &left)) {
      if (answer->nlmsg_seq != message->nlmsg_seq) continue;
      if ((answer->nlmsg_flags & NLM_F_DUMP_INTR) != 0) *interrupted = true;
      if (answer->nlmsg_type == NLMSG_ERROR) {
        if (mnl_nlmsg_get_payload_len(answer) < sizeof(nlmsgerr)) return {EBADMSG, call};
        const int error = -static_cast<const nlmsgerr*>(mnl_nlmsg_get_payload(answer))->error;
        return error == EINTR ? (*interrupted = true, Failure{}) : Failure{error, call};
      }
      if (answer->nlmsg_type == NLMSG_DONE) {
        // The final message carries the dump's result (a negative errno) since it may fail half way.
        int result = 0;
        if (mnl_nlmsg_get_payload_len(answer) >= sizeof result) memcpy(&result, mnl_nlmsg_get_payload(answer), sizeof result);
        if (result < 0) return {-result, call};
        return *interrupted ? Failure{} : refused;
      }
      if (answer->nlmsg_type < NLMSG_MIN_TYPE || refused) continue;
      refused = dump.onMessage(answer);
    }
  }
}

}  // namespace dfw
