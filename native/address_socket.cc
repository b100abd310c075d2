// AddressSocket of src/native/binding.ts: addresses, routes, policy rules and the tunnel device by rtnetlink (rtnetlink(7), include/uapi/linux/
// {if_addr,rtnetlink,fib_rules,lwtunnel,if_link}.h). What it makes carries kProtocol, so that it can be told from what others made.
#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/fib_rules.h>
#include <linux/if.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/lwtunnel.h>
#include <linux/rtnetlink.h>
#include <napi.h>

#include <cmath>
#include <memory>
#include <vector>

#include "arguments.h"
#include "attributes.h"
#include "netlink.h"
#include "registry.h"
#include "serial_queue.h"

namespace dfw {
namespace {

// Of routes and rules (rtm_protocol, FRA_PROTOCOL): not in /etc/iproute2/rt_protos of any distribution.
constexpr uint8_t kProtocol = 223;
constexpr double kWordLimit = 0xffffffff;

struct Address {
  int family = AF_UNSPEC;
  size_t size = 0;
  uint8_t bytes[16]{};
};

bool readAddress(const Napi::Object& object, const char* name, Address* out) {
  std::string text;
  if (!readString(object, name, &text)) return false;
  out->family = text.find(':') == std::string::npos ? AF_INET : AF_INET6;
  out->size = out->family == AF_INET ? 4 : 16;
  return inet_pton(out->family, text.c_str(), out->bytes) == 1;
}

std::string addressText(int family, const nlattr* attribute) {
  char text[INET6_ADDRSTRLEN] = "";
  const size_t size = family == AF_INET ? 4 : 16;
  if (attribute == nullptr || mnl_attr_get_payload_len(attribute) < size) return {};
  return inet_ntop(family, mnl_attr_get_payload(attribute), text, sizeof text) == nullptr ? std::string() : std::string(text);
}

// 4 or 6 as AF_*.
bool readFamily(const Napi::Object& object, uint8_t* out) {
  size_t family = 0;
  if (!readNumber(object, "family", 6, &family) || (family != 4 && family != 6)) return false;
  *out = family == 4 ? AF_INET : AF_INET6;
  return true;
}

// One request with the family's fixed header, built on the JavaScript thread, sent on a worker.
template <typename General>
class RouteRequest : public Job {
 public:
  RouteRequest(std::shared_ptr<NetlinkSocket> socket, uint16_t type, uint16_t flags, const char* call) : socket_(std::move(socket)), call_(call) {
    header_ = mnl_nlmsg_put_header(buffer_);
    header_->nlmsg_type = type;
    header_->nlmsg_flags = flags;
    general_ = static_cast<General*>(mnl_nlmsg_put_extra_header(header_, sizeof(General)));
  }
  nlmsghdr* header() { return header_; }
  General* general() { return general_; }
  // These failures resolve with false.
  void expect(int error, int other = 0) { expected_[0] = error, expected_[1] = other; }

  Failure run() override {
    Failure failure = socket_->request(header_, call_);
    done_ = !failure;
    if (failure && (failure.error == expected_[0] || failure.error == expected_[1])) return {};
    return failure;
  }
  Napi::Value result(Napi::Env env) override {
    if (expected_[0] == 0) return env.Undefined();
    return Napi::Boolean::New(env, done_);
  }

 private:
  std::shared_ptr<NetlinkSocket> socket_;
  const char* call_;
  int expected_[2]{};
  bool done_ = false;
  // A few addresses and numbers fit by far.
  alignas(NLMSG_ALIGNTO) uint8_t buffer_[1024];
  nlmsghdr* header_ = nullptr;
  General* general_ = nullptr;
};

struct Entry {
  std::vector<std::pair<const char*, double>> numbers;
  std::vector<std::pair<const char*, std::string>> texts;
};

// A dump as a list of plain objects. `read` runs on the worker; false leaves the message out.
class ListJob : public Job {
 public:
  using Read = bool (*)(const nlmsghdr*, Entry*);
  ListJob(std::shared_ptr<NetlinkSocket> socket, uint16_t type, size_t headerSize, const char* call, Read read)
      : socket_(std::move(socket)), type_(type), headerSize_(headerSize), call_(call), read_(read) {}

  Failure run() override {
    for (const uint8_t family : {AF_INET, AF_INET6}) {
      alignas(NLMSG_ALIGNTO) uint8_t buffer[256];
      nlmsghdr* header = mnl_nlmsg_put_header(buffer);
      header->nlmsg_type = type_;
      *static_cast<uint8_t*>(mnl_nlmsg_put_extra_header(header, headerSize_)) = family;  // each of these headers begins with the family
      const size_t before = entries_.size();
      NetlinkSocket::Dump dump;
      dump.call = call_;
      dump.restart = [this, before] { entries_.resize(before); };
      dump.onMessage = [this](const nlmsghdr* message) -> Failure {
        if (mnl_nlmsg_get_payload_len(message) < headerSize_) return {EBADMSG, call_};
        Entry entry;
        if (read_(message, &entry)) entries_.push_back(std::move(entry));
        return {};
      };
      Failure failure = socket_->dump(header, dump);
      // A host without IPv6.
      if (failure && (family == AF_INET || failure.error != EOPNOTSUPP)) return failure;
    }
    return {};
  }

  Napi::Value result(Napi::Env env) override {
    Napi::Array list = Napi::Array::New(env, entries_.size());
    for (size_t position = 0; position < entries_.size(); position++) {
      Napi::Object object = Napi::Object::New(env);
      for (const auto& [name, value] : entries_[position].numbers) object.Set(name, Napi::Number::New(env, value));
      for (const auto& [name, value] : entries_[position].texts) object.Set(name, Napi::String::New(env, value));
      list.Set(static_cast<uint32_t>(position), object);
    }
    return list;
  }

 private:
  std::shared_ptr<NetlinkSocket> socket_;
  uint16_t type_;
  size_t headerSize_;
  const char* call_;
  Read read_;
  std::vector<Entry> entries_;
};

bool readInterfaceAddress(const nlmsghdr* message, Entry* entry) {
  const auto* general = static_cast<const ifaddrmsg*>(mnl_nlmsg_get_payload(message));
  if (message->nlmsg_type != RTM_NEWADDR) return false;
  const nlattr* parts[IFA_CACHEINFO + 1];
  indexAttributes(attributesOf(message, sizeof *general), parts);
  // IPv4: IFA_ADDRESS is the far end of a point-to-point link.
  const std::string text = addressText(general->ifa_family, parts[IFA_LOCAL] != nullptr ? parts[IFA_LOCAL] : parts[IFA_ADDRESS]);
  ifa_cacheinfo times{};
  readAttribute(parts[IFA_CACHEINFO], &times);
  entry->numbers = {{"interfaceIndex", general->ifa_index}, {"prefixLength", general->ifa_prefixlen},
                    {"validSeconds", times.ifa_valid == 0xffffffff ? INFINITY : times.ifa_valid}};
  entry->texts = {{"address", text}};
  return !text.empty();
}

bool readRoute(const nlmsghdr* message, Entry* entry) {
  const auto* general = static_cast<const rtmsg*>(mnl_nlmsg_get_payload(message));
  if (message->nlmsg_type != RTM_NEWROUTE || general->rtm_protocol != kProtocol) return false;
  const nlattr* parts[RTA_ENCAP + 1];
  indexAttributes(attributesOf(message, sizeof *general), parts);
  uint32_t table = general->rtm_table;
  uint32_t index = 0;
  readAttribute(parts[RTA_TABLE], &table);
  readAttribute(parts[RTA_OIF], &index);
  std::string to;
  if (parts[RTA_ENCAP] != nullptr) {
    const nlattr* tunnel[LWTUNNEL_IP_MAX + 1];
    indexAttributes(attributesOf(parts[RTA_ENCAP]), tunnel);
    uint16_t type = 0;
    readAttribute(parts[RTA_ENCAP_TYPE], &type);
    to = addressText(type == LWTUNNEL_ENCAP_IP6 ? AF_INET6 : AF_INET, tunnel[LWTUNNEL_IP_DST]);
  }
  entry->numbers = {{"family", general->rtm_family == AF_INET ? 4 : 6}, {"table", table}, {"interfaceIndex", index}};
  entry->texts = {{"tunnelTo", to}};
  return true;
}

bool readRule(const nlmsghdr* message, Entry* entry) {
  const auto* general = static_cast<const fib_rule_hdr*>(mnl_nlmsg_get_payload(message));
  if (message->nlmsg_type != RTM_NEWRULE) return false;
  const nlattr* parts[FRA_PROTOCOL + 1];
  indexAttributes(attributesOf(message, sizeof *general), parts);
  uint8_t protocol = 0;
  uint32_t table = general->table, mark = 0, mask = 0, priority = 0;
  if (!readAttribute(parts[FRA_PROTOCOL], &protocol) || protocol != kProtocol) return false;
  readAttribute(parts[FRA_TABLE], &table);
  readAttribute(parts[FRA_FWMARK], &mark);
  readAttribute(parts[FRA_FWMASK], &mask);
  readAttribute(parts[FRA_PRIORITY], &priority);
  entry->numbers = {{"family", general->family == AF_INET ? 4 : 6}, {"table", table}, {"mark", mark}, {"mask", mask}, {"priority", priority}};
  return true;
}

// Asks the kernel for the route to one address.
class RouteToJob : public Job {
 public:
  RouteToJob(std::shared_ptr<NetlinkSocket> socket, const Address& address) : socket_(std::move(socket)), address_(address) {}

  Failure run() override {
    alignas(NLMSG_ALIGNTO) uint8_t buffer[256];
    nlmsghdr* header = mnl_nlmsg_put_header(buffer);
    header->nlmsg_type = RTM_GETROUTE;
    header->nlmsg_flags = NLM_F_REQUEST;
    header->nlmsg_seq = socket_->takeSequence();
    auto* general = static_cast<rtmsg*>(mnl_nlmsg_put_extra_header(header, sizeof(rtmsg)));
    general->rtm_family = static_cast<uint8_t>(address_.family);
    general->rtm_dst_len = static_cast<uint8_t>(address_.size * 8);
    mnl_attr_put(header, RTA_DST, address_.size, address_.bytes);
    if (Failure failure = socket_->send(header, header->nlmsg_len)) return failure;
    for (;;) {
      const ssize_t length = socket_->receive(true);
      if (length < 0) return {static_cast<int>(-length), "routeTo"};
      int left = static_cast<int>(length);
      const auto* answer = reinterpret_cast<const nlmsghdr*>(socket_->received());
      for (; mnl_nlmsg_ok(answer, left); answer = mnl_nlmsg_next(answer, &left)) {
        if (answer->nlmsg_seq != header->nlmsg_seq) continue;
        if (answer->nlmsg_type != RTM_NEWROUTE || mnl_nlmsg_get_payload_len(answer) < sizeof(rtmsg)) return {};  // no route
        const auto* found = static_cast<const rtmsg*>(mnl_nlmsg_get_payload(answer));
        const nlattr* parts[RTA_PREFSRC + 1];
        indexAttributes(attributesOf(answer, sizeof *found), parts);
        readAttribute(parts[RTA_OIF], &index_);
        source_ = addressText(found->rtm_family, parts[RTA_PREFSRC]);
        gateway_ = addressText(found->rtm_family, parts[RTA_GATEWAY]);
        type_ = found->rtm_type == RTN_LOCAL ? "local" : found->rtm_type == RTN_UNICAST ? "unicast" : "other";
        return {};
      }
    }
  }

  Napi::Value result(Napi::Env env) override {
    if (type_.empty()) return env.Undefined();
    Napi::Object object = Napi::Object::New(env);
    object.Set("type", Napi::String::New(env, type_));
    object.Set("interfaceIndex", Napi::Number::New(env, index_));
    object.Set("source", Napi::String::New(env, source_));
    object.Set("gateway", Napi::String::New(env, gateway_));
    return object;
  }

 private:
  std::shared_ptr<NetlinkSocket> socket_;
  Address address_;
  uint32_t index_ = 0;
  std::string source_, gateway_, type_;
};

using AddressRequest = RouteRequest<ifaddrmsg>;
using PathRequest = RouteRequest<rtmsg>;
using RuleRequest = RouteRequest<fib_rule_hdr>;
using DeviceRequest = RouteRequest<ifinfomsg>;

class AddressSocket : public Napi::ObjectWrap<AddressSocket> {
 public:
  static void init(Napi::Env env, Napi::Object exports) {
    exports.Set("AddressSocket", DefineClass(env, "AddressSocket",
                                           {InstanceMethod<&AddressSocket::addresses>("addresses"), InstanceMethod<&AddressSocket::setAddress>("setAddress"),
                                            InstanceMethod<&AddressSocket::deleteAddress>("deleteAddress"), InstanceMethod<&AddressSocket::routes>("routes"),
                                            InstanceMethod<&AddressSocket::setRoute>("setRoute"), InstanceMethod<&AddressSocket::deleteRoute>("deleteRoute"),
                                            InstanceMethod<&AddressSocket::rules>("rules"), InstanceMethod<&AddressSocket::addRule>("addRule"),
                                            InstanceMethod<&AddressSocket::deleteRule>("deleteRule"), InstanceMethod<&AddressSocket::routeTo>("routeTo"),
                                            InstanceMethod<&AddressSocket::createTunnel>("createTunnel"), InstanceMethod<&AddressSocket::close>("close")}));
  }

  explicit AddressSocket(const Napi::CallbackInfo& info)
      : Napi::ObjectWrap<AddressSocket>(info), socket_(std::make_shared<NetlinkSocket>()), queue_(std::make_shared<SerialQueue>()) {
    if (Failure failure = socket_->open(NETLINK_ROUTE)) fail(info.Env(), failure);
  }

 private:
  static Napi::Value refuse(const Napi::CallbackInfo& info, const char* call, const char* what) { return rejected(info.Env(), {EINVAL, call, what}); }
  static Napi::Object request(const Napi::CallbackInfo& info) {
    return info[0].IsObject() ? info[0].As<Napi::Object>() : Napi::Object::New(info.Env());
  }
  Napi::Value list(const Napi::CallbackInfo& info, uint16_t type, size_t headerSize, const char* call, ListJob::Read read) {
    return queue_->push(info.Env(), std::make_unique<ListJob>(socket_, type, headerSize, call, read));
  }

  Napi::Value addresses(const Napi::CallbackInfo& info) { return list(info, RTM_GETADDR, sizeof(ifaddrmsg), "addresses", readInterfaceAddress); }
  Napi::Value routes(const Napi::CallbackInfo& info) { return list(info, RTM_GETROUTE, sizeof(rtmsg), "routes", readRoute); }
  Napi::Value rules(const Napi::CallbackInfo& info) { return list(info, RTM_GETRULE, sizeof(fib_rule_hdr), "rules", readRule); }

  static bool startAddress(const Napi::Object& wanted, AddressRequest& job) {
    Address address;
    size_t index = 0;
    if (!readAddress(wanted, "address", &address) || !readNumber(wanted, "interfaceIndex", 0x7fffffff, &index)) return false;
    ifaddrmsg* general = job.general();
    general->ifa_family = static_cast<uint8_t>(address.family);
    general->ifa_prefixlen = static_cast<uint8_t>(address.size * 8);
    general->ifa_index = static_cast<uint32_t>(index);
    mnl_attr_put(job.header(), IFA_LOCAL, address.size, address.bytes);
    mnl_attr_put(job.header(), IFA_ADDRESS, address.size, address.bytes);
    return true;
  }

  Napi::Value setAddress(const Napi::CallbackInfo& info) {
    const Napi::Object wanted = request(info);
    size_t seconds = 0;
    auto job = std::make_unique<AddressRequest>(socket_, RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, "setAddress");
    if (!startAddress(wanted, *job)) return refuse(info, "setAddress", "wants {interfaceIndex, address}");
    if (!readNumber(wanted, "validSeconds", kWordLimit - 1, &seconds) || seconds == 0) return refuse(info, "setAddress", "validSeconds is a number from 1 on");
    // Preferred for no time: nothing that the host itself sends takes it for its source. No duplicate detection: the lease decides.
    ifa_cacheinfo times{};
    times.ifa_valid = static_cast<uint32_t>(seconds);
    mnl_attr_put(job->header(), IFA_CACHEINFO, sizeof times, &times);
    mnl_attr_put_u32(job->header(), IFA_FLAGS, IFA_F_NODAD | IFA_F_NOPREFIXROUTE);
    return queue_->push(info.Env(), std::move(job));
  }

  Napi::Value deleteAddress(const Napi::CallbackInfo& info) {
    auto job = std::make_unique<AddressRequest>(socket_, RTM_DELADDR, 0, "deleteAddress");
    if (!startAddress(request(info), *job)) return refuse(info, "deleteAddress", "wants {interfaceIndex, address}");
    job->expect(EADDRNOTAVAIL, ENODEV);
    return queue_->push(info.Env(), std::move(job));
  }

  // A default route of a table: through the tunnel device to a host, or to nowhere.
  static bool startRoute(const Napi::Object& wanted, PathRequest& job) {
    size_t table = 0;
    uint8_t family = 0;
    if (!readFamily(wanted, &family) || !readNumber(wanted, "table", kWordLimit, &table)) return false;
    rtmsg* general = job.general();
    general->rtm_family = family;
    general->rtm_table = RT_TABLE_UNSPEC;
    general->rtm_protocol = kProtocol;
    general->rtm_scope = RT_SCOPE_UNIVERSE;
    general->rtm_type = RTN_UNICAST;
    mnl_attr_put_u32(job.header(), RTA_TABLE, static_cast<uint32_t>(table));
    return true;
  }

  Napi::Value setRoute(const Napi::CallbackInfo& info) {
    const Napi::Object wanted = request(info);
    auto job = std::make_unique<PathRequest>(socket_, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, "setRoute");
    size_t index = 0;
    size_t id = 0;
    Address to;
    if (!startRoute(wanted, *job)) return refuse(info, "setRoute", "wants {family, table}");
    if (!readNumber(wanted, "interfaceIndex", 0x7fffffff, &index) || !readNumber(wanted, "tunnelId", 0xffffff, &id) || !readAddress(wanted, "tunnelTo", &to)) {
      return refuse(info, "setRoute", "wants {interfaceIndex, tunnelId, tunnelTo}");
    }
    nlmsghdr* header = job->header();
    if (job->general()->rtm_family == AF_INET) job->general()->rtm_scope = RT_SCOPE_LINK;
    mnl_attr_put_u32(header, RTA_OIF, static_cast<uint32_t>(index));
    nlattr* tunnel = mnl_attr_nest_start(header, RTA_ENCAP);
    const bool v4 = to.family == AF_INET;
    const uint64_t key = htobe64(static_cast<uint64_t>(id));
    // LWTUNNEL_IP_* and LWTUNNEL_IP6_* have the same numbers for these.
    mnl_attr_put(header, LWTUNNEL_IP_ID, sizeof key, &key);
    mnl_attr_put(header, LWTUNNEL_IP_DST, to.size, to.bytes);
    mnl_attr_nest_end(header, tunnel);
    mnl_attr_put_u16(header, RTA_ENCAP_TYPE, v4 ? LWTUNNEL_ENCAP_IP : LWTUNNEL_ENCAP_IP6);
    return queue_->push(info.Env(), std::move(job));
  }

  Napi::Value deleteRoute(const Napi::CallbackInfo& info) {
    auto job = std::make_unique<PathRequest>(socket_, RTM_DELROUTE, 0, "deleteRoute");
    if (!startRoute(request(info), *job)) return refuse(info, "deleteRoute", "wants {family, table}");
    job->general()->rtm_scope = RT_SCOPE_NOWHERE;
    job->expect(ESRCH, ENOENT);
    return queue_->push(info.Env(), std::move(job));
  }

  static bool startRule(const Napi::Object& wanted, RuleRequest& job) {
    uint8_t family = 0;
    size_t table = 0, mark = 0, mask = 0, priority = 0;
    if (!readFamily(wanted, &family) || !readNumber(wanted, "table", kWordLimit, &table) || !readNumber(wanted, "mark", kWordLimit, &mark) ||
        !readNumber(wanted, "mask", kWordLimit, &mask) || !readNumber(wanted, "priority", kWordLimit, &priority)) {
      return false;
    }
    job.general()->family = family;
    job.general()->action = FR_ACT_TO_TBL;
    nlmsghdr* header = job.header();
    mnl_attr_put_u32(header, FRA_TABLE, static_cast<uint32_t>(table));
    mnl_attr_put_u32(header, FRA_FWMARK, static_cast<uint32_t>(mark));
    mnl_attr_put_u32(header, FRA_FWMASK, static_cast<uint32_t>(mask));
    mnl_attr_put_u32(header, FRA_PRIORITY, static_cast<uint32_t>(priority));
    mnl_attr_put_u8(header, FRA_PROTOCOL, kProtocol);
    return true;
  }

  Napi::Value addRule(const Napi::CallbackInfo& info) {
    auto job = std::make_unique<RuleRequest>(socket_, RTM_NEWRULE, NLM_F_CREATE | NLM_F_EXCL, "addRule");
    if (!startRule(request(info), *job)) return refuse(info, "addRule", "wants {family, table, mark, mask, priority}");
    job->expect(EEXIST);
    return queue_->push(info.Env(), std::move(job));
  }

  Napi::Value deleteRule(const Napi::CallbackInfo& info) {
    auto job = std::make_unique<RuleRequest>(socket_, RTM_DELRULE, 0, "deleteRule");
    if (!startRule(request(info), *job)) return refuse(info, "deleteRule", "wants {family, table, mark, mask, priority}");
    job->expect(ENOENT);
    return queue_->push(info.Env(), std::move(job));
  }

  Napi::Value routeTo(const Napi::CallbackInfo& info) {
    Napi::Object wanted = Napi::Object::New(info.Env());
    wanted.Set("address", info[0]);
    Address address;
    if (!readAddress(wanted, "address", &address)) return refuse(info, "routeTo", "wants an address");
    return queue_->push(info.Env(), std::make_unique<RouteToJob>(socket_, address));
  }

  // VXLAN-GPE (draft-ietf-nvo3-vxlan-gpe): IP packets without Ethernet headers; where they go is said by routes.
  Napi::Value createTunnel(const Napi::CallbackInfo& info) {
    const Napi::Object wanted = request(info);
    std::string name;
    size_t port = 0, mtu = 0;
    if (!readString(wanted, "name", &name) || name.empty() || name.size() >= IFNAMSIZ) return refuse(info, "createTunnel", "name has 1 to 15 bytes");
    if (!readNumber(wanted, "port", 0xffff, &port) || !readNumber(wanted, "mtu", 0xffff, &mtu)) return refuse(info, "createTunnel", "wants {name, port, mtu}");
    auto job = std::make_unique<DeviceRequest>(socket_, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, "createTunnel");
    nlmsghdr* header = job->header();
    mnl_attr_put_strz(header, IFLA_IFNAME, name.c_str());
    mnl_attr_put_u32(header, IFLA_MTU, static_cast<uint32_t>(mtu));
    nlattr* kind = mnl_attr_nest_start(header, IFLA_LINKINFO);
    mnl_attr_put_strz(header, IFLA_INFO_KIND, "vxlan");
    nlattr* data = mnl_attr_nest_start(header, IFLA_INFO_DATA);
    mnl_attr_put_u8(header, IFLA_VXLAN_COLLECT_METADATA, 1);
    mnl_attr_put(header, IFLA_VXLAN_GPE, 0, nullptr);
    mnl_attr_put_u8(header, IFLA_VXLAN_LEARNING, 0);
    mnl_attr_put_u16(header, IFLA_VXLAN_PORT, htons(static_cast<uint16_t>(port)));
    mnl_attr_nest_end(header, data);
    mnl_attr_nest_end(header, kind);
    return queue_->push(info.Env(), std::move(job));
  }

  void close(const Napi::CallbackInfo& info) {
    queue_->close(info.Env());
    socket_.reset();  // a running job holds it until its end
  }

  std::shared_ptr<NetlinkSocket> socket_;
  std::shared_ptr<SerialQueue> queue_;
};

const Registration registration{AddressSocket::init};

}  // namespace
}  // namespace dfw
