// LinkSocket of src/native/binding.ts: network interfaces by rtnetlink (RFC 3549, include/uapi/linux/if_link.h).
#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/if.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <napi.h>

#include <algorithm>
#include <memory>
#include <vector>

#include "arguments.h"
#include "attributes.h"
#include "netlink_events.h"
#include "registry.h"
#include "serial_queue.h"

namespace dfw {
namespace {

constexpr int kReceiveBuffer = 8 << 20;
constexpr size_t kNameLimit = IFNAMSIZ - 1;
// Largest MTU an interface may have (loopback); the kernel checks the rest.
constexpr double kMtuLimit = 0x7fffffff;
constexpr double kGroupLimit = 0xffffffff;
// IFALIASZ without its end.
constexpr size_t kAliasLimit = 255;
// Attributes of a device of some kind; the request's buffer holds two of them.
constexpr size_t kDataLimit = 512;

struct Link {
  int index = 0;
  std::string name;
  std::string mac;
  uint32_t mtu = 0;
  uint32_t master = 0;
  uint32_t group = 0;
  bool up = false;
  std::string kind;
  std::string alias;
  rtnl_link_stats64 stats{};
};

std::string macText(const nlattr* attribute) {
  if (attribute == nullptr) return {};
  static constexpr char kDigits[] = "0123456789abcdef";
  const auto* bytes = static_cast<const uint8_t*>(mnl_attr_get_payload(attribute));
  std::string text;
  for (size_t index = 0; index < mnl_attr_get_payload_len(attribute); index++) {
    if (index > 0) text += ':';
    text += kDigits[bytes[index] >> 4];
    text += kDigits[bytes[index] & 15];
  }
  return text;
}

Link readLink(const nlmsghdr* message) {
  Link link;
  const auto* general = static_cast<const ifinfomsg*>(mnl_nlmsg_get_payload(message));
  const nlattr* parts[IFLA_GROUP + 1];
  indexAttributes(attributesOf(message, sizeof(ifinfomsg)), parts);
  link.index = general->ifi_index;
  link.up = (general->ifi_flags & IFF_UP) != 0;
  link.name = attributeText(parts[IFLA_IFNAME]);
  link.mac = macText(parts[IFLA_ADDRESS]);
  readAttribute(parts[IFLA_MTU], &link.mtu);
  readAttribute(parts[IFLA_MASTER], &link.master);
  readAttribute(parts[IFLA_GROUP], &link.group);
  link.alias = attributeText(parts[IFLA_IFALIAS]);
  if (parts[IFLA_LINKINFO] != nullptr) {
    const nlattr* info[IFLA_INFO_MAX + 1];
    indexAttributes(attributesOf(parts[IFLA_LINKINFO]), info);
    link.kind = attributeText(info[IFLA_INFO_KIND]);
  }
  if (const nlattr* stats = parts[IFLA_STATS64]) {
    // The structure grows from kernel to kernel: what both know is copied.
    memcpy(&link.stats, mnl_attr_get_payload(stats), std::min<size_t>(sizeof link.stats, mnl_attr_get_payload_len(stats)));
  }
  return link;
}

class ListJob : public Job {
 public:
  explicit ListJob(std::shared_ptr<NetlinkSocket> socket) : socket_(std::move(socket)) {}

  Failure run() override {
    struct {
      nlmsghdr header;
      ifinfomsg general;
    } request{};
    request.header.nlmsg_len = sizeof request;
    request.header.nlmsg_type = RTM_GETLINK;
    NetlinkSocket::Dump dump;
    dump.call = "list";
    dump.restart = [this] { links_.clear(); };
    dump.onMessage = [this](const nlmsghdr* message) -> Failure {
      if (message->nlmsg_type != RTM_NEWLINK) return {};
      if (mnl_nlmsg_get_payload_len(message) < sizeof(ifinfomsg)) return {EBADMSG, "list"};
      links_.push_back(readLink(message));
      return {};
    };
    return socket_->dump(&request.header, dump);
  }

  Napi::Value result(Napi::Env env) override {
    Napi::Array result = Napi::Array::New(env, links_.size());
    const auto number = [env](uint64_t value) { return Napi::Number::New(env, static_cast<double>(value)); };
    for (size_t position = 0; position < links_.size(); position++) {
      const Link& link = links_[position];
      Napi::Object entry = Napi::Object::New(env);
      entry.Set("index", Napi::Number::New(env, link.index));
      entry.Set("name", Napi::String::New(env, link.name));
      entry.Set("mac", Napi::String::New(env, link.mac));
      entry.Set("mtu", number(link.mtu));
      entry.Set("master", number(link.master));
      entry.Set("up", Napi::Boolean::New(env, link.up));
      entry.Set("kind", Napi::String::New(env, link.kind));
      entry.Set("group", number(link.group));
      entry.Set("alias", Napi::String::New(env, link.alias));
      entry.Set("rxBytes", number(link.stats.rx_bytes));
      entry.Set("txBytes", number(link.stats.tx_bytes));
      entry.Set("rxPackets", number(link.stats.rx_packets));
      entry.Set("rxDropped", number(link.stats.rx_dropped));
      entry.Set("txPackets", number(link.stats.tx_packets));
      entry.Set("txDropped", number(link.stats.tx_dropped));
      entry.Set("txErrors", number(link.stats.tx_errors));
      result.Set(static_cast<uint32_t>(position), entry);
    }
    return result;
  }

 private:
  std::shared_ptr<NetlinkSocket> socket_;
  std::vector<Link> links_;
};

// One rtnetlink request about links, built on the JavaScript thread, sent on a worker.
class LinkRequest : public Job {
 public:
  LinkRequest(std::shared_ptr<NetlinkSocket> socket, uint16_t type, uint16_t flags, const char* call) : socket_(std::move(socket)), call_(call) {
    header_ = mnl_nlmsg_put_header(buffer_);
    header_->nlmsg_type = type;
    header_->nlmsg_flags = flags;
    general_ = static_cast<ifinfomsg*>(mnl_nlmsg_put_extra_header(header_, sizeof(ifinfomsg)));
  }
  nlmsghdr* header() { return header_; }
  ifinfomsg* general() { return general_; }
  Failure run() override { return socket_->request(header_, call_); }
  Napi::Value result(Napi::Env env) override { return env.Undefined(); }

 private:
  std::shared_ptr<NetlinkSocket> socket_;
  const char* call_;
  // Two names, a few numbers, and an alias or what a kind of device needs: they fit.
  alignas(NLMSG_ALIGNTO) uint8_t buffer_[2 * kDataLimit];
  nlmsghdr* header_ = nullptr;
  ifinfomsg* general_ = nullptr;
};

// A request to change an entry of a device's forwarding table (rtnetlink(7), struct ndmsg).
class ForwardingRequest : public Job {
 public:
  explicit ForwardingRequest(std::shared_ptr<NetlinkSocket> socket) : socket_(std::move(socket)) {
    header_ = mnl_nlmsg_put_header(buffer_);
    header_->nlmsg_type = RTM_NEWNEIGH;
    // Of the entry for all unknown addresses there can be several, so the kernel knows no replacing.
    header_->nlmsg_flags = NLM_F_CREATE | NLM_F_EXCL;
    auto* entry = static_cast<ndmsg*>(mnl_nlmsg_put_extra_header(header_, sizeof(ndmsg)));
    entry->ndm_family = AF_BRIDGE;
    entry->ndm_state = NUD_PERMANENT | NUD_NOARP;
    entry->ndm_flags = NTF_SELF;
    entry_ = entry;
  }
  nlmsghdr* header() { return header_; }
  ndmsg* entry() { return entry_; }
  Failure run() override { return socket_->request(header_, "setForwarding"); }
  Napi::Value result(Napi::Env env) override { return env.Undefined(); }

 private:
  std::shared_ptr<NetlinkSocket> socket_;
  alignas(NLMSG_ALIGNTO) uint8_t buffer_[256];
  nlmsghdr* header_ = nullptr;
  ndmsg* entry_ = nullptr;
};

bool isLinkName(const std::string& name) { return !name.empty() && name.size() <= kNameLimit; }

void deliver(Napi::Env env, NetlinkEvents& events, ByteBuffer messages, bool lost) {
  Napi::Array list = Napi::Array::New(env);
  const auto add = [&](const char* type, int index, const std::string& name) {
    Napi::Object event = Napi::Object::New(env);
    event.Set("type", Napi::String::New(env, type));
    event.Set("index", Napi::Number::New(env, index));
    event.Set("name", Napi::String::New(env, name));
    list.Set(list.Length(), event);
  };
  int left = static_cast<int>(messages.size());
  const auto* message = reinterpret_cast<const nlmsghdr*>(messages.data());
  for (; mnl_nlmsg_ok(message, left); message = mnl_nlmsg_next(message, &left)) {
    if (message->nlmsg_type != RTM_NEWLINK && message->nlmsg_type != RTM_DELLINK) continue;
    if (mnl_nlmsg_get_payload_len(message) < sizeof(ifinfomsg)) continue;
    const Link link = readLink(message);
    // A bridge reports a port that leaves it as RTM_DELLINK of family AF_BRIDGE: the interface itself still exists.
    if (static_cast<const ifinfomsg*>(mnl_nlmsg_get_payload(message))->ifi_family != AF_UNSPEC) continue;
    add(message->nlmsg_type == RTM_NEWLINK ? "new" : "delete", link.index, link.name);
  }
  if (lost) add("lost", 0, "");
  if (list.Length() > 0) events.call(env, {list});
}

class LinkSocket : public Napi::ObjectWrap<LinkSocket> {
 public:
  static void init(Napi::Env env, Napi::Object exports) {
    exports.Set("LinkSocket", DefineClass(env, "LinkSocket",
                                          {InstanceMethod<&LinkSocket::list>("list"), InstanceMethod<&LinkSocket::createVeth>("createVeth"),
                                           InstanceMethod<&LinkSocket::create>("create"), InstanceMethod<&LinkSocket::setForwarding>("setForwarding"),
                                           InstanceMethod<&LinkSocket::set>("set"), InstanceMethod<&LinkSocket::remove>("delete"),
                                           InstanceMethod<&LinkSocket::monitor>("monitor"), InstanceMethod<&LinkSocket::close>("close")}));
  }

  explicit LinkSocket(const Napi::CallbackInfo& info)
      : Napi::ObjectWrap<LinkSocket>(info), socket_(std::make_shared<NetlinkSocket>()), queue_(std::make_shared<SerialQueue>()) {
    if (Failure failure = socket_->open(NETLINK_ROUTE)) fail(info.Env(), failure);
  }
  ~LinkSocket() override { stopEvents(); }

 private:
  Napi::Value list(const Napi::CallbackInfo& info) { return queue_->push(info.Env(), std::make_unique<ListJob>(socket_)); }

  Napi::Value createVeth(const Napi::CallbackInfo& info) {
    const auto refuse = [&info](const char* what) { return rejected(info.Env(), {EINVAL, "createVeth", what}); };
    if (!info[0].IsObject()) return refuse("request is an object");
    const Napi::Object request = info[0].As<Napi::Object>();
    std::string name;
    std::string peer;
    size_t mtu = 0;
    if (!readString(request, "name", &name) || !isLinkName(name)) return refuse("name has 1 to 15 bytes");
    if (!readString(request, "peer", &peer) || !isLinkName(peer)) return refuse("peer has 1 to 15 bytes");
    size_t group = 0;
    const bool withMtu = !request.Get("mtu").IsUndefined();
    if (withMtu && !readNumber(request, "mtu", kMtuLimit, &mtu)) return refuse("mtu is a number");
    if (!request.Get("group").IsUndefined() && !readNumber(request, "group", kGroupLimit, &group)) return refuse("group is a number");

    auto job = std::make_unique<LinkRequest>(socket_, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, "createVeth");
    nlmsghdr* header = job->header();
    const auto end = [header, withMtu, mtu, group](const std::string& ifname) {
      mnl_attr_put_strz(header, IFLA_IFNAME, ifname.c_str());
      if (withMtu) mnl_attr_put_u32(header, IFLA_MTU, static_cast<uint32_t>(mtu));
      mnl_attr_put_u32(header, IFLA_GROUP, static_cast<uint32_t>(group));
    };
    end(name);
    nlattr* info_ = mnl_attr_nest_start(header, IFLA_LINKINFO);
    mnl_attr_put_strz(header, IFLA_INFO_KIND, "veth");
    nlattr* data = mnl_attr_nest_start(header, IFLA_INFO_DATA);
    nlattr* other = mnl_attr_nest_start(header, VETH_INFO_PEER);
    mnl_nlmsg_put_extra_header(header, sizeof(ifinfomsg));  // inside the nest: the peer's own header
    end(peer);
    mnl_attr_nest_end(header, other);
    mnl_attr_nest_end(header, data);
    mnl_attr_nest_end(header, info_);
    return queue_->push(info.Env(), std::move(job));
  }

  // A device of any kind; what the kind needs comes encoded, as the contents of IFLA_INFO_DATA.
  Napi::Value create(const Napi::CallbackInfo& info) {
    const auto refuse = [&info](const char* what) { return rejected(info.Env(), {EINVAL, "create", what}); };
    if (!info[0].IsObject()) return refuse("request is an object");
    const Napi::Object request = info[0].As<Napi::Object>();
    std::string name;
    std::string kind;
    size_t mtu = 0;
    size_t group = 0;
    if (!readString(request, "name", &name) || !isLinkName(name)) return refuse("name has 1 to 15 bytes");
    if (!readString(request, "kind", &kind) || !isLinkName(kind)) return refuse("kind has 1 to 15 bytes");
    if (!readNumber(request, "mtu", kMtuLimit, &mtu)) return refuse("mtu is a number");
    if (!readNumber(request, "group", kGroupLimit, &group)) return refuse("group is a number");
    if (!isBytes(request.Get("data"))) return refuse("data is a Uint8Array");
    const auto data = request.Get("data").As<Napi::Uint8Array>();
    if (data.ByteLength() > kDataLimit) return refuse("data has at most 512 bytes");

    auto job = std::make_unique<LinkRequest>(socket_, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, "create");
    nlmsghdr* header = job->header();
    mnl_attr_put_strz(header, IFLA_IFNAME, name.c_str());
    mnl_attr_put_u32(header, IFLA_MTU, static_cast<uint32_t>(mtu));
    mnl_attr_put_u32(header, IFLA_GROUP, static_cast<uint32_t>(group));
    nlattr* info_ = mnl_attr_nest_start(header, IFLA_LINKINFO);
    mnl_attr_put_strz(header, IFLA_INFO_KIND, kind.c_str());
    mnl_attr_put(header, IFLA_INFO_DATA | NLA_F_NESTED, data.ByteLength(), data.Data());
    mnl_attr_nest_end(header, info_);
    return queue_->push(info.Env(), std::move(job));
  }

  // Where a vxlan device sends frames whose destination it does not know.
  Napi::Value setForwarding(const Napi::CallbackInfo& info) {
    const auto refuse = [&info](const char* what) { return rejected(info.Env(), {EINVAL, "setForwarding", what}); };
    if (!info[0].IsObject()) return refuse("request is an object");
    const Napi::Object request = info[0].As<Napi::Object>();
    size_t index = 0;
    size_t port = 0;
    size_t vni = 0;
    if (!readNumber(request, "interfaceIndex", 0x7fffffff, &index)) return refuse("interfaceIndex is a number");
    if (!readNumber(request, "port", 0xffff, &port)) return refuse("port is a number");
    if (!readNumber(request, "vni", 0xffffff, &vni)) return refuse("vni is a number");
    if (!isBytes(request.Get("address"))) return refuse("address is a Uint8Array");
    const auto address = request.Get("address").As<Napi::Uint8Array>();
    if (address.ByteLength() != 4 && address.ByteLength() != 16) return refuse("address has 4 or 16 bytes");

    auto job = std::make_unique<ForwardingRequest>(socket_);
    job->entry()->ndm_ifindex = static_cast<int>(index);
    nlmsghdr* header = job->header();
    constexpr uint8_t kAnyMac[6] = {};
    mnl_attr_put(header, NDA_LLADDR, sizeof kAnyMac, kAnyMac);
    mnl_attr_put(header, NDA_DST, address.ByteLength(), address.Data());
    mnl_attr_put_u16(header, NDA_PORT, htons(static_cast<uint16_t>(port)));
    mnl_attr_put_u32(header, NDA_VNI, static_cast<uint32_t>(vni));
    return queue_->push(info.Env(), std::move(job));
  }

  Napi::Value set(const Napi::CallbackInfo& info) {
    const auto refuse = [&info](const char* what) { return rejected(info.Env(), {EINVAL, "set", what}); };
    const std::string name = info[0].IsString() ? info[0].As<Napi::String>().Utf8Value() : std::string();
    if (!isLinkName(name)) return refuse("name has 1 to 15 bytes");
    if (!info[1].IsObject()) return refuse("change is an object");
    const Napi::Object change = info[1].As<Napi::Object>();

    auto job = std::make_unique<LinkRequest>(socket_, RTM_SETLINK, 0, "set");
    ifinfomsg* general = job->general();
    const auto flag = [&change, general](const char* property, unsigned bit, bool inverted) {
      bool on = false;
      if (!readOptionalBool(change, property, &on)) return false;
      if (change.Get(property).IsUndefined()) return true;
      general->ifi_change |= bit;
      if (on != inverted) general->ifi_flags |= bit;
      return true;
    };
    if (!flag("up", IFF_UP, false)) return refuse("up is a boolean");
    if (!flag("arp", IFF_NOARP, true)) return refuse("arp is a boolean");
    if (!flag("promiscuous", IFF_PROMISC, false)) return refuse("promiscuous is a boolean");
    mnl_attr_put_strz(job->header(), IFLA_IFNAME, name.c_str());
    if (!change.Get("mtu").IsUndefined()) {
      size_t mtu = 0;
      if (!readNumber(change, "mtu", kMtuLimit, &mtu)) return refuse("mtu is a number");
      mnl_attr_put_u32(job->header(), IFLA_MTU, static_cast<uint32_t>(mtu));
    }
    if (!change.Get("alias").IsUndefined()) {
      std::string alias;
      if (!readString(change, "alias", &alias) || alias.size() > kAliasLimit) return refuse("alias has at most 255 bytes");
      mnl_attr_put_strz(job->header(), IFLA_IFALIAS, alias.c_str());
    }
    return queue_->push(info.Env(), std::move(job));
  }

  Napi::Value remove(const Napi::CallbackInfo& info) {
    const std::string name = info[0].IsString() ? info[0].As<Napi::String>().Utf8Value() : std::string();
    if (!isLinkName(name)) return rejected(info.Env(), {EINVAL, "delete", "name has 1 to 15 bytes"});
    auto job = std::make_unique<LinkRequest>(socket_, RTM_DELLINK, 0, "delete");
    mnl_attr_put_strz(job->header(), IFLA_IFNAME, name.c_str());
    return queue_->push(info.Env(), std::move(job));
  }

  // A second call replaces the listener.
  Napi::Value monitor(const Napi::CallbackInfo& info) {
    if (!info[0].IsFunction()) return fail(info.Env(), {EINVAL, "monitor", "listener is a function"});
    if (queue_->closed()) return fail(info.Env(), {ECANCELED, "close"});
    Failure failure;
    const NetlinkEvents::Options options{NETLINK_ROUTE, RTNLGRP_LINK, kReceiveBuffer, "dfw.LinkSocket"};
    std::shared_ptr<NetlinkEvents> events = NetlinkEvents::start(info.Env(), options, info[0].As<Napi::Function>(), deliver, &failure);
    if (failure) return fail(info.Env(), failure);
    if (events_ == nullptr) Ref();  // a listener keeps the socket from being garbage
    stopEvents();
    events_ = std::move(events);
    return info.Env().Undefined();
  }

  void close(const Napi::CallbackInfo& info) {
    if (events_ != nullptr) Unref();
    stopEvents();
    queue_->close(info.Env());
    socket_.reset();  // a running job holds it until its end
  }

  void stopEvents() {
    if (events_ != nullptr) events_->stop();
    events_.reset();
  }

  std::shared_ptr<NetlinkSocket> socket_;
  std::shared_ptr<SerialQueue> queue_;
  std::shared_ptr<NetlinkEvents> events_;
};

const Registration registration{LinkSocket::init};

}  // namespace
}  // namespace dfw
