// NftMonitor of src/native/binding.ts: what anybody changes in nf_tables, as raw netlink messages.
#include <errno.h>
#include <linux/netfilter/nfnetlink.h>
#include <napi.h>

#include "js_bytes.h"
#include "netlink_events.h"
#include "registry.h"

namespace dfw {
namespace {

// A transaction of 100,000 elements sends some 15 MB of notifications.
constexpr int kReceiveBuffer = 32 << 20;

void deliver(Napi::Env env, NetlinkEvents& events, ByteBuffer messages, bool lost) {
  if (messages.size() > 0) {
    const Napi::Uint8Array bytes = bytesToJs(env, messages.data(), messages.size());
    if (bytes.IsEmpty()) return;
    events.call(env, {bytes});
  }
  if (lost) events.call(env, {env.Null()});
}

class NftMonitor : public Napi::ObjectWrap<NftMonitor> {
 public:
  static void init(Napi::Env env, Napi::Object exports) {
    exports.Set("NftMonitor",
                DefineClass(env, "NftMonitor", {InstanceMethod<&NftMonitor::start>("start"), InstanceMethod<&NftMonitor::stop>("stop")}));
  }
  explicit NftMonitor(const Napi::CallbackInfo& info) : Napi::ObjectWrap<NftMonitor>(info) {}
  ~NftMonitor() override {
    if (events_ != nullptr) events_->stop();
  }

 private:
  Napi::Value start(const Napi::CallbackInfo& info) {
    if (!info[0].IsFunction()) return fail(info.Env(), {EINVAL, "NftMonitor.start", "listener is a function"});
    if (events_ != nullptr) return fail(info.Env(), {EALREADY, "NftMonitor.start"});
    Failure failure;
    const NetlinkEvents::Options options{NETLINK_NETFILTER, NFNLGRP_NFTABLES, kReceiveBuffer, "dfw.NftMonitor"};
    events_ = NetlinkEvents::start(info.Env(), options, info[0].As<Napi::Function>(), deliver, &failure);
    if (failure) return fail(info.Env(), failure);
    Ref();  // a started monitor is not garbage even when nobody holds it
    return info.Env().Undefined();
  }

  Napi::Value stop(const Napi::CallbackInfo& info) {
    if (events_ != nullptr) {
      events_->stop();
      events_.reset();
      Unref();
    }
    return info.Env().Undefined();
  }

  std::shared_ptr<NetlinkEvents> events_;
};

const Registration registration{NftMonitor::init};

}  // namespace
}  // namespace dfw
