// FlowTable of src/native/binding.ts: arguments in, objects out; the work is in the flow_*.cc files beside it.
#include <napi.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <utility>
#include <vector>

#include "flow_arguments.h"
#include "flow_ends.h"
#include "flow_events.h"
#include "flow_index.h"
#include "flow_napi.h"
#include "flow_session.h"
#include "flow_sweep.h"
#include "registry.h"

namespace dfw {
namespace {

constexpr size_t kQueryCap = 10'000;

/** What worker threads share with the JS object; lives until the last of them ends. */
struct FlowEngine {
  FlowEngine(IdSet notApplicable, int32_t zone, FlowEventOptions options) : index(std::move(notApplicable), zone), events(index, options) {}
  FlowIndex index;
  FlowEvents events;
};

struct NoResult {};

Napi::Object toObject(Napi::Env env, const Flow& flow) {
  const bool icmp = isIcmp(flow.key.protocol);
  Napi::Object out = Napi::Object::New(env);
  const auto number = [&](const char* name, double value) { out.Set(name, Napi::Number::New(env, value)); };
  number("id", flow.key.id);
  number("family", flow.key.family == AF_INET ? 4 : 6);
  number("protocol", flow.key.protocol);
  out.Set("source", Napi::String::New(env, textOf(flow.key.family, flow.key.source)));
  number("sourcePort", icmp ? 0 : flow.key.sourcePort);
  out.Set("destination", Napi::String::New(env, textOf(flow.key.family, flow.replySource)));
  number("destinationPort", servicePort(flow));
  out.Set("originalDestination", Napi::String::New(env, textOf(flow.key.family, flow.key.destination)));
  number("originalDestinationPort", flow.key.destinationPort);
  number("ruleIdOut", flow.ruleOut);
  number("ruleIdIn", flow.ruleIn);
  number("tcpState", flow.tcpState);
  number("status", flow.status);
  number("timeoutSeconds", flow.timeout);
  number("startMs", static_cast<double>(flow.startNs / 1000000));
  out.Set("packets", bothWays(env, flow.originalPackets, flow.replyPackets));
  out.Set("bytes", bothWays(env, flow.originalBytes, flow.replyBytes));
  return out;
}

class FlowTable : public Napi::ObjectWrap<FlowTable> {
 public:
  static Napi::Function define(Napi::Env env) {
    return DefineClass(env, "FlowTable",
                       {InstanceMethod("start", &FlowTable::start), InstanceMethod("stop", &FlowTable::stop), InstanceMethod("stats", &FlowTable::stats),
                        InstanceMethod("countByAddress", &FlowTable::countByAddress), InstanceMethod("query", &FlowTable::query),
                        InstanceMethod("stream", &FlowTable::stream), InstanceMethod("ruleTotals", &FlowTable::totals),
                        InstanceMethod("sweepLabels", &FlowTable::sweep), InstanceMethod("watchEnds", &FlowTable::watchEnds)});
  }

  explicit FlowTable(const Napi::CallbackInfo& info) : Napi::ObjectWrap<FlowTable>(info) {
    FlowEventOptions eventOptions;
    IdSet notApplicable;
    int32_t zone = FlowIndex::kAnyZone;
    if (info.Length() > 0 && info[0].IsObject()) {
      const auto options = info[0].As<Napi::Object>();
      const Napi::Value buffer = options.Get("receiveBuffer"), interval = options.Get("drainIntervalMs");
      if (buffer.IsNumber()) eventOptions.receiveBuffer = std::max(4096, buffer.As<Napi::Number>().Int32Value());
      if (interval.IsNumber()) eventOptions.drainIntervalMs = std::max(1, interval.As<Napi::Number>().Int32Value());
      notApplicable = IdSet(idsOf(options.Get("notApplicableIds")));
      const Napi::Value only = options.Get("zone");
      if (only.IsNumber()) zone = only.As<Napi::Number>().Int32Value();
    }
    engine_ = std::make_shared<FlowEngine>(std::move(notApplicable), zone, eventOptions);
    endsDropped_ = std::make_shared<std::atomic<uint64_t>>(0);
    // Threads must be gone before the environment is: also when JS never called stop().
    hookState_ = new std::weak_ptr<FlowEngine>(engine_);
    napi_add_env_cleanup_hook(info.Env(), &FlowTable::onExit, hookState_);
  }

  ~FlowTable() override {
    napi_remove_env_cleanup_hook(Env(), &FlowTable::onExit, hookState_);
    delete hookState_;
    shutDown();
  }

 private:
  static void onExit(void* state) {
    if (const auto engine = static_cast<std::weak_ptr<FlowEngine>*>(state)->lock()) engine->events.stop();
  }

  void shutDown() {
    if (ends_) ends_->close();
    engine_->events.watchEnds({}, nullptr);
    ends_.reset();
    for (const auto& session : sessions_) session->cancel();
    sessions_.clear();
    engine_->events.stop();
  }

  Napi::Value start(const Napi::CallbackInfo& info) {
    if (engine_->events.running()) return rejected(info.Env(), {EALREADY, "start"});
    const Failure failed = engine_->events.start();
    if (failed) return rejected(info.Env(), failed);
    Ref();  // a started table is not garbage
    started_ = true;
    return FlowJob<NoResult>::start(
        info.Env(), [engine = engine_](NoResult&) { return engine->events.waitReady(); }, [](Napi::Env env, NoResult&) { return env.Undefined(); });
  }

  void stop(const Napi::CallbackInfo&) {
    shutDown();
    auto guard = engine_->index.lock();
    engine_->index.clear();
    if (started_) Unref();
    started_ = false;
  }

  Napi::Value stats(const Napi::CallbackInfo& info) {
    Napi::Object out = Napi::Object::New(info.Env());
    const auto number = [&](const char* name, uint64_t value) { out.Set(name, Napi::Number::New(info.Env(), static_cast<double>(value))); };
    uint64_t flows, bytes;
    {
      auto guard = engine_->index.lock();
      flows = engine_->index.live();
      bytes = engine_->index.bytes();
    }
    number("flows", flows);
    number("events", engine_->events.events());
    number("lost", engine_->events.lost());
    number("resyncs", engine_->events.resyncs());
    number("indexBytes", bytes);
    number("endsDropped", *endsDropped_);
    return out;
  }

  Napi::Value countByAddress(const Napi::CallbackInfo& info) {
    AddressSet addresses;
    if (!addressesOf(info[0], addresses)) {
      nativeError(info.Env(), {EINVAL, "countByAddress"}).ThrowAsJavaScriptException();
      return info.Env().Undefined();
    }
    auto guard = engine_->index.lock();
    return Napi::Number::New(info.Env(), static_cast<double>(engine_->index.countByAddress(addresses)));
  }

  Napi::Value query(const Napi::CallbackInfo& info) {
    Selection selection;
    if (!selectionOf(info[0], selection)) return rejected(info.Env(), {EINVAL, "query"});
    using Flows = std::vector<Flow>;
    return FlowJob<Flows>::start(
        info.Env(), [engine = engine_, selection = std::move(selection)](Flows& flows) { return queryFlows(engine->index, selection, kQueryCap, flows); },
        [](Napi::Env env, Flows& flows) -> Napi::Value {
          Napi::Array out = Napi::Array::New(env, flows.size());
          for (size_t i = 0; i < flows.size(); ++i) {
            Napi::HandleScope scope(env);
            out.Set(static_cast<uint32_t>(i), toObject(env, flows[i]));
          }
          return out;
        });
  }

  Napi::Value stream(const Napi::CallbackInfo& info) {
    Selection selection;
    FormatOptions format;
    if (!selectionOf(info[0], selection) || !formatOf(info[1], selection, format) || !info[2].IsFunction()) return rejected(info.Env(), {EINVAL, "stream"});
    sessions_.erase(std::remove_if(sessions_.begin(), sessions_.end(), [](const auto& session) { return session->finished(); }), sessions_.end());
    auto session = FlowSession::start(info.Env(), engine_, FlowStream(engine_->index, std::move(selection), std::move(format)), info[2].As<Napi::Function>());
    sessions_.push_back(session);
    return session->promise();
  }

  Napi::Value totals(const Napi::CallbackInfo& info) {
    return FlowJob<RuleTotals>::start(
        info.Env(), [engine = engine_](RuleTotals& sums) { return ruleTotals(engine->index, sums); },
        [](Napi::Env env, RuleTotals& sums) -> Napi::Value {
          const size_t count = sums.size();
          std::vector<std::pair<uint32_t, RuleTotal>> sorted(sums.begin(), sums.end());
          std::sort(sorted.begin(), sorted.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
          auto ids = Napi::Uint32Array::New(env, count);
          auto connections = Napi::BigUint64Array::New(env, count), packets = Napi::BigUint64Array::New(env, count), bytes = Napi::BigUint64Array::New(env, count);
          // The environment ends (js_bytes.h).
          if (ids.IsEmpty() || connections.IsEmpty() || packets.IsEmpty() || bytes.IsEmpty()) return env.Undefined();
          size_t i = 0;
          for (const auto& [id, total] : sorted) {
            ids[i] = id;
            connections[i] = total.connections;
            packets[i] = total.packets;
            bytes[i++] = total.bytes;
          }
          Napi::Object out = Napi::Object::New(env);
          out.Set("ids", ids);
          out.Set("connections", connections);
          out.Set("packets", packets);
          out.Set("bytes", bytes);
          return out;
        });
  }

  Napi::Value sweep(const Napi::CallbackInfo& info) {
    if (!info[0].IsObject()) return rejected(info.Env(), {EINVAL, "sweepLabels"});
    const auto request = info[0].As<Napi::Object>();
    return FlowJob<SweepResult>::start(
        info.Env(),
        [engine = engine_, ids = IdSet(idsOf(request.Get("ids"))), known = IdSet(idsOf(request.Get("known")))](SweepResult& result) {
          const Failure failed = sweepLabels(engine->index, ids, known, result);
          engine->events.auditSoon();
          return failed;
        },
        [](Napi::Env env, SweepResult& result) -> Napi::Value {
          Napi::Object out = Napi::Object::New(env);
          out.Set("scanned", Napi::Number::New(env, static_cast<double>(result.scanned)));
          out.Set("cleared", Napi::Number::New(env, static_cast<double>(result.cleared)));
          return out;
        });
  }

  void watchEnds(const Napi::CallbackInfo& info) {
    if (!info[1].IsFunction()) {
      nativeError(info.Env(), {EINVAL, "watchEnds"}).ThrowAsJavaScriptException();
      return;
    }
    const auto ends = FlowEnds::create(info.Env(), info[1].As<Napi::Function>(), endsDropped_);
    engine_->events.watchEnds(IdSet(idsOf(info[0])), [ends](std::vector<EndedConnection>&& ended) { ends->push(std::move(ended)); });
    if (ends_) ends_->close();
    ends_ = ends;
  }

  std::shared_ptr<FlowEngine> engine_;
  std::weak_ptr<FlowEngine>* hookState_ = nullptr;
  std::vector<std::shared_ptr<FlowSession>> sessions_;
  std::shared_ptr<FlowEnds> ends_;
  std::shared_ptr<std::atomic<uint64_t>> endsDropped_;
  bool started_ = false;
};

const Registration registration([](Napi::Env env, Napi::Object exports) { exports.Set("FlowTable", FlowTable::define(env)); });

}  // namespace
}  // namespace dfw
