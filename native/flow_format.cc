#include "flow_format.h"

#include <arpa/inet.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nf_conntrack_tcp.h>

#include <algorithm>
#include <cstring>

#include "flow_service.h"

namespace dfw {
namespace {

inline char* put(char* out, std::string_view text) {
  std::memcpy(out, text.data(), text.size());
  return out + text.size();
}

inline char* number(char* out, uint64_t value) {
  char digits[20];
  int length = 0;
  do {
    digits[length++] = static_cast<char>('0' + value % 10);
    value /= 10;
  } while (value != 0);
  while (length > 0) *out++ = digits[--length];
  return out;
}

inline char* hex32(char* out, uint32_t value) {
  for (int shift = 28; shift >= 0; shift -= 4) *out++ = "0123456789abcdef"[(value >> shift) & 15];
  return out;
}

inline char* address(char* out, uint8_t family, const Address& address) {
  if (family == AF_INET) {
    const auto* bytes = reinterpret_cast<const uint8_t*>(address.words);
    out = number(out, bytes[0]);
    for (int i = 1; i < 4; ++i) {
      *out++ = '.';
      out = number(out, bytes[i]);
    }
    return out;
  }
  if (::inet_ntop(AF_INET6, address.words, out, INET6_ADDRSTRLEN) == nullptr) return out;
  return out + std::strlen(out);
}

inline char* endpoint(char* out, uint8_t family, const Address& ip, uint8_t protocol, uint16_t port) {
  out = address(out, family, ip);
  *out++ = ':';
  out = put(out, serviceName(protocol, port));
  *out++ = '(';
  out = number(out, port);
  *out++ = ')';
  return out;
}

inline char* protocol(char* out, uint8_t value) {
  const std::string_view name = protocolName(value);
  return name.empty() ? number(out, value) : put(out, name);
}

inline std::string_view state(const Flow& flow) {
  const bool closed = flow.tcpState == TCP_CONNTRACK_TIME_WAIT || flow.tcpState == TCP_CONNTRACK_CLOSE;
  return closed || (flow.status & IPS_DYING) != 0 ? "InActive" : "Active";
}

inline std::string_view ethertype(const Flow& flow) { return flow.key.family == AF_INET ? "0800" : "86dd"; }

inline size_t mix(uint32_t label) {
  const uint32_t h = label * 0x9e3779b1u;
  return h ^ (h >> 16);
}

}  // namespace

RuleNames::RuleNames(const std::vector<uint32_t>& labels, const std::vector<uint32_t>& rules) {
  const size_t count = std::min(labels.size(), rules.size());
  size_t capacity = 16;
  while (capacity < count * 2) capacity *= 2;
  slots_.resize(capacity);
  for (size_t i = 0; i < count; ++i) {
    if (labels[i] == 0) continue;
    Slot* slot = find(labels[i]);
    slot->label = labels[i];
    slot->rule = rules[i];
  }
}

RuleNames::Slot* RuleNames::find(uint32_t label) {
  const size_t mask = slots_.size() - 1;
  size_t at = mix(label) & mask;
  while (slots_[at].label != 0 && slots_[at].label != label) at = (at + 1) & mask;
  return &slots_[at];
}

void RuleNames::setPolicies(std::string text, const std::vector<uint32_t>& labels, const std::vector<uint32_t>& spans) {
  text_ = std::move(text);
  for (size_t i = 0; i < labels.size() && 2 * i + 1 < spans.size() && !slots_.empty(); ++i) {
    const uint32_t begin = spans[2 * i], end = spans[2 * i + 1];
    Slot* slot = labels[i] == 0 ? nullptr : find(labels[i]);
    if (slot == nullptr || slot->label == 0 || begin > end || end > text_.size()) continue;
    slot->begin = begin;
    slot->end = end;
    longest_ = std::max<size_t>(longest_, end - begin);
  }
}

RuleNames::Name RuleNames::of(uint32_t label) const {
  if (slots_.empty() || label == 0) return {};
  const size_t mask = slots_.size() - 1;
  for (size_t at = mix(label) & mask; slots_[at].label != 0; at = (at + 1) & mask) {
    const Slot& slot = slots_[at];
    if (slot.label == label) return {slot.rule, std::string_view(text_).substr(slot.begin, slot.end - slot.begin)};
  }
  return {};
}

char* FlowFormatter::append(char* out, const Flow& flow, uint64_t nowNs, uint64_t& count) const {
  bool in, outgoing;
  if (options_.byAddress) {
    // One filter's listing: its own side, also when the word is empty (swept, waiting for the next packet); never a side without a filter.
    in = options_.local.contains(flow.key.family, flow.replySource) && (flow.ruleIn == 0 || index_.isRule(flow.ruleIn));
    outgoing = options_.local.contains(flow.key.family, flow.key.source) && (flow.ruleOut == 0 || index_.isRule(flow.ruleOut));
  } else {
    in = index_.isRule(flow.ruleIn);
    outgoing = index_.isRule(flow.ruleOut);
  }
  if (options_.byRule) {
    in = in && options_.rules.contains(flow.ruleIn);
    outgoing = outgoing && options_.rules.contains(flow.ruleOut);
  }
  const uint64_t age = flow.startNs != 0 && nowNs > flow.startNs ? (nowNs - flow.startNs) / 1000000000ull : 0;
  for (const bool side : {true, false}) {
    if (!(side ? in : outgoing)) continue;
    const RuleNames::Name name = options_.names.of(side ? flow.ruleIn : flow.ruleOut);
    if (options_.json && count > 0) out = put(out, ",\n");
    out = options_.json ? json(out, flow, side, name, age) : text(out, flow, side, name.rule, age);
    ++count;
  }
  return out;
}

char* FlowFormatter::text(char* out, const Flow& flow, bool in, uint32_t rule, uint64_t age) const {
  out = hex32(out, flow.key.id);
  out = put(out, "00000000 ");
  out = put(out, state(flow));
  *out++ = ' ';
  out = protocol(out, flow.key.protocol);
  *out++ = ' ';
  out = put(out, ethertype(flow));
  out = put(out, in ? " 1 " : " 2 ");
  out = number(out, rule);
  out = put(out, " 0 0  ");
  if (isIcmp(flow.key.protocol)) {
    out = address(out, flow.key.family, flow.key.source);
    out = put(out, ":icmp(");
    out = number(out, flow.key.sourcePort);
    out = put(out, ") ");
    out = address(out, flow.key.family, flow.replySource);
    out = put(out, ":icmp(");
    out = number(out, flow.key.destinationPort >> 8);
    *out++ = '.';
    out = number(out, flow.key.destinationPort & 0xff);
    *out++ = ')';
  } else {
    out = endpoint(out, flow.key.family, flow.key.source, flow.key.protocol, flow.key.sourcePort);
    *out++ = ' ';
    out = endpoint(out, flow.key.family, flow.replySource, flow.key.protocol, flow.replySourcePort);
  }
  *out++ = ' ';
  out = number(out, age);
  *out++ = ' ';
  out = put(out, tcpStateName(flow.tcpState));
  for (const uint64_t value : {flow.originalBytes, flow.replyBytes, flow.originalPackets, flow.replyPackets}) {
    *out++ = ' ';
    out = number(out, value);
  }
  *out++ = '\n';
  return out;
}

char* FlowFormatter::json(char* out, const Flow& flow, bool in, const RuleNames::Name& name, uint64_t age) const {
  const bool icmp = isIcmp(flow.key.protocol);
  out = put(out, "{\"id\":\"");
  out = hex32(out, flow.key.id);
  out = put(out, "00000000\",\"state\":\"");
  out = put(out, state(flow));
  out = put(out, "\",\"protocol\":\"");
  out = protocol(out, flow.key.protocol);
  out = put(out, "\",\"ethertype\":\"");
  out = put(out, ethertype(flow));
  out = put(out, in ? "\",\"direction\":\"in\",\"ruleId\":" : "\",\"direction\":\"out\",\"ruleId\":");
  out = number(out, name.rule);
  if (!name.policy.empty()) {
    out = put(out, ",\"policy\":");
    out = put(out, name.policy);
  }
  out = put(out, ",\"source\":{\"address\":\"");
  out = address(out, flow.key.family, flow.key.source);
  out = put(out, "\",\"port\":");
  out = number(out, icmp ? 0 : flow.key.sourcePort);
  out = put(out, "},\"destination\":{\"address\":\"");
  out = address(out, flow.key.family, flow.replySource);
  out = put(out, "\",\"port\":");
  out = number(out, servicePort(flow));
  out = put(out, "},\"ageSeconds\":");
  out = number(out, age);
  out = put(out, ",\"timeoutSeconds\":");
  out = number(out, flow.timeout);
  out = put(out, ",\"tcpState\":\"");
  if (flow.tcpState != TCP_CONNTRACK_NONE) out = put(out, tcpStateName(flow.tcpState));
  out = put(out, "\",\"bytes\":{\"original\":");
  out = number(out, flow.originalBytes);
  out = put(out, ",\"reply\":");
  out = number(out, flow.replyBytes);
  out = put(out, "},\"packets\":{\"original\":");
  out = number(out, flow.originalPackets);
  out = put(out, ",\"reply\":");
  out = number(out, flow.replyPackets);
  return put(out, "}}");
}

}  // namespace dfw
