// Lists of set elements as nf_tables netlink messages (include/uapi/linux/netfilter/nf_tables.h, enum nft_set_elem_attributes) and back.
#pragma once
#include <linux/netlink.h>
#include <stddef.h>
#include <stdint.h>

#include <string>

#include "byte_buffer.h"
#include "failure.h"

namespace dfw {

// ElementsSegment of src/native/binding.ts; the pointers belong to the caller. `data` and `flags` may be null.
struct ElementList {
  bool add = true;
  uint8_t family = 0;
  std::string table;
  std::string set;
  size_t keyLength = 0;
  size_t dataLength = 0;
  size_t count = 0;
  const uint8_t* keys = nullptr;
  const uint8_t* data = nullptr;
  const uint8_t* flags = nullptr;
  bool counter = false;
};

// Appends NFT_MSG_NEWSETELEM / NFT_MSG_DELSETELEM messages and their number; sequence numbers are left 0. An element list is an
// attribute, so at most 64 kB long: hence several messages. An interval end stays in the message of the element before it.
Failure encodeElements(const ElementList& list, ByteBuffer& out, size_t* messages);

// What one or more dump answers held: arrays in parallel. Keys of catch-all elements and data of interval ends are zeros.
struct DecodedElements {
  size_t keyLength = 0;
  size_t dataLength = 0;
  bool wantCounters = false;

  size_t count = 0;
  bool verdicts = false;  // the set maps to verdicts: `data` is meaningless
  ByteBuffer keys;
  ByteBuffer data;
  ByteBuffer flags;
  ByteBuffer counters;  // two u64 an element: packets, bytes

  void clear();
  // Appends the elements of one NFT_MSG_NEWSETELEM message. EINVAL when a key or datum has another length than expected, EBADMSG when malformed.
  Failure append(const nlmsghdr* message);
  // Whether an element came twice.
  bool hasDuplicates() const;

 private:
  Failure appendElement(const nlattr* element);
};

}  // namespace dfw
