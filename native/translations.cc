// endOtherTranslations of src/native/binding.ts: connections whose source has been given another address than it shall have (include/uapi/linux/
// netfilter/nfnetlink_conntrack.h).
#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <napi.h>
#include <sys/socket.h>

#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "arguments.h"
#include "attributes.h"
#include "netlink.h"
#include "registry.h"
#include "serial_queue.h"

namespace dfw {
namespace {

// The bytes of an address: 4 or 16.
using Host = std::string;

struct Prefix {
  Host host;
  unsigned length = 0;
  bool contains(const Host& other) const {
    if (other.size() != host.size()) return false;
    const size_t whole = length / 8;
    if (memcmp(other.data(), host.data(), whole) != 0) return false;
    const unsigned rest = length % 8;
    if (rest == 0) return true;
    const auto mask = static_cast<uint8_t>(0xff << (8 - rest));
    return ((static_cast<uint8_t>(other[whole]) ^ static_cast<uint8_t>(host[whole])) & mask) == 0;
  }
};

bool parseHost(const std::string& text, Host* out) {
  uint8_t bytes[16];
  const bool v6 = text.find(':') != std::string::npos;
  if (inet_pton(v6 ? AF_INET6 : AF_INET, text.c_str(), bytes) != 1) return false;
  out->assign(reinterpret_cast<const char*>(bytes), v6 ? 16 : 4);
  return true;
}

bool parsePrefix(const std::string& text, Prefix* out) {
  const size_t slash = text.find('/');
  if (!parseHost(text.substr(0, slash), &out->host)) return false;
  out->length = static_cast<unsigned>(out->host.size() * 8);
  if (slash == std::string::npos) return true;
  char* end = nullptr;
  const unsigned long length = strtoul(text.c_str() + slash + 1, &end, 10);
  if (*end != '\0' || length > out->length) return false;
  out->length = static_cast<unsigned>(length);
  return true;
}

struct Ends {
  Host source, destination;
};

Host hostOf(const nlattr* attribute, size_t size) {
  if (attribute == nullptr || mnl_attr_get_payload_len(attribute) != size) return {};
  return {static_cast<const char*>(mnl_attr_get_payload(attribute)), size};
}

Ends endsOf(const nlattr* tuple) {
  const nlattr* parts[CTA_TUPLE_IP + 1];
  if (tuple == nullptr) return {};
  indexAttributes(attributesOf(tuple), parts);
  if (parts[CTA_TUPLE_IP] == nullptr) return {};
  const nlattr* ends[CTA_IP_V6_DST + 1];
  indexAttributes(attributesOf(parts[CTA_TUPLE_IP]), ends);
  if (ends[CTA_IP_V4_SRC] != nullptr) return {hostOf(ends[CTA_IP_V4_SRC], 4), hostOf(ends[CTA_IP_V4_DST], 4)};
  return {hostOf(ends[CTA_IP_V6_SRC], 16), hostOf(ends[CTA_IP_V6_DST], 16)};
}

class EndJob : public Job {
 public:
  std::unordered_map<Host, Host> wanted;
  std::unordered_map<Host, Host> former;
  std::vector<Prefix> except;

  Failure run() override {
    NetlinkSocket socket;
    if (Failure failure = socket.open(NETLINK_NETFILTER)) return failure;
    alignas(NLMSG_ALIGNTO) uint8_t buffer[256];
    nlmsghdr* header = mnl_nlmsg_put_header(buffer);
    header->nlmsg_type = (NFNL_SUBSYS_CTNETLINK << 8) | IPCTNL_MSG_CT_GET;
    mnl_nlmsg_put_extra_header(header, sizeof(nfgenmsg));
    std::vector<std::vector<uint8_t>> deletions;
    NetlinkSocket::Dump dump;
    dump.call = "endOtherTranslations";
    dump.restart = [&deletions] { deletions.clear(); };
    dump.onMessage = [this, &deletions](const nlmsghdr* message) -> Failure {
      if (mnl_nlmsg_get_payload_len(message) < sizeof(nfgenmsg)) return {EBADMSG, "endOtherTranslations"};
      const nlattr* parts[CTA_ZONE + 1];
      indexAttributes(attributesOf(message, sizeof(nfgenmsg)), parts);
      if (parts[CTA_ZONE] == nullptr && isWrong(parts)) deletions.push_back(deletion(message, parts));
      return {};
    };
    if (Failure failure = socket.dump(header, dump)) return failure;
    for (std::vector<uint8_t>& message : deletions) {
      Failure failure = socket.request(reinterpret_cast<nlmsghdr*>(message.data()), "endOtherTranslations");
      if (!failure) ended_++;
      else if (failure.error != ENOENT) return failure;
    }
    return {};
  }
  Napi::Value result(Napi::Env env) override { return Napi::Number::New(env, static_cast<double>(ended_)); }

 private:
  bool isWrong(const nlattr* const (&parts)[CTA_ZONE + 1]) const {
    const Ends original = endsOf(parts[CTA_TUPLE_ORIG]);
    if (original.source.empty()) return false;
    const auto given = former.find(original.source);
    const auto found = wanted.find(original.source);
    if (given == former.end() && found == wanted.end()) return false;
    const Ends reply = endsOf(parts[CTA_TUPLE_REPLY]);
    if (given != former.end() && reply.destination == given->second) return true;
    if (found == wanted.end() || reply.destination == found->second) return false;
    // Where it goes in truth: behind translation of the destination.
    for (const Prefix& prefix : except) {
      if (prefix.contains(reply.source)) return false;
    }
    return true;
  }

  static std::vector<uint8_t> deletion(const nlmsghdr* entry, const nlattr* const (&parts)[CTA_ZONE + 1]) {
    const nlattr* tuple = parts[CTA_TUPLE_ORIG];
    std::vector<uint8_t> bytes(NLMSG_HDRLEN + sizeof(nfgenmsg) + NLA_ALIGN(tuple->nla_len) + 64);
    nlmsghdr* header = mnl_nlmsg_put_header(bytes.data());
    header->nlmsg_type = (NFNL_SUBSYS_CTNETLINK << 8) | IPCTNL_MSG_CT_DELETE;
    auto* general = static_cast<nfgenmsg*>(mnl_nlmsg_put_extra_header(header, sizeof(nfgenmsg)));
    general->nfgen_family = static_cast<const nfgenmsg*>(mnl_nlmsg_get_payload(entry))->nfgen_family;
    mnl_attr_put(header, tuple->nla_type, mnl_attr_get_payload_len(tuple), mnl_attr_get_payload(tuple));
    // The entry that was looked at, not another one with its tuple.
    if (parts[CTA_ID] != nullptr) mnl_attr_put(header, CTA_ID, mnl_attr_get_payload_len(parts[CTA_ID]), mnl_attr_get_payload(parts[CTA_ID]));
    return bytes;
  }

  size_t ended_ = 0;
};

Napi::Value endOtherTranslations(const Napi::CallbackInfo& info) {
  const auto refuse = [&info](const char* what) { return rejected(info.Env(), {EINVAL, "endOtherTranslations", what}); };
  if (!info[0].IsObject()) return refuse("request is an object");
  const Napi::Object request = info[0].As<Napi::Object>();
  const Napi::Value except = request.Get("except");
  if (!except.IsArray()) return refuse("except is a list");
  const auto text = [](const Napi::Value& list, uint32_t index) {
    const Napi::Value value = list.As<Napi::Array>().Get(index);
    return value.IsString() ? value.As<Napi::String>().Utf8Value() : std::string();
  };
  auto job = std::make_unique<EndJob>();
  for (const auto& [name, map] : {std::pair{"wanted", &job->wanted}, std::pair{"former", &job->former}}) {
    const Napi::Value pairs = request.Get(name);
    if (!pairs.IsArray() || pairs.As<Napi::Array>().Length() % 2 != 0) return refuse("wanted and former are lists of pairs");
    for (uint32_t index = 0; index < pairs.As<Napi::Array>().Length(); index += 2) {
      Host from, to;
      if (!parseHost(text(pairs, index), &from) || !parseHost(text(pairs, index + 1), &to)) return refuse("wanted and former are addresses");
      map->emplace(std::move(from), std::move(to));
    }
  }
  for (uint32_t index = 0; index < except.As<Napi::Array>().Length(); index++) {
    Prefix prefix;
    if (!parsePrefix(text(except, index), &prefix)) return refuse("except is prefixes");
    job->except.push_back(std::move(prefix));
  }
  return std::make_shared<SerialQueue>()->push(info.Env(), std::move(job));
}

const Registration registration{[](Napi::Env env, Napi::Object exports) {
  exports.Set("endOtherTranslations", Napi::Function::New(env, endOtherTranslations, "endOtherTranslations"));
}};

}  // namespace
}  // namespace dfw
