#include "flow_events.h"

#include <arpa/inet.h>
#include <libmnl/libmnl.h>
#include <linux/filter.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>

#include "flow_dump.h"

namespace dfw {
namespace {

using Clock = std::chrono::steady_clock;
constexpr size_t kBatch = 64;
constexpr size_t kEventRoom = 4096;  // events are 170-600 bytes

// Audits follow quickly after a start or a sweep, when many connections get their id from their next packet, then ever more slowly.
constexpr std::chrono::seconds kFirstAudit{1}, kLastAudit{60};
// The steady state costs at most a hundredth of one CPU.
constexpr int kAuditShare = 100;

/**
 * NEW events pass only with labels: a flow without a rule id is none of ours. DESTROY always passes (it carries no labels). What is
 * dropped here is never queued.
 */
Failure attachFilter(int fd) {
  constexpr uint16_t kDestroy = NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_DELETE;
  constexpr uint32_t kFirstAttribute = sizeof(nlmsghdr) + sizeof(nfgenmsg);
  sock_filter program[] = {
      // BPF loads big-endian, nlmsg_type is in host order.
      BPF_STMT(BPF_LD | BPF_H | BPF_ABS, offsetof(nlmsghdr, nlmsg_type)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, htons(kDestroy), 3, 0),
      BPF_STMT(BPF_LD | BPF_IMM, kFirstAttribute),
      BPF_STMT(BPF_LDX | BPF_IMM, CTA_LABELS),
      BPF_STMT(BPF_LD | BPF_B | BPF_ABS, static_cast<uint32_t>(SKF_AD_OFF + SKF_AD_NLATTR)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 1, 0),
      BPF_STMT(BPF_RET | BPF_K, 0xffffffff),
      BPF_STMT(BPF_RET | BPF_K, 0),
  };
  sock_fprog filter{static_cast<unsigned short>(sizeof program / sizeof program[0]), program};
  if (::setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof filter) != 0) return {errno, "setsockopt"};
  return {};
}

}  // namespace

Failure FlowEvents::start() {
  Failure failed = socket_.open(NETLINK_NETFILTER, options_.receiveBuffer);
  if (!failed) failed = attachFilter(socket_.fd());
  // Not UPDATE: the kernel builds five or six messages a TCP connection in the packet path for it (measured: 50 us a connection
  // with it, 44 us without, 38 us with no listener), and labels change only after a sweep. See flow_index.h for what stands in.
  for (unsigned group : {NFNLGRP_CONNTRACK_NEW, NFNLGRP_CONNTRACK_DESTROY}) {
    if (!failed) failed = socket_.join(group);
  }
  if (failed) {
    socket_.close();
    return failed;
  }
  buffers_.resize(kBatch * kEventRoom);
  stopping_ = false;
  ready_ = false;
  readyError_ = {};
  stale_ = true;
  nextResync_ = {};
  auditInterval_ = kFirstAudit;
  thread_ = std::thread([this] { run(); });
  return {};
}

void FlowEvents::stop() {
  {
    std::lock_guard<std::mutex> guard(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
  socket_.close();
}

Failure FlowEvents::waitReady() {
  std::unique_lock<std::mutex> guard(mutex_);
  changed_.wait(guard, [this] { return ready_ || stopping_; });
  return ready_ ? readyError_ : Failure{ECANCELED, "start"};
}

void FlowEvents::watchEnds(IdSet ids, EndsListener listener) {
  std::lock_guard<std::mutex> guard(endsMutex_);
  endIds_ = std::move(ids);
  endsListener_ = std::move(listener);
}

void FlowEvents::auditSoon() {
  std::lock_guard<std::mutex> guard(mutex_);
  auditInterval_ = kFirstAudit;
}

bool FlowEvents::auditDue() {
  Clock::time_point audited;
  {
    auto guard = index_.lock();
    audited = index_.audited();
  }
  std::lock_guard<std::mutex> guard(mutex_);
  return Clock::now() >= audited + std::max<Clock::duration>(auditInterval_, lastDump_ * kAuditShare);
}

void FlowEvents::run() {
  while (!stopping_) {
    drain();
    const bool lossy = stale_;
    if (Clock::now() >= nextResync_ && (lossy || auditDue())) {
      const Clock::time_point begun = Clock::now();
      const Failure failed = resync();
      if (failed.error != EAGAIN) settle(failed, lossy, Clock::now() - begun);
    }
    // A timer and not poll(): a reader asleep in poll() costs a wake-up for each new connection.
    std::unique_lock<std::mutex> guard(mutex_);
    changed_.wait_for(guard, std::chrono::milliseconds(options_.drainIntervalMs), [this] { return stopping_.load(); });
  }
}

void FlowEvents::settle(const Failure& failed, bool lossy, Clock::duration took) {
  lastDump_ = took;
  // Under a lasting overload, and when dumps fail, dumping may take at most half of the time.
  nextResync_ = Clock::now() + std::max<Clock::duration>(kFirstAudit, took);
  std::lock_guard<std::mutex> guard(mutex_);
  auditInterval_ = std::min<Clock::duration>(auditInterval_ * 2, kLastAudit);
  if (ready_ && lossy && !failed) ++resyncs_;
  if (ready_) return;
  ready_ = true;
  readyError_ = failed;
  changed_.notify_all();
}

void FlowEvents::drain() {
  mmsghdr headers[kBatch];
  iovec parts[kBatch];
  for (size_t i = 0; i < kBatch; ++i) {
    parts[i] = {buffers_.data() + i * kEventRoom, kEventRoom};
    headers[i] = {};
    headers[i].msg_hdr.msg_iov = &parts[i];
    headers[i].msg_hdr.msg_iovlen = 1;
  }
  std::unique_lock<std::mutex> ends(endsMutex_);
  while (!stopping_) {
    const int received = ::recvmmsg(socket_.fd(), headers, kBatch, MSG_DONTWAIT, nullptr);
    if (received < 0) {
      if (errno == EINTR) continue;
      if (errno == ENOBUFS) {
        ++lost_;
        stale_ = true;
        continue;
      }
      break;
    }
    events_ += static_cast<uint64_t>(received);
    auto guard = index_.lock();
    for (int i = 0; i < received; ++i) {
      int left = static_cast<int>(headers[i].msg_len);
      for (const auto* message = static_cast<const nlmsghdr*>(parts[i].iov_base); mnl_nlmsg_ok(message, left); message = mnl_nlmsg_next(message, &left)) {
        handle(message);
      }
    }
    if (received < static_cast<int>(kBatch)) break;
  }
  if (!ends_.empty() && endsListener_) {
    endsListener_(std::move(ends_));
    ends_ = {};
  }
}

void FlowEvents::handle(const nlmsghdr* message) {
  Flow flow;
  if (message->nlmsg_type >> 8 != NFNL_SUBSYS_CTNETLINK || !parseFlow(message, flow)) return;
  if ((message->nlmsg_type & 0xff) != IPCTNL_MSG_CT_DELETE) {
    index_.onEvent(flow);
    return;
  }
  uint32_t ruleOut = 0, ruleIn = 0;
  if (!index_.onDestroy(flow, ruleOut, ruleIn)) return;
  if (endsListener_ && (endIds_.contains(ruleOut) || endIds_.contains(ruleIn))) ends_.push_back({flow, ruleOut, ruleIn});
}

Failure FlowEvents::resync() {
  {
    auto guard = index_.lock();
    if (!index_.beginAudit()) return {EAGAIN, "resync"};
  }
  stale_ = false;  // events lost from here on ask for another one
  FlowDump dump;
  Failure failed = dump.begin();
  std::vector<Flow> flows;
  Clock::time_point nextDrain = Clock::now() + std::chrono::milliseconds(options_.drainIntervalMs);
  for (bool more = !failed; more && !stopping_;) {
    flows.clear();
    more = dump.portion([&](const nlmsghdr* message) {
      Flow flow;
      if (parseFlow(message, flow)) flows.push_back(flow);
    });
    {
      auto guard = index_.lock();
      for (const Flow& flow : flows) index_.onDumped(flow);
    }
    if (Clock::now() >= nextDrain) {
      drain();
      nextDrain = Clock::now() + std::chrono::milliseconds(options_.drainIntervalMs);
    }
  }
  if (!failed) failed = dump.error();
  if (stopping_ && !failed) failed = {ECANCELED, "resync"};
  auto guard = index_.lock();
  index_.endAudit(!failed);
  if (failed) stale_ = true;
  return failed;
}

}  // namespace dfw
