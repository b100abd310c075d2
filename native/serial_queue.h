// Jobs of one object, run one after the other on libuv's worker threads; each settles a promise.
#pragma once
#include <napi.h>

#include <deque>
#include <memory>

#include "failure.h"

namespace dfw {

class Job {
 public:
  virtual ~Job() = default;
  // On a worker thread: no Node-API calls.
  virtual Failure run() = 0;
  // On the JavaScript thread, after a run() without failure. What it throws rejects the promise.
  virtual Napi::Value result(Napi::Env env) = 0;
};

// Used from the JavaScript thread only. A running job keeps the queue alive.
class SerialQueue : public std::enable_shared_from_this<SerialQueue> {
 public:
  SerialQueue();
  ~SerialQueue();
  Napi::Promise push(Napi::Env env, std::unique_ptr<Job> job);
  // Jobs that have not begun are rejected with ECANCELED, and so are later ones; the running job ends with its true result.
  void close(Napi::Env env);
  bool closed() const { return closed_; }

 private:
  struct Entry;
  void startNext(Napi::Env env);
  static void execute(napi_env env, void* data);
  static void complete(napi_env env, napi_status status, void* data);

  std::deque<std::unique_ptr<Entry>> waiting_;
  bool running_ = false;
  bool closed_ = false;
};

}  // namespace dfw
