// Watches one descriptor for reading on the env's own loop, without keeping the process alive by itself.
#pragma once
#include <napi.h>
#include <uv.h>

#include <functional>
#include <initializer_list>
#include <memory>

#include "failure.h"

namespace dfw {

class EventPoll {
 public:
  // Null and `failure` set when it cannot be watched. `onReadable` runs on the JavaScript thread inside a handle scope; it may call
  // stop(). With `restMs` the descriptor is not watched for that long after each call: a flood is taken in few large pieces, and
  // the sender (for netlink the kernel code that makes the change) does not pay for a wake-up each time.
  static std::shared_ptr<EventPoll> start(Napi::Env env, int fd, std::function<void(Napi::Env)> onReadable, Failure* failure,
                                          uint64_t restMs = 0);
  // Idempotent. After it returns `onReadable` is not called any more and the descriptor may be closed. The end of the env stops it too.
  void stop();

  EventPoll(const EventPoll&) = delete;
  EventPoll& operator=(const EventPoll&) = delete;

 private:
  EventPoll(Napi::Env env, uint64_t restMs) : env_(env), restMs_(restMs) {}
  bool watch();
  static void onPoll(uv_poll_t* handle, int status, int events);
  static void onRested(uv_timer_t* timer);
  static void onClosed(uv_handle_t* handle);
  static void onCleanup(napi_async_cleanup_hook_handle hook, void* data);

  napi_env env_;
  uint64_t restMs_;
  uv_poll_t handle_{};
  uv_timer_t timer_{};
  int openHandles_ = 0;
  napi_async_cleanup_hook_handle hook_ = nullptr;
  bool stopping_ = false;
  std::function<void(Napi::Env)> onReadable_;
  std::shared_ptr<EventPoll> self_;  // from start until libuv has let the handles go
};

// Calls a listener from a loop callback. What it throws becomes the process's 'uncaughtException', as for any event listener.
void callListener(Napi::Env env, const Napi::FunctionReference& listener, const Napi::AsyncContext& context,
                  std::initializer_list<napi_value> arguments);

}  // namespace dfw
