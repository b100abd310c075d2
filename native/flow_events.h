// The thread that follows conntrack events and keeps the index true: events drained on a timer, a dump after a loss, audits in between.
#pragma once
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "flow_index.h"
#include "failure.h"
#include "netlink.h"

namespace dfw {

struct FlowEventOptions {
  int receiveBuffer = 32 << 20;
  int drainIntervalMs = 20;
};

/** A connection that ended, with the label words it had. */
struct EndedConnection {
  Flow flow;
  uint32_t ruleOut, ruleIn;
};

class FlowEvents {
 public:
  using EndsListener = std::function<void(std::vector<EndedConnection>&&)>;

  FlowEvents(FlowIndex& index, FlowEventOptions options) : index_(index), options_(options) {}
  ~FlowEvents() { stop(); }

  /** Joins the event groups and starts the thread, which dumps first. */
  Failure start();
  /** Joins the thread; waiters get ECANCELED. Idempotent. */
  void stop();
  bool running() const { return thread_.joinable(); }
  /** Blocks until the index is complete; the error of the dump, or ECANCELED after stop(). */
  Failure waitReady();
  /** Connections are about to change their ids (a sweep): audit soon, and again a few times. */
  void auditSoon();
  /** The listener is called on the event thread, once per drain. */
  void watchEnds(IdSet ids, EndsListener listener);

  uint64_t events() const { return events_; }
  uint64_t lost() const { return lost_; }
  uint64_t resyncs() const { return resyncs_; }

 private:
  void run();
  void drain();
  void handle(const nlmsghdr* message);
  Failure resync();
  bool auditDue();
  void settle(const Failure& failed, bool lossy, std::chrono::steady_clock::duration took);

  FlowIndex& index_;
  const FlowEventOptions options_;
  NetlinkSocket socket_;
  std::thread thread_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::atomic<bool> stopping_{false};
  bool ready_ = false;
  Failure readyError_;
  std::mutex endsMutex_;
  IdSet endIds_;
  EndsListener endsListener_;
  std::vector<EndedConnection> ends_;
  std::vector<char> buffers_;
  bool stale_ = true;  // the index may lack events
  std::chrono::steady_clock::time_point nextResync_{};
  std::chrono::steady_clock::duration lastDump_{};
  std::chrono::steady_clock::duration auditInterval_{};
  std::atomic<uint64_t> events_{0}, lost_{0}, resyncs_{0};
};

}  // namespace dfw
