// One nf_tables transaction: framing, sequence numbers, and what the kernel's answers mean for the segments it was made of.
#pragma once
#include <stddef.h>
#include <stdint.h>

#include <vector>

#include "byte_buffer.h"
#include "netlink.h"
#include "nft_elements.h"

namespace dfw {

struct BatchError {
  int segment;  // -1: the batch as a whole
  int message;
  int error;
};

struct BatchOutcome {
  bool committed = false;
  uint32_t generation = 0;
  std::vector<BatchError> errors;
  size_t messages = 0;
  size_t bytes = 0;
};

// NFT_MSG_GETGEN: the generation id of the socket's network namespace.
Failure readGeneration(NetlinkSocket& socket, uint32_t* generation);

class NftBatch {
 public:
  // Complete nf_tables messages; checks their lengths and types (EINVAL) and clears NLM_F_ACK.
  Failure addRaw(const uint8_t* bytes, size_t size);
  Failure addElements(const ElementList& list);
  // Sends everything by one sendmsg and reads all answers. A batch without messages is committed without asking the kernel.
  // Fails only when the batch did not get to the kernel or the generation cannot be read; refusals are in `outcome`.
  Failure commit(NetlinkSocket& socket, BatchOutcome* outcome);

 private:
  Failure begin();
  Failure frame(uint16_t type);
  void number(uint32_t firstSequence);
  BatchError locate(uint32_t offset, int error) const;

  ByteBuffer bytes_;
  std::vector<size_t> firstMessage_;  // of each segment
  size_t messages_ = 0;
  size_t lastMessage_ = 0;  // offset of the last message in bytes_
};

}  // namespace dfw
