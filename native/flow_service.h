// Names that flows are printed with: protocols, services, TCP states.
#pragma once
#include <cstdint>
#include <string_view>

namespace dfw {

/** Customary name of a well-known port, or "Unknown". The table is part of the program, so that output does not depend on the host's /etc/services. */
std::string_view serviceName(uint8_t protocol, uint16_t port);
/** Empty when the protocol has no name here (print its number). */
std::string_view protocolName(uint8_t protocol);
/** TCP_CONNTRACK_* of linux/netfilter/nf_conntrack_tcp.h; "-" for NONE. */
std::string_view tcpStateName(uint8_t state);

}  // namespace dfw
