// RouteSocket of src/native/binding.ts: where the kernel sends packets to an address, by rtnetlink(7): its routes, its neighbours, and the
// forwarding tables of its bridges (include/uapi/linux/rtnetlink.h, neighbour.h).
#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/if_bridge.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <napi.h>

#include <memory>
#include <string>
#include <unordered_set>
#include <vector>

#include "arguments.h"
#include "attributes.h"
#include "netlink_events.h"
#include "registry.h"
#include "serial_queue.h"

namespace dfw {
namespace {

constexpr int kReceiveBuffer = 4 << 20;
constexpr size_t kMacLength = 6;
// What is known of a neighbour's address now; not what is being asked for, nor what did not answer.
constexpr uint16_t kKnown = NUD_PERMANENT | NUD_NOARP | NUD_REACHABLE | NUD_PROBE | NUD_STALE | NUD_DELAY;

struct Address {
  uint8_t family = 0;
  // In network order; IPv4 in the first four.
  uint8_t bytes[16] = {};
  size_t length() const { return family == AF_INET ? 4 : 16; }
  std::string key() const { return std::string(1, static_cast<char>(family)) + std::string(reinterpret_cast<const char*>(bytes), length()); }
};

bool parseAddress(const std::string& text, Address* address) {
  address->family = text.find(':') == std::string::npos ? AF_INET : AF_INET6;
  return inet_pton(address->family, text.c_str(), address->bytes) == 1;
}

std::string textOf(int family, const nlattr* attribute) {
  char text[INET6_ADDRSTRLEN] = "";
  inet_ntop(family, mnl_attr_get_payload(attribute), text, sizeof text);
  return text;
}

std::string macText(const nlattr* attribute) {
  static constexpr char kDigits[] = "0123456789abcdef";
  const auto* bytes = static_cast<const uint8_t*>(mnl_attr_get_payload(attribute));
  std::string text;
  for (size_t index = 0; index < kMacLength; index++) {
    if (index > 0) text += ':';
    text += kDigits[bytes[index] >> 4];
    text += kDigits[bytes[index] & 15];
  }
  return text;
}

bool isMac(const nlattr* attribute) { return attribute != nullptr && mnl_attr_get_payload_len(attribute) == kMacLength; }

// ---- routes ----------------------------------------------------------------------------------------------------
struct Way {
  const char* kind = "none";
  uint32_t interface = 0;
  uint8_t prefix = 0;
};

// The route that was found, as it stands in the table (RTM_F_FIB_MATCH): more than one way on is "several".
Way readWay(const nlmsghdr* message) {
  Way way;
  if (message->nlmsg_type != RTM_NEWROUTE || mnl_nlmsg_get_payload_len(message) < sizeof(rtmsg)) return way;
  const auto* route = static_cast<const rtmsg*>(mnl_nlmsg_get_payload(message));
  const nlattr* parts[RTA_MAX + 1];
  indexAttributes(attributesOf(message, sizeof(rtmsg)), parts);
  way.prefix = route->rtm_dst_len;
  readAttribute(parts[RTA_OIF], &way.interface);
  if (route->rtm_type == RTN_LOCAL) way.kind = "local";
  else if (route->rtm_type != RTN_UNICAST) way.kind = "none";
  else if (parts[RTA_MULTIPATH] != nullptr) way.kind = "several";
  else if (parts[RTA_GATEWAY] != nullptr || parts[RTA_VIA] != nullptr) way.kind = "gateway";
  else if (way.interface != 0) way.kind = "direct";
  return way;
}

class LookupJob : public Job {
 public:
  LookupJob(std::shared_ptr<NetlinkSocket> socket, std::vector<Address> addresses) : socket_(std::move(socket)), addresses_(std::move(addresses)) {}

  Failure run() override {
    for (const Address& address : addresses_) {
      alignas(NLMSG_ALIGNTO) uint8_t buffer[256];
      nlmsghdr* header = mnl_nlmsg_put_header(buffer);
      header->nlmsg_type = RTM_GETROUTE;
      auto* route = static_cast<rtmsg*>(mnl_nlmsg_put_extra_header(header, sizeof(rtmsg)));
      route->rtm_family = address.family;
      route->rtm_dst_len = static_cast<uint8_t>(address.length() * 8);
      route->rtm_flags = RTM_F_FIB_MATCH;
      mnl_attr_put(header, RTA_DST, address.length(), address.bytes);
      Way way;
      const Failure failure = socket_->request(header, "lookup", [&way](const nlmsghdr* answer) { way = readWay(answer); });
      // Errors are answers, too: there is no route, or one that forbids.
      if (failure && (failure.call != std::string("lookup") || failure.error == EPERM || failure.error == EBADMSG)) return failure;
      ways_.push_back(failure ? Way{} : way);
    }
    return {};
  }

  Napi::Value result(Napi::Env env) override {
    Napi::Array list = Napi::Array::New(env, ways_.size());
    for (size_t position = 0; position < ways_.size(); position++) {
      const Way& way = ways_[position];
      Napi::Object entry = Napi::Object::New(env);
      entry.Set("kind", Napi::String::New(env, way.kind));
      entry.Set("interfaceIndex", Napi::Number::New(env, way.interface));
      entry.Set("prefixLength", Napi::Number::New(env, way.prefix));
      list.Set(static_cast<uint32_t>(position), entry);
    }
    return list;
  }

 private:
  std::shared_ptr<NetlinkSocket> socket_;
  std::vector<Address> addresses_;
  std::vector<Way> ways_;
};

// ---- neighbours and forwarding tables ---------------------------------------------------------------------------
// Entries of one family's neighbour tables; AF_BRIDGE: of the forwarding tables of bridges.
class NeighbourJob : public Job {
 public:
  struct Entry {
    int interface;
    uint32_t bridge;
    std::string address;
    std::string mac;
  };

  // `wanted`: keys of addresses; of AF_BRIDGE, MAC addresses as text.
  NeighbourJob(std::shared_ptr<NetlinkSocket> socket, std::vector<uint8_t> families, std::unordered_set<std::string> wanted)
      : socket_(std::move(socket)), families_(std::move(families)), wanted_(std::move(wanted)) {}

  Failure run() override {
    for (const uint8_t family : families_) {
      struct {
        nlmsghdr header;
        ndmsg general;
      } request{};
      request.header.nlmsg_len = sizeof request;
      request.header.nlmsg_type = RTM_GETNEIGH;
      request.general.ndm_family = family;
      const size_t before = entries_.size();
      NetlinkSocket::Dump dump;
      dump.call = family == AF_BRIDGE ? "forwarding" : "neighbours";
      dump.restart = [this, before] { entries_.resize(before); };
      dump.onMessage = [this, family](const nlmsghdr* message) -> Failure {
        take(message, family);
        return {};
      };
      if (Failure failure = socket_->dump(&request.header, dump)) return failure;
    }
    return {};
  }

  Napi::Value result(Napi::Env env) override {
    Napi::Array list = Napi::Array::New(env, entries_.size());
    for (size_t position = 0; position < entries_.size(); position++) {
      const Entry& found = entries_[position];
      Napi::Object entry = Napi::Object::New(env);
      entry.Set("interfaceIndex", Napi::Number::New(env, found.interface));
      entry.Set("mac", Napi::String::New(env, found.mac));
      if (found.address.empty()) entry.Set("bridgeIndex", Napi::Number::New(env, found.bridge));
      else entry.Set("address", Napi::String::New(env, found.address));
      list.Set(static_cast<uint32_t>(position), entry);
    }
    return list;
  }

 private:
  void take(const nlmsghdr* message, uint8_t family) {
    if (message->nlmsg_type != RTM_NEWNEIGH || mnl_nlmsg_get_payload_len(message) < sizeof(ndmsg)) return;
    const auto* general = static_cast<const ndmsg*>(mnl_nlmsg_get_payload(message));
    const nlattr* parts[NDA_MAX + 1];
    indexAttributes(attributesOf(message, sizeof(ndmsg)), parts);
    if (general->ndm_family != family || !isMac(parts[NDA_LLADDR])) return;
    Entry entry{general->ndm_ifindex, 0, {}, macText(parts[NDA_LLADDR])};
    if (family == AF_BRIDGE) {
      // Permanent ones are addresses of the bridge and of its ports themselves; those without a bridge are of other devices (vxlan).
      readAttribute(parts[NDA_MASTER], &entry.bridge);
      if (entry.bridge == 0 || (general->ndm_state & NUD_PERMANENT) != 0 || wanted_.count(entry.mac) == 0) return;
    } else {
      const nlattr* destination = parts[NDA_DST];
      const size_t length = family == AF_INET ? 4 : 16;
      if (destination == nullptr || mnl_attr_get_payload_len(destination) != length || (general->ndm_state & kKnown) == 0) return;
      Address address;
      address.family = family;
      memcpy(address.bytes, mnl_attr_get_payload(destination), length);
      if (wanted_.count(address.key()) == 0) return;
      entry.address = textOf(family, destination);
    }
    entries_.push_back(std::move(entry));
  }

  std::shared_ptr<NetlinkSocket> socket_;
  std::vector<uint8_t> families_;
  std::unordered_set<std::string> wanted_;
  std::vector<Entry> entries_;
};

// ---- what JavaScript sees ----------------------------------------------------------------------------------------
bool readTexts(const Napi::Value& value, std::vector<std::string>* texts) {
  if (!value.IsArray()) return false;
  const Napi::Array list = value.As<Napi::Array>();
  for (uint32_t index = 0; index < list.Length(); index++) {
    const Napi::Value text = list.Get(index);
    if (!text.IsString()) return false;
    texts->push_back(text.As<Napi::String>().Utf8Value());
  }
  return true;
}

bool readAddresses(const Napi::Value& value, std::vector<Address>* addresses) {
  std::vector<std::string> texts;
  if (!readTexts(value, &texts)) return false;
  for (const std::string& text : texts) {
    Address address;
    if (!parseAddress(text, &address)) return false;
    addresses->push_back(address);
  }
  return true;
}

class RouteSocket : public Napi::ObjectWrap<RouteSocket> {
 public:
  static void init(Napi::Env env, Napi::Object exports) {
    exports.Set("RouteSocket", DefineClass(env, "RouteSocket",
                                           {InstanceMethod<&RouteSocket::lookup>("lookup"), InstanceMethod<&RouteSocket::neighbours>("neighbours"),
                                            InstanceMethod<&RouteSocket::forwarding>("forwarding"), InstanceMethod<&RouteSocket::monitor>("monitor"),
                                            InstanceMethod<&RouteSocket::close>("close")}));
  }

  explicit RouteSocket(const Napi::CallbackInfo& info)
      : Napi::ObjectWrap<RouteSocket>(info), socket_(std::make_shared<NetlinkSocket>()), queue_(std::make_shared<SerialQueue>()) {
    if (Failure failure = socket_->open(NETLINK_ROUTE)) fail(info.Env(), failure);
  }
  ~RouteSocket() override { stopEvents(); }

 private:
  Napi::Value lookup(const Napi::CallbackInfo& info) {
    std::vector<Address> addresses;
    if (!readAddresses(info[0], &addresses)) return rejected(info.Env(), {EINVAL, "lookup", "addresses are texts of IP addresses"});
    return queue_->push(info.Env(), std::make_unique<LookupJob>(socket_, std::move(addresses)));
  }

  Napi::Value neighbours(const Napi::CallbackInfo& info) {
    std::vector<Address> addresses;
    if (!readAddresses(info[0], &addresses)) return rejected(info.Env(), {EINVAL, "neighbours", "addresses are texts of IP addresses"});
    std::unordered_set<std::string> wanted;
    for (const Address& address : addresses) wanted.insert(address.key());
    return queue_->push(info.Env(), std::make_unique<NeighbourJob>(socket_, std::vector<uint8_t>{AF_INET, AF_INET6}, std::move(wanted)));
  }

  Napi::Value forwarding(const Napi::CallbackInfo& info) {
    std::vector<std::string> macs;
    if (!readTexts(info[0], &macs)) return rejected(info.Env(), {EINVAL, "forwarding", "macs are texts of MAC addresses"});
    std::unordered_set<std::string> wanted(macs.begin(), macs.end());
    return queue_->push(info.Env(), std::make_unique<NeighbourJob>(socket_, std::vector<uint8_t>{AF_BRIDGE}, std::move(wanted)));
  }

  // A second call replaces the listener.
  Napi::Value monitor(const Napi::CallbackInfo& info) {
    const Napi::Env env = info.Env();
    if (!info[0].IsFunction()) return fail(env, {EINVAL, "monitor", "listener is a function"});
    if (queue_->closed()) return fail(env, {ECANCELED, "close"});
    // Routes of IPv4 go without a word when their interface goes: hence links.
    static constexpr struct {
      unsigned group;
      const char* what;
    } kGroups[] = {{RTNLGRP_LINK, "links"}, {RTNLGRP_NEIGH, "neighbours"}, {RTNLGRP_IPV4_ROUTE, "routes"}, {RTNLGRP_IPV6_ROUTE, "routes"}};
    std::vector<std::shared_ptr<NetlinkEvents>> fresh;
    for (const auto& [group, what] : kGroups) {
      Failure failure;
      const char* name = what;
      const auto deliver = [name](Napi::Env loopEnv, NetlinkEvents& events, ByteBuffer, bool) { events.call(loopEnv, {Napi::String::New(loopEnv, name)}); };
      std::shared_ptr<NetlinkEvents> events =
          NetlinkEvents::start(env, {NETLINK_ROUTE, group, kReceiveBuffer, "dfw.RouteSocket"}, info[0].As<Napi::Function>(), deliver, &failure);
      if (failure) {
        for (const auto& each : fresh) each->stop();
        return fail(env, failure);
      }
      fresh.push_back(std::move(events));
    }
    if (events_.empty()) Ref();  // a listener keeps the socket from being garbage
    stopEvents();
    events_ = std::move(fresh);
    return env.Undefined();
  }

  void close(const Napi::CallbackInfo& info) {
    if (!events_.empty()) Unref();
    stopEvents();
    queue_->close(info.Env());
    socket_.reset();  // a running job holds it until its end
  }

  void stopEvents() {
    for (const auto& events : events_) events->stop();
    events_.clear();
  }

  std::shared_ptr<NetlinkSocket> socket_;
  std::shared_ptr<SerialQueue> queue_;
  std::vector<std::shared_ptr<NetlinkEvents>> events_;
};

const Registration registration{RouteSocket::init};

}  // namespace
}  // namespace dfw
