// Reading option objects from JavaScript. Nothing here throws: a missing or wrong value is reported to the caller.
#pragma once
#include <napi.h>

#include <string>

namespace dfw {

inline bool readString(const Napi::Object& object, const char* name, std::string* out) {
  const Napi::Value value = object.Get(name);
  if (!value.IsString()) return false;
  *out = value.As<Napi::String>().Utf8Value();
  return out->find('\0') == std::string::npos;
}

// An unsigned integer up to `limit`.
inline bool readNumber(const Napi::Object& object, const char* name, double limit, size_t* out) {
  const Napi::Value value = object.Get(name);
  if (!value.IsNumber()) return false;
  const double number = value.As<Napi::Number>().DoubleValue();
  if (!(number >= 0 && number <= limit)) return false;
  *out = static_cast<size_t>(number);
  return static_cast<double>(*out) == number;
}

// False when present with another type; absent (undefined) leaves `out` as it is.
inline bool readOptionalBool(const Napi::Object& object, const char* name, bool* out) {
  const Napi::Value value = object.Get(name);
  if (value.IsUndefined()) return true;
  if (!value.IsBoolean()) return false;
  *out = value.As<Napi::Boolean>().Value();
  return true;
}

inline bool isBytes(const Napi::Value& value) {
  return value.IsTypedArray() && value.As<Napi::TypedArray>().TypedArrayType() == napi_uint8_array;
}

}  // namespace dfw
