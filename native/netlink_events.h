// A netlink multicast group delivered to a JavaScript listener: all messages that wait, at most once in 10 ms.
#pragma once
#include <napi.h>

#include <functional>
#include <memory>

#include "byte_buffer.h"
#include "event_poll.h"
#include "netlink.h"

namespace dfw {

class NetlinkEvents : public std::enable_shared_from_this<NetlinkEvents> {
 public:
  struct Options {
    int protocol;
    unsigned group;
    int receiveBuffer;
    const char* name;  // of the async resource
  };
  // `messages`: everything read, back to back and aligned; `lost`: the kernel dropped messages (ENOBUFS) before or among them.
  using Deliver = std::function<void(Napi::Env env, NetlinkEvents& events, ByteBuffer messages, bool lost)>;

  // Null and `failure` set when the group cannot be joined.
  static std::shared_ptr<NetlinkEvents> start(Napi::Env env, const Options& options, Napi::Function listener, Deliver deliver, Failure* failure);
  ~NetlinkEvents() { stop(); }
  // Idempotent; the listener is not called any more.
  void stop();
  // Calls the listener unless it has been stopped meanwhile.
  void call(Napi::Env env, std::initializer_list<napi_value> arguments);

 private:
  NetlinkEvents(Napi::Env env, const char* name) : context_(env, name) {}
  void drain(Napi::Env env);

  NetlinkSocket socket_;
  std::shared_ptr<EventPoll> poll_;
  Napi::FunctionReference listener_;
  Napi::AsyncContext context_;
  Deliver deliver_;
  bool stopped_ = false;
};

}  // namespace dfw
