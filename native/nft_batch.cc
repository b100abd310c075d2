#include "nft_batch.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>

#include <algorithm>

#include "attributes.h"

namespace dfw {
namespace {

constexpr const char* kCall = "transact";
constexpr size_t kSmallest = NLMSG_HDRLEN + sizeof(nfgenmsg);

// Headers are copied in and out: a batch is bytes, not an array of structures.
nlmsghdr headerAt(const uint8_t* place) {
  nlmsghdr header;
  memcpy(&header, place, sizeof header);
  return header;
}

}  // namespace

Failure readGeneration(NetlinkSocket& socket, uint32_t* generation) {
  struct {
    nlmsghdr header;
    nfgenmsg general;
  } request{};
  request.header.nlmsg_len = sizeof request;
  request.header.nlmsg_type = (NFNL_SUBSYS_NFTABLES << 8) | NFT_MSG_GETGEN;
  request.header.nlmsg_flags = NLM_F_REQUEST;
  request.header.nlmsg_seq = socket.takeSequence();
  if (Failure failure = socket.send(&request, sizeof request)) return failure;
  for (;;) {
    const ssize_t length = socket.receive(true);
    if (length < 0) return {static_cast<int>(-length), "recvmsg"};
    int left = static_cast<int>(length);
    const auto* answer = reinterpret_cast<const nlmsghdr*>(socket.received());
    for (; mnl_nlmsg_ok(answer, left); answer = mnl_nlmsg_next(answer, &left)) {
      if (answer->nlmsg_seq != request.header.nlmsg_seq) continue;
      if (answer->nlmsg_type == NLMSG_ERROR) {
        if (mnl_nlmsg_get_payload_len(answer) < sizeof(nlmsgerr)) return {EBADMSG, "generation"};
        return {-static_cast<const nlmsgerr*>(mnl_nlmsg_get_payload(answer))->error, "generation"};
      }
      const nlattr* parts[NFTA_GEN_MAX + 1];
      indexAttributes(attributesOf(answer, sizeof(nfgenmsg)), parts);
      if (!readAttribute(parts[NFTA_GEN_ID], generation)) return {EBADMSG, "generation"};
      *generation = ntohl(*generation);
      return {};
    }
  }
}

Failure NftBatch::begin() { return bytes_.size() == 0 ? frame(NFNL_MSG_BATCH_BEGIN) : Failure{}; }

Failure NftBatch::frame(uint16_t type) {
  nlmsghdr header{};
  header.nlmsg_len = kSmallest;
  header.nlmsg_type = type;
  header.nlmsg_flags = NLM_F_REQUEST;
  nfgenmsg general{};
  general.version = NFNETLINK_V0;
  general.res_id = htons(NFNL_SUBSYS_NFTABLES);
  if (!bytes_.append(&header, sizeof header) || !bytes_.append(&general, sizeof general)) return {ENOMEM, kCall};
  return {};
}

Failure NftBatch::addRaw(const uint8_t* bytes, size_t size) {
  if (Failure failure = begin()) return failure;
  const auto refuse = [this](size_t offset, const char* why) {
    return Failure{EINVAL, kCall, "segment " + std::to_string(firstMessage_.size() - 1) + ", byte " + std::to_string(offset) + ": " + why};
  };
  firstMessage_.push_back(messages_);
  const size_t base = bytes_.size();
  // The copy is what is checked and sent: nobody can change it meanwhile.
  if (!bytes_.append(bytes, size)) return {ENOMEM, kCall};
  for (size_t offset = 0; offset < size;) {
    if (size - offset < kSmallest) return refuse(offset, "truncated message header");
    nlmsghdr header = headerAt(bytes_.data() + base + offset);
    if (header.nlmsg_len < kSmallest) return refuse(offset, "message length too small");
    if (header.nlmsg_len > size - offset || NLMSG_ALIGN(header.nlmsg_len) > size - offset) return refuse(offset, "truncated message");
    if (header.nlmsg_type >> 8 != NFNL_SUBSYS_NFTABLES) return refuse(offset, "not an nf_tables message");
    header.nlmsg_flags &= static_cast<uint16_t>(~NLM_F_ACK);
    memcpy(bytes_.data() + base + offset, &header, sizeof header);
    messages_++;
    offset += NLMSG_ALIGN(header.nlmsg_len);
  }
  return {};
}

Failure NftBatch::addElements(const ElementList& list) {
  if (Failure failure = begin()) return failure;
  firstMessage_.push_back(messages_);
  size_t added = 0;
  if (Failure failure = encodeElements(list, bytes_, &added)) return failure;
  messages_ += added;
  return {};
}

void NftBatch::number(uint32_t firstSequence) {
  uint32_t sequence = firstSequence;
  size_t last = 0;
  for (size_t offset = 0; offset < bytes_.size();) {
    nlmsghdr header = headerAt(bytes_.data() + offset);
    header.nlmsg_seq = sequence++;
    memcpy(bytes_.data() + offset, &header, sizeof header);
    if (header.nlmsg_type >> 8 == NFNL_SUBSYS_NFTABLES) last = offset;
    offset += NLMSG_ALIGN(header.nlmsg_len);
  }
  // Only the last message asks for an answer: an answer for each of many messages overruns the receive buffer.
  nlmsghdr header = headerAt(bytes_.data() + last);
  header.nlmsg_flags |= NLM_F_ACK;
  memcpy(bytes_.data() + last, &header, sizeof header);
}

// `offset` counts the batch's messages: 0 = BATCH_BEGIN, then the segments' messages, then BATCH_END.
BatchError NftBatch::locate(uint32_t offset, int error) const {
  if (offset == 0 || offset > messages_) return {-1, 0, error};
  const size_t index = offset - 1;
  // The last segment that begins at or before the message: segments without messages begin where the next one does.
  const auto after = std::upper_bound(firstMessage_.begin(), firstMessage_.end(), index);
  const auto segment = after - firstMessage_.begin() - 1;
  return {static_cast<int>(segment), static_cast<int>(index - firstMessage_[static_cast<size_t>(segment)]), error};
}

Failure NftBatch::commit(NetlinkSocket& socket, BatchOutcome* outcome) {
  outcome->messages = messages_;
  if (messages_ == 0) {
    outcome->committed = true;
    return readGeneration(socket, &outcome->generation);
  }
  if (Failure failure = frame(NFNL_MSG_BATCH_END)) return failure;
  outcome->bytes = bytes_.size();
  uint32_t before = 0;
  if (Failure failure = readGeneration(socket, &before)) return failure;
  const uint32_t first = socket.takeSequence(static_cast<uint32_t>(messages_) + 2);
  number(first);
  if (Failure failure = socket.send(bytes_.data(), bytes_.size())) return failure;

  // nfnetlink handles the batch inside sendmsg: every answer that will ever come is in the receive buffer now.
  bool acknowledged = false;
  bool lost = false;
  for (;;) {
    const ssize_t length = socket.receive(false);
    if (length == 0) break;
    if (length == -ENOBUFS) {
      lost = true;
      continue;
    }
    if (length < 0) return {static_cast<int>(-length), "recvmsg"};
    int left = static_cast<int>(length);
    const auto* answer = reinterpret_cast<const nlmsghdr*>(socket.received());
    for (; mnl_nlmsg_ok(answer, left); answer = mnl_nlmsg_next(answer, &left)) {
      const uint32_t offset = answer->nlmsg_seq - first;
      if (answer->nlmsg_type != NLMSG_ERROR || offset > messages_ + 1 || mnl_nlmsg_get_payload_len(answer) < sizeof(nlmsgerr)) continue;
      const int error = -static_cast<const nlmsgerr*>(mnl_nlmsg_get_payload(answer))->error;
      if (error != 0) {
        outcome->errors.push_back(locate(offset, error));
      } else if (offset == messages_) {
        acknowledged = true;
      }
    }
  }
  if (Failure failure = readGeneration(socket, &outcome->generation)) return failure;
  if (!outcome->errors.empty()) return {};
  outcome->committed = acknowledged;
  if (acknowledged) return {};
  // No answer at all (no memory for it, ENOBUFS): a commit moves the generation on, a refusal leaves it.
  outcome->committed = outcome->generation != before;
  if (!outcome->committed) outcome->errors.push_back({-1, 0, lost ? ENOBUFS : EIO});
  return {};
}

}  // namespace dfw
