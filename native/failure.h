// How a failed system call travels from where it happens (any thread) to the JavaScript Error that reports it.
#pragma once
#include <napi.h>

#include <string>
#include <utility>

namespace dfw {

// `error` is a positive errno value, 0 means success; `call` names the system call or the refused operation.
struct Failure {
  int error = 0;
  const char* call = "";
  std::string detail;

  Failure() = default;
  Failure(int error_, const char* call_, std::string detail_ = {}) : error(error_), call(call_), detail(std::move(detail_)) {}
  explicit operator bool() const { return error != 0; }
};

// "ENOBUFS" for ENOBUFS; "E524" for a number without a name.
std::string errnoName(int error);

// The NativeError of src/native/binding.ts: errno, code and syscall, and a message that holds all of them.
Napi::Error nativeError(Napi::Env env, const Failure& failure);

// Throws into JavaScript and returns undefined: `return fail(env, failure);`
Napi::Value fail(Napi::Env env, const Failure& failure);

// A promise that is already rejected.
Napi::Promise rejected(Napi::Env env, const Failure& failure);

// False while the env is being torn down: loop callbacks still come then, but every call that could run JavaScript fails and
// gives empty values. To be asked at the start of each callback from the loop.
bool canRunJavaScript(napi_env env);

}  // namespace dfw
