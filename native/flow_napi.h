// Node-API glue of the flow files: arguments, and one-shot work on the thread pool.
#pragma once
#include <arpa/inet.h>
#include <napi.h>

#include <functional>
#include <string>
#include <vector>

#include "flow_index.h"
#include "failure.h"

namespace dfw {

inline std::vector<uint32_t> idsOf(const Napi::Value& value) {
  if (!value.IsTypedArray() || value.As<Napi::TypedArray>().TypedArrayType() != napi_uint32_array) return {};
  const auto array = value.As<Napi::Uint32Array>();
  return std::vector<uint32_t>(array.Data(), array.Data() + array.ElementLength());
}

inline std::string bytesOf(const Napi::Value& value) {
  if (!value.IsTypedArray() || value.As<Napi::TypedArray>().TypedArrayType() != napi_uint8_array) return {};
  const auto array = value.As<Napi::Uint8Array>();
  return std::string(reinterpret_cast<const char*>(array.Data()), array.ElementLength());
}

/** False when an element is no address. */
inline bool addressesOf(const Napi::Value& value, AddressSet& set) {
  if (!value.IsArray()) return true;
  const auto array = value.As<Napi::Array>();
  for (uint32_t i = 0; i < array.Length(); ++i) {
    if (!set.add(array.Get(i).ToString().Utf8Value().c_str())) return false;
  }
  set.seal();
  return true;
}

inline std::string textOf(uint8_t family, const Address& address) {
  char text[INET6_ADDRSTRLEN] = "";
  ::inet_ntop(family, address.words, text, sizeof text);
  return text;
}

/** {original, reply}: counters of both directions. */
inline Napi::Object bothWays(Napi::Env env, uint64_t original, uint64_t reply) {
  Napi::Object out = Napi::Object::New(env);
  out.Set("original", Napi::Number::New(env, static_cast<double>(original)));
  out.Set("reply", Napi::Number::New(env, static_cast<double>(reply)));
  return out;
}

/** Runs `work` on the thread pool and settles a promise with `convert`, or with the error. Deletes itself. */
template <typename Result>
class FlowJob : public Napi::AsyncWorker {
 public:
  using Work = std::function<Failure(Result&)>;
  using Convert = std::function<Napi::Value(Napi::Env, Result&)>;

  static Napi::Promise start(Napi::Env env, Work work, Convert convert) {
    auto* job = new FlowJob(env, std::move(work), std::move(convert));
    Napi::Promise promise = job->deferred_.Promise();
    job->Queue();
    return promise;
  }

 private:
  FlowJob(Napi::Env env, Work work, Convert convert)
      : Napi::AsyncWorker(env, "dfw.flow"), deferred_(Napi::Promise::Deferred::New(env)), work_(std::move(work)), convert_(std::move(convert)) {}
  void Execute() override { failed_ = work_(result_); }
  void OnOK() override {
    Napi::HandleScope scope(Env());
    if (!canRunJavaScript(Env())) return;  // nobody is left to take results
    if (failed_) deferred_.Reject(nativeError(Env(), failed_).Value());
    else deferred_.Resolve(convert_(Env(), result_));
  }
  Napi::Promise::Deferred deferred_;
  Work work_;
  Convert convert_;
  Result result_{};
  Failure failed_;
};

}  // namespace dfw
