#include "flow_session.h"

#include "flow_napi.h"
#include "js_bytes.h"

namespace dfw {

FlowSession::FlowSession(Napi::Env env, std::shared_ptr<void> engine, FlowStream stream, Napi::Function onChunk)
    : engine_(std::move(engine)), stream_(std::move(stream)), onChunk_(Napi::Persistent(onChunk)), deferred_(Napi::Promise::Deferred::New(env)) {}

std::shared_ptr<FlowSession> FlowSession::start(Napi::Env env, std::shared_ptr<void> engine, FlowStream stream, Napi::Function onChunk) {
  std::shared_ptr<FlowSession> session(new FlowSession(env, std::move(engine), std::move(stream), onChunk));
  // The finalizer owns a reference: it runs on the JS thread after the last call, or when the environment ends.
  auto* held = new std::shared_ptr<FlowSession>(session);
  session->toJs_ = Napi::ThreadSafeFunction::New(env, Napi::Function(), "dfw.flow.stream", 0, 1, [held](Napi::Env) {
    const std::shared_ptr<FlowSession> self = *held;
    delete held;
    self->cancel();  // no effect after a normal end
    if (self->thread_.joinable()) self->thread_.join();
  });
  session->thread_ = std::thread([self = session.get()] { self->run(); });
  return session;
}

void FlowSession::cancel() {
  {
    std::lock_guard<std::mutex> guard(mutex_);
    cancelled_ = true;
  }
  changed_.notify_all();
}

void FlowSession::run() {
  result_ = stream_.run([this](std::vector<char>&& chunk) { return deliver(std::move(chunk)); }, count_);
  {
    std::unique_lock<std::mutex> guard(mutex_);
    changed_.wait(guard, [this] { return inFlight_ == 0 || cancelled_; });
    if (closed_) return;
  }
  const napi_status status = toJs_.NonBlockingCall([self = this](Napi::Env env, Napi::Function) { self->settle(env); });
  if (status == napi_ok) toJs_.Release();
}

bool FlowSession::deliver(std::vector<char>&& chunk) {
  {
    std::unique_lock<std::mutex> guard(mutex_);
    changed_.wait(guard, [this] { return inFlight_ < kWindow || cancelled_; });
    if (cancelled_) return false;
    ++inFlight_;
  }
  auto* moved = new std::vector<char>(std::move(chunk));
  const napi_status status = toJs_.NonBlockingCall(moved, [self = this](Napi::Env env, Napi::Function, std::vector<char>* data) { self->onChunk(env, data); });
  if (status == napi_ok) return true;
  delete moved;
  std::lock_guard<std::mutex> guard(mutex_);
  closed_ = cancelled_ = true;
  return false;
}

void FlowSession::onChunk(Napi::Env env, std::vector<char>* chunk) {
  const std::unique_ptr<std::vector<char>> owned(chunk);
  if (!canRunJavaScript(env)) {
    abandon();
    return;
  }
  waiting_.push_back(std::move(*owned));
  pump(env);
}

void FlowSession::pump(Napi::Env env) {
  while (!busy_ && !finished_ && !failedInJs_ && !waiting_.empty()) {
    Napi::HandleScope scope(env);
    // Memory of the engine's own, and a copy: garbage of external memory waits for a full collection (70 MB at 1M flows), this
    // is freed by the frequent small ones.
    const Napi::Uint8Array bytes = bytesToJs(env, waiting_.front().data(), waiting_.front().size());
    waiting_.pop_front();
    if (bytes.IsEmpty()) {
      abandon();
      return;
    }
    busy_ = true;
    const Napi::Value answer = onChunk_.Call({bytes});
    if (env.IsExceptionPending()) {
      fail(env.GetAndClearPendingException().Value());
      return;
    }
    if (!answer.IsPromise()) {
      busy_ = false;
      acknowledge();
      continue;
    }
    const auto self = shared_from_this();
    const auto done = Napi::Function::New(env, [self](const Napi::CallbackInfo& info) {
      self->busy_ = false;
      self->acknowledge();
      self->pump(info.Env());
    });
    const auto refused = Napi::Function::New(env, [self](const Napi::CallbackInfo& info) { self->fail(info[0]); });
    answer.As<Napi::Object>().Get("then").As<Napi::Function>().Call(answer, {done, refused});
  }
}

void FlowSession::abandon() {
  waiting_.clear();
  cancel();
}

void FlowSession::acknowledge() {
  {
    std::lock_guard<std::mutex> guard(mutex_);
    --inFlight_;
  }
  changed_.notify_all();
}

void FlowSession::fail(Napi::Value reason) {
  if (!failedInJs_) {
    failedInJs_ = true;
    // A reason need not be an object; it is kept inside one.
    Napi::Object box = Napi::Object::New(reason.Env());
    box.Set("reason", reason);
    reason_ = Napi::Reference<Napi::Value>::New(box, 1);
  }
  cancel();
  acknowledge();
}

void FlowSession::settle(Napi::Env env) {
  finished_ = true;
  if (!canRunJavaScript(env)) return;
  Napi::HandleScope scope(env);
  if (failedInJs_) deferred_.Reject(reason_.Value().As<Napi::Object>().Get("reason"));
  else if (result_) deferred_.Reject(nativeError(env, result_).Value());
  else if (cancelled_) deferred_.Reject(nativeError(env, {ECANCELED, "stream"}).Value());
  else deferred_.Resolve(Napi::Number::New(env, static_cast<double>(count_)));
}

}  // namespace dfw
