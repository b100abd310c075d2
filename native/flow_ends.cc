#include "flow_ends.h"

#include <algorithm>

#include "event_poll.h"
#include "flow_napi.h"

namespace dfw {
namespace {

constexpr size_t kMaxWaiting = 65536;

Napi::Object toObject(Napi::Env env, const EndedConnection& ended) {
  const Flow& flow = ended.flow;
  const bool icmp = isIcmp(flow.key.protocol);
  Napi::Object out = Napi::Object::New(env);
  out.Set("ruleIdOut", Napi::Number::New(env, ended.ruleOut));
  out.Set("ruleIdIn", Napi::Number::New(env, ended.ruleIn));
  out.Set("protocol", Napi::Number::New(env, flow.key.protocol));
  out.Set("source", Napi::String::New(env, textOf(flow.key.family, flow.key.source)));
  out.Set("destination", Napi::String::New(env, textOf(flow.key.family, flow.replySource)));
  out.Set("sourcePort", Napi::Number::New(env, icmp ? 0 : flow.key.sourcePort));
  out.Set("destinationPort", Napi::Number::New(env, servicePort(flow)));
  out.Set("tcpState", Napi::Number::New(env, flow.tcpState));
  out.Set("packets", bothWays(env, flow.originalPackets, flow.replyPackets));
  out.Set("bytes", bothWays(env, flow.originalBytes, flow.replyBytes));
  return out;
}

}  // namespace

std::shared_ptr<FlowEnds> FlowEnds::create(Napi::Env env, Napi::Function listener, std::shared_ptr<std::atomic<uint64_t>> dropped) {
  auto ends = std::make_shared<FlowEnds>();
  ends->dropped_ = std::move(dropped);
  ends->listener_ = Napi::Persistent(listener);
  ends->context_ = std::make_unique<Napi::AsyncContext>(env, "dfw.FlowTable");
  auto* held = new std::shared_ptr<FlowEnds>(ends);
  ends->toJs_ = Napi::ThreadSafeFunction::New(env, Napi::Function(), "dfw.flow.ends", 0, 1, [held](Napi::Env) {
    {
      // The environment may end without close(): the event thread must not call a function that is gone.
      std::lock_guard<std::mutex> guard((*held)->mutex_);
      (*held)->open_ = false;
    }
    (*held)->listener_.Reset();
    (*held)->context_.reset();
    delete held;
  });
  ends->toJs_.Unref(env);  // listening keeps no process alive
  return ends;
}

void FlowEnds::push(std::vector<EndedConnection>&& ended) {
  std::lock_guard<std::mutex> guard(mutex_);
  if (!open_) return;
  const size_t room = kMaxWaiting - std::min(kMaxWaiting, waiting_.size());
  const size_t taken = std::min(room, ended.size());
  waiting_.insert(waiting_.end(), ended.begin(), ended.begin() + static_cast<std::ptrdiff_t>(taken));
  *dropped_ += ended.size() - taken;
  if (scheduled_ || waiting_.empty()) return;
  const napi_status status = toJs_.NonBlockingCall([self = shared_from_this()](Napi::Env env, Napi::Function) { self->deliver(env); });
  if (status == napi_ok) scheduled_ = true;
  else open_ = false;
}

void FlowEnds::deliver(Napi::Env env) {
  std::vector<EndedConnection> ended;
  {
    std::lock_guard<std::mutex> guard(mutex_);
    scheduled_ = false;
    if (!open_) return;
    ended.swap(waiting_);
  }
  if (!canRunJavaScript(env) || listener_.IsEmpty()) return;
  Napi::HandleScope scope(env);
  Napi::Array list = Napi::Array::New(env, ended.size());
  for (size_t i = 0; i < ended.size(); ++i) list.Set(static_cast<uint32_t>(i), toObject(env, ended[i]));
  callListener(env, listener_, *context_, {list});
}

void FlowEnds::close() {
  {
    std::lock_guard<std::mutex> guard(mutex_);
    if (!open_) return;
    open_ = false;
  }
  toJs_.Abort();
}

}  // namespace dfw
