// Ended connections on their way from the event thread to the JS listener.
#pragma once
#include <napi.h>

#include <atomic>
#include <memory>
#include <mutex>
#include <vector>

#include "flow_events.h"

namespace dfw {

class FlowEnds : public std::enable_shared_from_this<FlowEnds> {
 public:
  static std::shared_ptr<FlowEnds> create(Napi::Env env, Napi::Function listener, std::shared_ptr<std::atomic<uint64_t>> dropped);
  /** Event thread. Beyond 64k connections that JS has not taken yet, the newest are dropped and counted. */
  void push(std::vector<EndedConnection>&& ended);
  /** JS thread: nothing is delivered any more. */
  void close();

 private:
  void deliver(Napi::Env env);
  std::mutex mutex_;
  bool open_ = true;
  bool scheduled_ = false;
  std::vector<EndedConnection> waiting_;
  std::shared_ptr<std::atomic<uint64_t>> dropped_;
  Napi::FunctionReference listener_;
  std::unique_ptr<Napi::AsyncContext> context_;
  Napi::ThreadSafeFunction toJs_;
};

}  // namespace dfw
