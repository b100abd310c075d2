// Entry point of the addon: exports what the capability files registered (see registry.h). The contract is src/native/binding.ts.
#include "registry.h"

static Napi::Object Init(Napi::Env env, Napi::Object exports) {
  for (dfw::Register entry : dfw::registry()) entry(env, exports);
  return exports;
}

NODE_API_MODULE(dfw, Init)
