#include "failure.h"

#include <string.h>

namespace dfw {

std::string errnoName(int error) {
  const char* name = strerrorname_np(error);
  return name != nullptr ? name : "E" + std::to_string(error);
}

Napi::Error nativeError(Napi::Env env, const Failure& failure) {
  const std::string code = errnoName(failure.error);
  const char* description = strerrordesc_np(failure.error);
  std::string message = std::string(failure.call) + ": " + code;
  if (description != nullptr) message += std::string(", ") + description;
  if (!failure.detail.empty()) message += " (" + failure.detail + ")";
  Napi::Error error = Napi::Error::New(env, message);
  Napi::Object object = error.Value();
  object.Set("errno", Napi::Number::New(env, failure.error));
  object.Set("code", Napi::String::New(env, code));
  object.Set("syscall", Napi::String::New(env, failure.call));
  return error;
}

Napi::Value fail(Napi::Env env, const Failure& failure) {
  nativeError(env, failure).ThrowAsJavaScriptException();
  return env.Undefined();
}

Napi::Promise rejected(Napi::Env env, const Failure& failure) {
  Napi::Promise::Deferred deferred = Napi::Promise::Deferred::New(env);
  deferred.Reject(nativeError(env, failure).Value());
  return deferred.Promise();
}

bool canRunJavaScript(napi_env env) {
  // There is no direct question: any call that might run JavaScript (a getter, here) is refused first.
  napi_value global = nullptr;
  bool has = false;
  return napi_get_global(env, &global) == napi_ok && napi_has_named_property(env, global, "Object", &has) == napi_ok;
}

}  // namespace dfw
