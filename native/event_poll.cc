#include "event_poll.h"

#include <errno.h>

namespace dfw {

std::shared_ptr<EventPoll> EventPoll::start(Napi::Env env, int fd, std::function<void(Napi::Env)> onReadable, Failure* failure) {
  uv_loop_t* loop = nullptr;
  if (napi_get_uv_event_loop(env, &loop) != napi_ok) {
    *failure = {EINVAL, "napi_get_uv_event_loop"};
    return nullptr;
  }
  std::shared_ptr<EventPoll> poll(new EventPoll(env));
  int status = uv_poll_init(loop, &poll->handle_, fd);
  if (status < 0) {
    *failure = {-status, "uv_poll_init"};
    return nullptr;
  }
  // From here on the handle belongs to the loop: it is let go by stop() only.
  poll->self_ = poll;
  poll->handle_.data = poll.get();
  poll->onReadable_ = std::move(onReadable);
  if (napi_add_async_cleanup_hook(env, onCleanup, poll.get(), &poll->hook_) != napi_ok) {
    poll->stop();
    *failure = {EINVAL, "napi_add_async_cleanup_hook"};
    return nullptr;
  }
  status = uv_poll_start(&poll->handle_, UV_READABLE, onPoll);
  if (status < 0) {
    poll->stop();
    *failure = {-status, "uv_poll_start"};
    return nullptr;
  }
  uv_unref(reinterpret_cast<uv_handle_t*>(&poll->handle_));
  return poll;
}

void EventPoll::stop() {
  if (stopping_) return;
  stopping_ = true;
  uv_close(reinterpret_cast<uv_handle_t*>(&handle_), onClosed);
}

void EventPoll::onPoll(uv_poll_t* handle, int status, int) {
  auto* poll = static_cast<EventPoll*>(handle->data);
  std::shared_ptr<EventPoll> keep = poll->self_;
  if (poll->stopping_) return;
  Napi::Env env(poll->env_);
  Napi::HandleScope scope(env);
  poll->onReadable_(env);
  // libuv stops a poll handle when the socket has an error pending (POLLERR: ENOBUFS after an overrun). Reading has
  // taken that error off the socket, so watching can go on.
  if (status < 0 && !poll->stopping_ && uv_poll_start(handle, UV_READABLE, onPoll) < 0) poll->stop();
}

void EventPoll::onClosed(uv_handle_t* handle) {
  auto* poll = static_cast<EventPoll*>(handle->data);
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
