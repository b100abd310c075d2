#include "serial_queue.h"

#include <errno.h>

namespace dfw {

struct SerialQueue::Entry {
  Entry(Napi::Env env, std::unique_ptr<Job> job_) : job(std::move(job_)), deferred(Napi::Promise::Deferred::New(env)) {}
  std::unique_ptr<Job> job;
  Napi::Promise::Deferred deferred;
  napi_async_work work = nullptr;
  std::shared_ptr<SerialQueue> queue;  // set while running
  Failure failure;
};

SerialQueue::SerialQueue() = default;
SerialQueue::~SerialQueue() = default;

Napi::Promise SerialQueue::push(Napi::Env env, std::unique_ptr<Job> job) {
  if (closed_) return rejected(env, {ECANCELED, "close"});
  auto entry = std::make_unique<Entry>(env, std::move(job));
  Napi::Promise promise = entry->deferred.Promise();
  waiting_.push_back(std::move(entry));
  if (!running_) startNext(env);
  return promise;
}

void SerialQueue::close(Napi::Env env) {
  closed_ = true;
  std::deque<std::unique_ptr<Entry>> cancelled;
  cancelled.swap(waiting_);
  for (auto& entry : cancelled) entry->deferred.Reject(nativeError(env, {ECANCELED, "close"}).Value());
}

void SerialQueue::startNext(Napi::Env env) {
  while (!running_ && !waiting_.empty()) {
    std::unique_ptr<Entry> entry = std::move(waiting_.front());
    waiting_.pop_front();
    entry->queue = shared_from_this();
    const Napi::String name = Napi::String::New(env, "dfw");
    napi_status status = napi_create_async_work(env, nullptr, name, execute, complete, entry.get(), &entry->work);
    if (status == napi_ok) {
      status = napi_queue_async_work(env, entry->work);
      if (status != napi_ok) napi_delete_async_work(env, entry->work);
    }
    if (status != napi_ok) {
      entry->deferred.Reject(nativeError(env, {EAGAIN, "napi_queue_async_work"}).Value());
      continue;
    }
    running_ = true;
    entry.release();  // complete() owns it from here
  }
}

void SerialQueue::execute(napi_env, void* data) {
  auto* entry = static_cast<Entry*>(data);
  entry->failure = entry->job->run();
}

void SerialQueue::complete(napi_env rawEnv, napi_status status, void* data) {
  Napi::Env env(rawEnv);
  Napi::HandleScope scope(env);
  std::unique_ptr<Entry> entry(static_cast<Entry*>(data));
  napi_delete_async_work(rawEnv, entry->work);
  std::shared_ptr<SerialQueue> queue = entry->queue;
  queue->running_ = false;
  if (status != napi_ok) entry->failure = {ECANCELED, "napi_queue_async_work"};
  if (!canRunJavaScript(env)) {
    queue->waiting_.clear();  // nobody is left to take results
    return;
  }
  queue->startNext(env);
  if (entry->failure) {
    entry->deferred.Reject(nativeError(env, entry->failure).Value());
    return;
  }
  const Napi::Value result = entry->job->result(env);
  if (env.IsExceptionPending()) {
    entry->deferred.Reject(env.GetAndClearPendingException().Value());
  } else {
    entry->deferred.Resolve(result);
  }
}

}  // namespace dfw
