#include "event_poll.h"

#include <errno.h>

namespace dfw {

std::shared_ptr<EventPoll> EventPoll::start(Napi::Env env, int fd, std::function<void(Napi::Env)> onReadable, Failure* failure,
                                            uint64_t restMs) {
  uv_loop_t* loop = nullptr;
  if (napi_get_uv_event_loop(env, &loop) != napi_ok) {
    *failure = {EINVAL, "napi_get_uv_event_loop"};
    return nullptr;
  }
  std::shared_ptr<EventPoll> poll(new EventPoll(env, restMs));
  int status = uv_poll_init(loop, &poll->handle_, fd);
  if (status < 0) {
    *failure = {-status, "uv_poll_init"};
    return nullptr;
  }
  // From here on the handles belong to the loop: they are let go by stop() only.
  uv_timer_init(loop, &poll->timer_);  // cannot fail
  poll->openHandles_ = 2;
  poll->self_ = poll;
  poll->handle_.data = poll.get();
  poll->timer_.data = poll.get();
  poll->onReadable_ = std::move(onReadable);
  if (napi_add_async_cleanup_hook(env, onCleanup, poll.get(), &poll->hook_) != napi_ok) {
    poll->stop();
    *failure = {EINVAL, "napi_add_async_cleanup_hook"};
    return nullptr;
  }
  if (!poll->watch()) {
    poll->stop();
    *failure = {EBADF, "uv_poll_start"};
    return nullptr;
  }
  uv_unref(reinterpret_cast<uv_handle_t*>(&poll->handle_));
  uv_unref(reinterpret_cast<uv_handle_t*>(&poll->timer_));
  return poll;
}

bool EventPoll::watch() { return uv_poll_start(&handle_, UV_READABLE, onPoll) == 0; }

void EventPoll::stop() {
  if (stopping_) return;
  stopping_ = true;
  uv_close(reinterpret_cast<uv_handle_t*>(&handle_), onClosed);
  uv_close(reinterpret_cast<uv_handle_t*>(&timer_), onClosed);
}

void EventPoll::onPoll(uv_poll_t* handle, int status, int) {
  auto* poll = static_cast<EventPoll*>(handle->data);
  std::shared_ptr<EventPoll> keep = poll->self_;
  if (poll->stopping_) return;
  Napi::Env env(poll->env_);
  Napi::HandleScope scope(env);
  if (!canRunJavaScript(env)) {
    poll->stop();
    return;
  }
  poll->onReadable_(env);
  if (poll->stopping_) return;
  if (poll->restMs_ > 0) {
    uv_poll_stop(handle);
    uv_timer_start(&poll->timer_, onRested, poll->restMs_, 0);
  } else if (status < 0 && !poll->watch()) {
    // libuv stops a poll handle when the socket has an error pending (POLLERR: ENOBUFS after an overrun). Reading has
    // taken that error off the socket, so watching can go on; if not even that works, it never will.
    poll->stop();
  }
}

void EventPoll::onRested(uv_timer_t* timer) {
  auto* poll = static_cast<EventPoll*>(timer->data);
  if (!poll->stopping_ && !poll->watch()) poll->stop();
}

void EventPoll::onClosed(uv_handle_t* handle) {
  auto* poll = static_cast<EventPoll*>(handle->data);
  if (--poll->openHandles_ > 0) return;
  std::shared_ptr<EventPoll> last = std::move(poll->self_);
  if (poll->hook_ != nullptr) napi_remove_async_cleanup_hook(poll->hook_);
  poll->hook_ = nullptr;
}

void EventPoll::onCleanup(napi_async_cleanup_hook_handle, void* data) {
  // onClosed() removes the hook, which tells the env that this clean-up is done.
  static_cast<EventPoll*>(data)->stop();
}

void callListener(Napi::Env env, const Napi::FunctionReference& listener, const Napi::AsyncContext& context,
                  std::initializer_list<napi_value> arguments) {
  if (listener.IsEmpty()) return;
  // A local handle: the listener may stop its own source, which drops the reference.
  Napi::Function function = listener.Value();
  function.MakeCallback(env.Global(), arguments, context);
  if (!env.IsExceptionPending()) return;
  napi_value error = nullptr;
  if (napi_get_and_clear_last_exception(env, &error) == napi_ok) napi_fatal_exception(env, error);
}

}  // namespace dfw
