// One running stream() call: a producing thread, a bounded window of chunks on their way, and the promise.
#pragma once
#include <napi.h>

#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "flow_stream.h"

namespace dfw {

class FlowSession : public std::enable_shared_from_this<FlowSession> {
 public:
  /** Starts the thread. The session holds itself until the promise is settled. `engine` keeps the index alive. */
  static std::shared_ptr<FlowSession> start(Napi::Env env, std::shared_ptr<void> engine, FlowStream stream, Napi::Function onChunk);
  Napi::Promise promise() const { return deferred_.Promise(); }
  /** Any thread. The stream ends early and the promise rejects with ECANCELED. */
  void cancel();
  bool finished() const { return finished_; }

 private:
  FlowSession(Napi::Env env, std::shared_ptr<void> engine, FlowStream stream, Napi::Function onChunk);
  void run();
  bool deliver(std::vector<char>&& chunk);
  void onChunk(Napi::Env env, std::vector<char>* chunk);
  /** Hands over what waits, one chunk after the other: the next when the listener has settled the one before. */
  void pump(Napi::Env env);
  void acknowledge();
  /** The environment ends (or has no memory): the rest is dropped, so that the thread can end. */
  void abandon();
  void fail(Napi::Value reason);
  void settle(Napi::Env env);

  static constexpr int kWindow = 4;
  std::shared_ptr<void> engine_;
  FlowStream stream_;
  Napi::FunctionReference onChunk_;
  Napi::Promise::Deferred deferred_;
  Napi::ThreadSafeFunction toJs_;
  Napi::Reference<Napi::Value> reason_;
  std::thread thread_;

  std::mutex mutex_;
  std::condition_variable changed_;
  int inFlight_ = 0;
  bool cancelled_ = false;
  bool closed_ = false;    // the environment is going away: toJs_ must not be touched
  // JS thread only
  std::deque<std::vector<char>> waiting_;
  bool busy_ = false;
  bool finished_ = false;
  bool failedInJs_ = false;

  Failure result_;
  uint64_t count_ = 0;
};

}  // namespace dfw
