#include "flow_dump.h"

#include <arpa/inet.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>

namespace dfw {
namespace {

constexpr uint32_t kCheapDump = 10'000;     // entries
constexpr size_t kReadBatch = 64;           // replies are one skb each; 64 of them stay far below the receive buffer
constexpr int kReadBuffer = 4 << 20;
constexpr size_t kClearBatch = 48 * 1024;   // one sendmsg; the default send buffer takes 200 kB
constexpr size_t kMessageRoom = 512;        // upper bound of one request built here

nlmsghdr* putHeader(char* place, uint16_t message, uint16_t flags, uint32_t sequence, uint8_t family) {
  nlmsghdr* header = mnl_nlmsg_put_header(place);
  header->nlmsg_type = static_cast<uint16_t>(NFNL_SUBSYS_CTNETLINK << 8 | message);
  header->nlmsg_flags = static_cast<uint16_t>(NLM_F_REQUEST | flags);
  header->nlmsg_seq = sequence;
  auto* generic = static_cast<nfgenmsg*>(mnl_nlmsg_put_extra_header(header, sizeof(nfgenmsg)));
  generic->nfgen_family = family;
  generic->version = NFNETLINK_V0;
  generic->res_id = 0;
  return header;
}

void putTuple(nlmsghdr* header, const FlowKey& key) {
  nlattr* tuple = mnl_attr_nest_start(header, CTA_TUPLE_ORIG);
  nlattr* ip = mnl_attr_nest_start(header, CTA_TUPLE_IP);
  if (key.family == AF_INET) {
    mnl_attr_put(header, CTA_IP_V4_SRC, 4, key.source.words);
    mnl_attr_put(header, CTA_IP_V4_DST, 4, key.destination.words);
  } else {
    mnl_attr_put(header, CTA_IP_V6_SRC, 16, key.source.words);
    mnl_attr_put(header, CTA_IP_V6_DST, 16, key.destination.words);
  }
  mnl_attr_nest_end(header, ip);
  nlattr* proto = mnl_attr_nest_start(header, CTA_TUPLE_PROTO);
  mnl_attr_put_u8(header, CTA_PROTO_NUM, key.protocol);
  if (isIcmp(key.protocol)) {
    const bool v6 = key.protocol == IPPROTO_ICMPV6;
    mnl_attr_put_u16(header, v6 ? CTA_PROTO_ICMPV6_ID : CTA_PROTO_ICMP_ID, htons(key.sourcePort));
    mnl_attr_put_u8(header, v6 ? CTA_PROTO_ICMPV6_TYPE : CTA_PROTO_ICMP_TYPE, static_cast<uint8_t>(key.destinationPort >> 8));
    mnl_attr_put_u8(header, v6 ? CTA_PROTO_ICMPV6_CODE : CTA_PROTO_ICMP_CODE, static_cast<uint8_t>(key.destinationPort));
  } else {
    // Protocols without ports ignore the two attributes.
    mnl_attr_put_u16(header, CTA_PROTO_SRC_PORT, htons(key.sourcePort));
    mnl_attr_put_u16(header, CTA_PROTO_DST_PORT, htons(key.destinationPort));
  }
  mnl_attr_nest_end(header, proto);
  if (key.directionalZone) mnl_attr_put_u16(header, CTA_TUPLE_ZONE, htons(key.zone));
  mnl_attr_nest_end(header, tuple);
  if (key.zone != 0 && !key.directionalZone) mnl_attr_put_u16(header, CTA_ZONE, htons(key.zone));
}

void putCopy(nlmsghdr* header, const nlattr* attribute) {
  mnl_attr_put(header, attribute->nla_type, mnl_attr_get_payload_len(attribute), mnl_attr_get_payload(attribute));
}

}  // namespace

bool FlowDump::isCheap() {
  NetlinkSocket socket;
  if (socket.open(NETLINK_NETFILTER)) return false;
  alignas(nlmsghdr) char request[kMessageRoom];
  nlmsghdr* header = putHeader(request, IPCTNL_MSG_CT_GET_STATS, 0, 1, AF_UNSPEC);
  if (socket.send(header, header->nlmsg_len)) return false;
  const ssize_t size = socket.receive(true);
  const auto* answer = reinterpret_cast<const nlmsghdr*>(socket.received());
  if (size <= 0 || !mnl_nlmsg_ok(answer, static_cast<int>(size)) || answer->nlmsg_type == NLMSG_ERROR) return false;
  const char* end = static_cast<const char*>(mnl_nlmsg_get_payload_tail(answer));
  const auto* attribute = static_cast<const nlattr*>(mnl_nlmsg_get_payload_offset(answer, sizeof(nfgenmsg)));
  for (; mnl_attr_ok(attribute, static_cast<int>(end - reinterpret_cast<const char*>(attribute))); attribute = mnl_attr_next(attribute)) {
    if (mnl_attr_get_type(attribute) == CTA_STATS_GLOBAL_ENTRIES) return ntohl(mnl_attr_get_u32(attribute)) <= kCheapDump;
  }
  return false;
}

Failure FlowDump::begin() {
  Failure failed = socket_.open(NETLINK_NETFILTER);
  if (failed) return failed;
  alignas(nlmsghdr) char request[kMessageRoom];
  nlmsghdr* header = putHeader(request, IPCTNL_MSG_CT_GET, NLM_F_DUMP, 1, AF_UNSPEC);
  return socket_.send(header, header->nlmsg_len);
}

ssize_t FlowDump::receive() {
  const ssize_t size = socket_.receive(true);
  if (size < 0) error_ = {static_cast<int>(-size), "recv"};
  return size;
}

Failure FlowReader::open() {
  request_.resize(kReadBatch * kMessageRoom);
  return socket_.open(NETLINK_NETFILTER, kReadBuffer);
}

Failure FlowReader::read(const FlowKey* keys, size_t count, const std::function<void(size_t, const nlmsghdr*)>& visit) {
  for (size_t offset = 0; offset < count; offset += kReadBatch) {
    const size_t part = count - offset < kReadBatch ? count - offset : kReadBatch;
    Failure failed = batch(keys + offset, part, offset, visit);
    if (failed) return failed;
  }
  return {};
}

Failure FlowReader::batch(const FlowKey* keys, size_t count, size_t offset, const std::function<void(size_t, const nlmsghdr*)>& visit) {
  size_t used = 0;
  const uint32_t first = sequence_ + 1;
  for (size_t i = 0; i < count; ++i) {
    nlmsghdr* header = putHeader(request_.data() + used, IPCTNL_MSG_CT_GET, 0, ++sequence_, keys[i].family);
    putTuple(header, keys[i]);
    used += MNL_ALIGN(header->nlmsg_len);
  }
  Failure failed = socket_.send(request_.data(), used);
  if (failed) return failed;
  // Every request is answered once, by the entry or by an error, in order.
  for (size_t answered = 0; answered < count;) {
    const ssize_t size = socket_.receive(true);
    if (size < 0) return {static_cast<int>(-size), "recv"};
    int left = static_cast<int>(size);
    for (const auto* message = reinterpret_cast<const nlmsghdr*>(socket_.received()); mnl_nlmsg_ok(message, left); message = mnl_nlmsg_next(message, &left)) {
      const uint32_t position = message->nlmsg_seq - first;
      if (position >= count) continue;
      ++answered;
      if (message->nlmsg_type != NLMSG_ERROR) {
        visit(offset + position, message);
        continue;
      }
      const int code = -static_cast<const nlmsgerr*>(mnl_nlmsg_get_payload(message))->error;
      if (code != ENOENT) return {code, "ctnetlink get"};
      visit(offset + position, nullptr);
    }
  }
  return {};
}

Failure LabelClearer::open() {
  batch_.resize(kClearBatch);
  return socket_.open(NETLINK_NETFILTER, kReadBuffer);
}

Failure LabelClearer::clear(const Flow& flow, bool out, bool in) {
  if (batch_.size() - used_ < kMessageRoom) {
    Failure failed = flush();
    if (failed) return failed;
  }
  nlmsghdr* header = putHeader(batch_.data() + used_, IPCTNL_MSG_CT_NEW, 0, ++sequence_, flow.key.family);
  putCopy(header, flow.tuple);
  if (flow.zone != nullptr) putCopy(header, flow.zone);
  putCopy(header, flow.id);
  const uint32_t zero[4] = {0, 0, 0, 0};
  const uint32_t mask[4] = {0, 0, out ? ~0u : 0u, in ? ~0u : 0u};
  mnl_attr_put(header, CTA_LABELS, sizeof zero, zero);
  mnl_attr_put(header, CTA_LABELS_MASK, sizeof mask, mask);
  last_ = used_;
  used_ += MNL_ALIGN(header->nlmsg_len);
  ++pending_;
  return {};
}

Failure LabelClearer::flush() {
  if (pending_ == 0) return {};
  // Only the last message asks for an acknowledgement; failures answer anyway, and all answers are queued when send() returns.
  reinterpret_cast<nlmsghdr*>(batch_.data() + last_)->nlmsg_flags |= NLM_F_ACK;
  Failure failed = socket_.send(batch_.data(), used_);
  uint32_t errors = 0;
  Failure refused;
  for (bool acknowledged = false; !failed && !acknowledged;) {
    const ssize_t size = socket_.receive(true);
    if (size < 0) return {static_cast<int>(-size), "recv"};
    int left = static_cast<int>(size);
    for (const auto* message = reinterpret_cast<const nlmsghdr*>(socket_.received()); mnl_nlmsg_ok(message, left); message = mnl_nlmsg_next(message, &left)) {
      if (message->nlmsg_type != NLMSG_ERROR) continue;
      const int code = -static_cast<const nlmsgerr*>(mnl_nlmsg_get_payload(message))->error;
      if (code != 0) ++errors;
      if (code != 0 && code != ENOENT) refused = {code, "ctnetlink update"};
      if (message->nlmsg_seq == sequence_) acknowledged = true;
    }
  }
  if (!failed) cleared_ += pending_ - errors;
  used_ = pending_ = 0;
  return failed ? failed : refused;
}

}  // namespace dfw
