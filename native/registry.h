// Every capability is one .cc file that registers its exports here, so that adding one touches no other file.
#pragma once
#include <napi.h>

#include <vector>

namespace dfw {

using Register = void (*)(Napi::Env env, Napi::Object exports);

inline std::vector<Register>& registry() {
  static std::vector<Register> entries;
  return entries;
}

struct Registration {
  explicit Registration(Register entry) { registry().push_back(entry); }
};

}  // namespace dfw
