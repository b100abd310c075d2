// One conntrack entry as a flat struct, decoded from a ctnetlink message (linux/netfilter/nfnetlink_conntrack.h).
#pragma once
#include <linux/netlink.h>

#include <cstdint>
#include <cstring>

namespace dfw {

/** Network byte order; IPv4 uses word 0, the rest is zero. */
struct Address {
  uint32_t words[4] = {0, 0, 0, 0};
  bool operator==(const Address& other) const { return std::memcmp(words, other.words, sizeof words) == 0; }
};

/** What names a connection to the kernel: the original tuple and its zone. Ports in host order. */
struct FlowKey {
  uint32_t id = 0;  // CTA_ID
  Address source;
  Address destination;
  uint16_t sourcePort = 0;       // ICMP: query id
  uint16_t destinationPort = 0;  // ICMP: type * 256 + code
  uint16_t zone = 0;
  uint8_t protocol = 0;
  uint8_t family = 0;          // AF_INET | AF_INET6
  bool directionalZone = false;  // the zone holds for the original direction only (CTA_TUPLE_ZONE)
};

struct Flow {
  FlowKey key;
  /** Source of the reply = destination after DNAT. */
  Address replySource;
  uint16_t replySourcePort = 0;
  uint32_t ruleOut = 0;  // label word 2
  uint32_t ruleIn = 0;   // label word 3
  uint32_t status = 0;   // IPS_*
  uint32_t timeout = 0;
  uint8_t tcpState = 0;  // TCP_CONNTRACK_*
  bool hasLabels = false;
  uint64_t startNs = 0;
  uint64_t originalPackets = 0, originalBytes = 0, replyPackets = 0, replyBytes = 0;
  /** The message's own attributes, to name the entry again in an update; valid while the message is. */
  const nlattr* tuple = nullptr;
  const nlattr* zone = nullptr;
  const nlattr* id = nullptr;
};

inline bool isIcmp(uint8_t protocol) { return protocol == 1 || protocol == 58; }
/** The port a rule matches: the port after DNAT; for ICMP type * 256 + code of the request. */
inline uint16_t servicePort(const Flow& flow) { return isIcmp(flow.key.protocol) ? flow.key.destinationPort : flow.replySourcePort; }

/** False when the message is no complete conntrack entry (no tuple or no id). */
bool parseFlow(const nlmsghdr* message, Flow& flow);

}  // namespace dfw
