// streamFlows of src/native/binding.ts: flows that the caller has, formatted as those of the kernel are.
#include "flow_packed.h"

#include <napi.h>

#include <memory>
#include <utility>

#include "flow_arguments.h"
#include "flow_napi.h"
#include "flow_session.h"
#include "registry.h"

namespace dfw {
namespace {

/** Keeps the arrays from being collected; made and ended on the JS thread, as the session that holds it is. */
struct HeldFlows {
  FlowIndex index{IdSet()};
  Napi::ObjectReference arrays;
};

/** False when the arrays are shorter than the count says. */
bool flowsOf(const Napi::Value& value, PackedFlows& flows) {
  if (!value.IsObject()) return false;
  const auto object = value.As<Napi::Object>();
  const Napi::Value words = object.Get("words"), numbers = object.Get("numbers"), count = object.Get("count");
  if (!count.IsNumber() || !words.IsTypedArray() || words.As<Napi::TypedArray>().TypedArrayType() != napi_uint32_array) return false;
  const double wanted = count.As<Napi::Number>().DoubleValue();
  const auto array = words.As<Napi::Uint32Array>();
  if (!(wanted >= 0 && wanted * PackedFlows::kWords <= static_cast<double>(array.ElementLength()))) return false;
  flows.words = array.Data();
  flows.count = static_cast<size_t>(wanted);
  if (numbers.IsUndefined()) return true;
  if (!numbers.IsTypedArray() || numbers.As<Napi::TypedArray>().TypedArrayType() != napi_float64_array) return false;
  const auto counted = numbers.As<Napi::Float64Array>();
  flows.numbers = counted.Data();
  return flows.count * PackedFlows::kNumbers <= counted.ElementLength();
}

Napi::Value streamFlows(const Napi::CallbackInfo& info) {
  PackedFlows flows;
  Selection selection;
  FormatOptions format;
  if (!flowsOf(info[0], flows) || !selectionOf(info[1], selection) || !formatOf(info[2], selection, format) || !info[3].IsFunction()) {
    return rejected(info.Env(), {EINVAL, "streamFlows"});
  }
  auto held = std::make_shared<HeldFlows>();
  // The arrays and not what holds them: that may be given others meanwhile.
  Napi::Array arrays = Napi::Array::New(info.Env(), 2);
  arrays.Set(0u, info[0].As<Napi::Object>().Get("words"));
  arrays.Set(1u, info[0].As<Napi::Object>().Get("numbers"));
  held->arrays = Napi::Persistent(arrays.As<Napi::Object>());
  FlowStream stream(held->index, std::move(selection), std::move(format), flows);
  return FlowSession::start(info.Env(), held, std::move(stream), info[3].As<Napi::Function>())->promise();
}

const Registration registration([](Napi::Env env, Napi::Object exports) { exports.Set("streamFlows", Napi::Function::New(env, streamFlows, "streamFlows")); });

}  // namespace
}  // namespace dfw
