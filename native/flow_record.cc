#include "flow_record.h"

#include <arpa/inet.h>
#include <endian.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>

namespace dfw {
namespace {

// Attributes inside `nest`, as a range; libmnl's macro of the same purpose re-reads the nest's length at each step.
template <typename Visit>
inline void eachNested(const nlattr* nest, Visit visit) {
  const char* end = reinterpret_cast<const char*>(nest) + nest->nla_len;
  const nlattr* attribute = static_cast<const nlattr*>(mnl_attr_get_payload(nest));
  while (mnl_attr_ok(attribute, static_cast<int>(end - reinterpret_cast<const char*>(attribute)))) {
    visit(attribute);
    attribute = mnl_attr_next(attribute);
  }
}

inline uint16_t u16(const nlattr* attribute) {
  uint16_t value = 0;
  if (mnl_attr_get_payload_len(attribute) >= 2) std::memcpy(&value, mnl_attr_get_payload(attribute), 2);
  return ntohs(value);
}
inline uint32_t u32(const nlattr* attribute) {
  uint32_t value = 0;
  if (mnl_attr_get_payload_len(attribute) >= 4) std::memcpy(&value, mnl_attr_get_payload(attribute), 4);
  return ntohl(value);
}
inline uint64_t u64(const nlattr* attribute) {
  uint64_t value = 0;
  if (mnl_attr_get_payload_len(attribute) >= 8) std::memcpy(&value, mnl_attr_get_payload(attribute), 8);
  return be64toh(value);
}
inline uint8_t u8(const nlattr* attribute) {
  return mnl_attr_get_payload_len(attribute) >= 1 ? *static_cast<const uint8_t*>(mnl_attr_get_payload(attribute)) : 0;
}
inline void address(const nlattr* attribute, size_t length, Address& out) {
  if (mnl_attr_get_payload_len(attribute) >= length) std::memcpy(out.words, mnl_attr_get_payload(attribute), length);
}

struct Tuple {
  Address source, destination;
  uint16_t sourcePort = 0, destinationPort = 0;
  uint16_t zone = 0;
  bool hasZone = false;
  uint8_t protocol = 0;
};

void parseTuple(const nlattr* nest, Tuple& tuple) {
  eachNested(nest, [&](const nlattr* part) {
    switch (mnl_attr_get_type(part)) {
      case CTA_TUPLE_IP:
        eachNested(part, [&](const nlattr* ip) {
          switch (mnl_attr_get_type(ip)) {
            case CTA_IP_V4_SRC: address(ip, 4, tuple.source); break;
            case CTA_IP_V4_DST: address(ip, 4, tuple.destination); break;
            case CTA_IP_V6_SRC: address(ip, 16, tuple.source); break;
            case CTA_IP_V6_DST: address(ip, 16, tuple.destination); break;
            default: break;
          }
        });
        break;
      case CTA_TUPLE_PROTO:
        eachNested(part, [&](const nlattr* proto) {
          switch (mnl_attr_get_type(proto)) {
            case CTA_PROTO_NUM: tuple.protocol = u8(proto); break;
            case CTA_PROTO_SRC_PORT:
            case CTA_PROTO_ICMP_ID:
            case CTA_PROTO_ICMPV6_ID: tuple.sourcePort = u16(proto); break;
            case CTA_PROTO_DST_PORT: tuple.destinationPort = u16(proto); break;
            case CTA_PROTO_ICMP_TYPE:
            case CTA_PROTO_ICMPV6_TYPE: tuple.destinationPort = static_cast<uint16_t>((tuple.destinationPort & 0xff) | (u8(proto) << 8)); break;
            case CTA_PROTO_ICMP_CODE:
            case CTA_PROTO_ICMPV6_CODE: tuple.destinationPort = static_cast<uint16_t>((tuple.destinationPort & 0xff00) | u8(proto)); break;
            default: break;
          }
        });
        break;
      case CTA_TUPLE_ZONE:
        tuple.zone = u16(part);
        tuple.hasZone = true;
        break;
      default: break;
    }
  });
}

void parseCounters(const nlattr* nest, uint64_t& packets, uint64_t& bytes) {
  eachNested(nest, [&](const nlattr* counter) {
    switch (mnl_attr_get_type(counter)) {
      case CTA_COUNTERS_PACKETS: packets = u64(counter); break;
      case CTA_COUNTERS_BYTES: bytes = u64(counter); break;
      default: break;
    }
  });
}

uint8_t parseTcpState(const nlattr* nest) {
  uint8_t state = 0;
  eachNested(nest, [&](const nlattr* info) {
    if (mnl_attr_get_type(info) != CTA_PROTOINFO_TCP) return;
    eachNested(info, [&](const nlattr* tcp) {
      if (mnl_attr_get_type(tcp) == CTA_PROTOINFO_TCP_STATE) state = u8(tcp);
    });
  });
  return state;
}

}  // namespace

bool parseFlow(const nlmsghdr* message, Flow& flow) {
  if (mnl_nlmsg_get_payload_len(message) < sizeof(nfgenmsg)) return false;
  flow = Flow{};
  const auto* header = static_cast<const nfgenmsg*>(mnl_nlmsg_get_payload(message));
  flow.key.family = header->nfgen_family;
  Tuple original, reply;
  const char* end = static_cast<const char*>(mnl_nlmsg_get_payload_tail(message));
  const auto* attribute = static_cast<const nlattr*>(mnl_nlmsg_get_payload_offset(message, sizeof(nfgenmsg)));
  for (; mnl_attr_ok(attribute, static_cast<int>(end - reinterpret_cast<const char*>(attribute))); attribute = mnl_attr_next(attribute)) {
    switch (mnl_attr_get_type(attribute)) {
      case CTA_TUPLE_ORIG:
        parseTuple(attribute, original);
        flow.tuple = attribute;
        break;
      case CTA_TUPLE_REPLY: parseTuple(attribute, reply); break;
      case CTA_STATUS: flow.status = u32(attribute); break;
      case CTA_TIMEOUT: flow.timeout = u32(attribute); break;
      case CTA_PROTOINFO: flow.tcpState = parseTcpState(attribute); break;
      case CTA_ID:
        flow.key.id = u32(attribute);
        flow.id = attribute;
        break;
      case CTA_ZONE:
        flow.key.zone = u16(attribute);
        flow.zone = attribute;
        break;
      case CTA_LABELS: {
        const size_t length = mnl_attr_get_payload_len(attribute);
        const auto* bytes = static_cast<const uint8_t*>(mnl_attr_get_payload(attribute));
        flow.hasLabels = true;
        if (length >= 12) std::memcpy(&flow.ruleOut, bytes + 8, 4);
        if (length >= 16) std::memcpy(&flow.ruleIn, bytes + 12, 4);
        break;
      }
      case CTA_COUNTERS_ORIG: parseCounters(attribute, flow.originalPackets, flow.originalBytes); break;
      case CTA_COUNTERS_REPLY: parseCounters(attribute, flow.replyPackets, flow.replyBytes); break;
      case CTA_TIMESTAMP:
        eachNested(attribute, [&](const nlattr* stamp) {
          if (mnl_attr_get_type(stamp) == CTA_TIMESTAMP_START) flow.startNs = u64(stamp);
        });
        break;
      default: break;
    }
  }
  if (flow.tuple == nullptr || flow.id == nullptr) return false;
  flow.key.source = original.source;
  flow.key.destination = original.destination;
  flow.key.sourcePort = original.sourcePort;
  flow.key.destinationPort = original.destinationPort;
  flow.key.protocol = original.protocol;
  if (original.hasZone) {
    flow.key.zone = original.zone;
    flow.key.directionalZone = true;
  }
  flow.replySource = reply.source;
  flow.replySourcePort = reply.sourcePort;
  return true;
}

}  // namespace dfw
