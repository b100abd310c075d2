#include "netlink_events.h"

#include <errno.h>

namespace dfw {
namespace {

// One iteration of the loop reads no more than this, so that a storm of events does not starve the rest of the process.
constexpr size_t kDrainLimit = 4 << 20;
// The first event comes at once, those that follow it are collected for this long.
constexpr uint64_t kRestMs = 10;

}  // namespace

std::shared_ptr<NetlinkEvents> NetlinkEvents::start(Napi::Env env, const Options& options, Napi::Function listener, Deliver deliver,
                                                    Failure* failure) {
  std::shared_ptr<NetlinkEvents> events(new NetlinkEvents(env, options.name));
  if ((*failure = events->socket_.open(options.protocol, options.receiveBuffer))) return nullptr;
  if ((*failure = events->socket_.join(options.group))) return nullptr;
  events->listener_ = Napi::Persistent(listener);
  events->deliver_ = std::move(deliver);
  // A weak pointer: the poll belongs to the events, not the other way round.
  std::weak_ptr<NetlinkEvents> weak = events;
  const auto onReadable = [weak](Napi::Env loopEnv) {
    if (std::shared_ptr<NetlinkEvents> strong = weak.lock()) strong->drain(loopEnv);
  };
  events->poll_ = EventPoll::start(env, events->socket_.fd(), onReadable, failure, kRestMs);
  return events->poll_ == nullptr ? nullptr : events;
}

void NetlinkEvents::stop() {
  stopped_ = true;
  if (poll_ != nullptr) poll_->stop();
  poll_.reset();
  socket_.close();
}

void NetlinkEvents::call(Napi::Env env, std::initializer_list<napi_value> arguments) {
  if (!stopped_) callListener(env, listener_, context_, arguments);
}

void NetlinkEvents::drain(Napi::Env env) {
  if (stopped_) return;
  ByteBuffer messages;
  bool lost = false;
  while (messages.size() < kDrainLimit) {
    const ssize_t length = socket_.receive(false);
    if (length == 0) break;
    if (length == -ENOBUFS) {
      lost = true;
      continue;
    }
    // Whatever else went wrong, events may be missing: the listener must look for itself.
    const size_t padded = length < 0 ? 0 : NLMSG_ALIGN(static_cast<size_t>(length));
    uint8_t* place = length < 0 ? nullptr : messages.extend(padded);
    if (place == nullptr) {
      lost = true;
      break;
    }
    memset(place, 0, padded);
    memcpy(place, socket_.received(), static_cast<size_t>(length));
  }
  if (messages.size() > 0 || lost) deliver_(env, *this, std::move(messages), lost);
}

}  // namespace dfw
