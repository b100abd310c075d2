// Flows that JS hands over as numbers, for the formatter: PackedFlows of src/native/binding.ts.
#pragma once
#include <arpa/inet.h>

#include <cstddef>
#include <cstdint>

#include "flow_record.h"

namespace dfw {

/** A view: the memory is JS's and must outlive it. */
struct PackedFlows {
  /** The order of PACKED_FLOW in src/native/binding.ts; host byte order. */
  enum Word { kSource = 0, kDestination = 4, kReplySource = 8, kPorts = 12, kKind = 13, kId = 14, kRuleOut = 15, kRuleIn = 16, kTimeout = 17, kTcpState = 18, kStatus = 19, kWords = 20 };
  /** Packets and bytes of the original direction, of the reply, and the start in ms. */
  static constexpr size_t kNumbers = 5;

  const uint32_t* words = nullptr;
  const double* numbers = nullptr;  // none are counted
  size_t count = 0;

  Flow at(size_t index) const {
    const uint32_t* w = words + index * kWords;
    Flow flow;
    const auto address = [&](Word first) {
      Address out;
      for (int i = 0; i < 4; ++i) out.words[i] = htonl(w[first + i]);
      return out;
    };
    flow.key.id = w[kId];
    flow.key.family = (w[kKind] & 0xff) == 6 ? AF_INET6 : AF_INET;
    flow.key.protocol = static_cast<uint8_t>(w[kKind] >> 8);
    flow.key.source = address(kSource);
    flow.key.destination = address(kDestination);
    flow.key.sourcePort = static_cast<uint16_t>(w[kPorts] >> 16);
    flow.key.destinationPort = static_cast<uint16_t>(w[kPorts]);
    flow.replySource = address(kReplySource);
    flow.replySourcePort = static_cast<uint16_t>(w[kKind] >> 16);
    flow.ruleOut = w[kRuleOut];
    flow.ruleIn = w[kRuleIn];
    flow.hasLabels = true;
    flow.timeout = w[kTimeout];
    flow.tcpState = static_cast<uint8_t>(w[kTcpState]);
    flow.status = w[kStatus];
    if (numbers == nullptr) return flow;
    const double* n = numbers + index * kNumbers;
    flow.originalPackets = static_cast<uint64_t>(n[0]);
    flow.originalBytes = static_cast<uint64_t>(n[1]);
    flow.replyPackets = static_cast<uint64_t>(n[2]);
    flow.replyBytes = static_cast<uint64_t>(n[3]);
    flow.startNs = static_cast<uint64_t>(n[4]) * 1000000ull;
    return flow;
  }
};

}  // namespace dfw
