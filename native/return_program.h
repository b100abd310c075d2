// The program (eBPF, cls_bpf) that sends frames which come back by a device on where they were going. No JavaScript here.
#pragma once
#include <stddef.h>
#include <stdint.h>

#include "failure.h"
#include "netlink.h"

namespace dfw {

// One way on, as src/native/binding.ts packs it: 12 bytes.
struct ReturnEntry {
  uint8_t mac[6];
  uint8_t side;  // kReturnSource, kReturnDestination
  uint8_t unused;
  uint32_t interfaceIndex;  // host order
};
static_assert(sizeof(ReturnEntry) == 12);

// The MAC address is the frame's source: it goes on as if the interface had just received it.
constexpr uint8_t kReturnSource = 0;
// The MAC address is the frame's destination: the interface sends it.
constexpr uint8_t kReturnDestination = 1;

// Loads the program. Sources are looked up first: whoever forges a destination goes nowhere but through the rules of where he is.
// What fits no entry is dropped. `mark`: bits that are set in the packet's mark. EPERM without CAP_BPF and CAP_NET_ADMIN.
Failure loadReturnProgram(const ReturnEntry* entries, size_t count, uint32_t mark, UniqueFd* program);

}  // namespace dfw
