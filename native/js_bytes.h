// Bytes on their way to JavaScript.
#pragma once
#include <napi.h>
#include <string.h>

namespace dfw {

// An array of JavaScript's own with a copy of the bytes. Empty (IsEmpty()) when there is no memory, and when the env ends: a worker
// may be terminated between any two calls, so that canRunJavaScript() before is not enough to write where Data() points.
inline Napi::Uint8Array bytesToJs(Napi::Env env, const void* data, size_t size) {
  Napi::Uint8Array array = Napi::Uint8Array::New(env, size);
  if (!array.IsEmpty() && size > 0) memcpy(array.Data(), data, size);
  return array;
}

}  // namespace dfw
