// NflogReader of src/native/binding.ts: packets that a rule's `log group N` copies to us (linux/netfilter/nfnetlink_log.h).
#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/if_ether.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_log.h>
#include <napi.h>
#include <time.h>

#include <algorithm>
#include <string>
#include <vector>

#include "arguments.h"
#include "attributes.h"
#include "event_poll.h"
#include "netlink.h"
#include "registry.h"

namespace dfw {
namespace {

constexpr size_t kDefaultReceiveBuffer = 4 << 20;
// The kernel gathers this many packets, or waits this long (in 1/100 s), before it wakes us: a log line may be 100 ms late,
// and a flood of logged packets costs one wake-up for 64 of them.
constexpr uint32_t kQueueThreshold = 64;
constexpr uint32_t kQueueTimeout = 10;
// Attributes around a payload, rounded up.
constexpr uint32_t kPacketOverhead = 256;
// Datagrams read before the listener is called, so that a flood does not hold the event loop.
constexpr int kMaxDatagrams = 16;

struct LoggedPacket {
  std::string prefix;
  uint32_t indev = 0, outdev = 0, sequence = 0;
  bool hasSequence = false;
  uint16_t ethertype = 0;
  uint8_t hook = 0;
  double timestampMs = 0;
  uint32_t length = 0;
  std::vector<uint8_t> payload;
  // Ethernet header with its VLAN tag.
  std::vector<uint8_t> link;
};

uint32_t u32(const nlattr* attribute) {
  uint32_t value = 0;
  if (mnl_attr_get_payload_len(attribute) >= sizeof value) memcpy(&value, mnl_attr_get_payload(attribute), sizeof value);
  return ntohl(value);
}

// The tag that the kernel keeps beside a frame (NFULA_VLAN), back at its place behind the addresses.
void insertTag(const nlattr* vlan, std::vector<uint8_t>* link) {
  const uint8_t* parts[NFULA_VLAN_MAX + 1] = {};
  for (const nlattr* part : attributesOf(vlan)) {
    const uint16_t type = mnl_attr_get_type(part);
    if (type <= NFULA_VLAN_MAX && mnl_attr_get_payload_len(part) >= 2) parts[type] = static_cast<const uint8_t*>(mnl_attr_get_payload(part));
  }
  if (parts[NFULA_VLAN_PROTO] == nullptr || parts[NFULA_VLAN_TCI] == nullptr || link->size() < ETH_HLEN) return;
  const uint8_t tag[] = {parts[NFULA_VLAN_PROTO][0], parts[NFULA_VLAN_PROTO][1], parts[NFULA_VLAN_TCI][0], parts[NFULA_VLAN_TCI][1]};
  link->insert(link->begin() + 2 * ETH_ALEN, tag, tag + sizeof tag);
}

double nowMs() {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  return static_cast<double>(now.tv_sec) * 1000 + static_cast<double>(now.tv_nsec / 1000000);
}

/** Length in the packet's own header; what was copied when it has none, or 0 there (a packet over 64 kB before segmentation). */
uint32_t packetLength(uint16_t ethertype, const std::vector<uint8_t>& payload) {
  const auto word = [&](size_t at) { return static_cast<uint32_t>(payload[at] << 8 | payload[at + 1]); };
  uint32_t length = 0;
  if (ethertype == ETH_P_IP && payload.size() >= 4) length = word(2);
  if (ethertype == ETH_P_IPV6 && payload.size() >= 6 && word(4) != 0) length = 40 + word(4);
  return length != 0 ? length : static_cast<uint32_t>(payload.size());
}

LoggedPacket parse(const nlmsghdr* message) {
  LoggedPacket packet;
  const nlattr* vlan = nullptr;
  const uint8_t family = static_cast<const nfgenmsg*>(mnl_nlmsg_get_payload(message))->nfgen_family;
  const char* end = static_cast<const char*>(mnl_nlmsg_get_payload_tail(message));
  const auto* attribute = static_cast<const nlattr*>(mnl_nlmsg_get_payload_offset(message, sizeof(nfgenmsg)));
  for (; mnl_attr_ok(attribute, static_cast<int>(end - reinterpret_cast<const char*>(attribute))); attribute = mnl_attr_next(attribute)) {
    const void* value = mnl_attr_get_payload(attribute);
    const size_t size = mnl_attr_get_payload_len(attribute);
    switch (mnl_attr_get_type(attribute)) {
      case NFULA_PACKET_HDR:
        if (size >= sizeof(nfulnl_msg_packet_hdr)) {
          nfulnl_msg_packet_hdr header;
          memcpy(&header, value, sizeof header);
          packet.ethertype = ntohs(header.hw_protocol);
          packet.hook = header.hook;
        }
        break;
      case NFULA_TIMESTAMP:
        if (size >= sizeof(nfulnl_msg_packet_timestamp)) {
          nfulnl_msg_packet_timestamp stamp;
          memcpy(&stamp, value, sizeof stamp);
          packet.timestampMs = static_cast<double>(be64toh(stamp.sec)) * 1000 + static_cast<double>(be64toh(stamp.usec) / 1000);
        }
        break;
      // In family bridge these are the bridge's, which come after the ports'.
      case NFULA_IFINDEX_INDEV:
        if (family != NFPROTO_BRIDGE || packet.indev == 0) packet.indev = u32(attribute);
        break;
      case NFULA_IFINDEX_OUTDEV:
        if (family != NFPROTO_BRIDGE || packet.outdev == 0) packet.outdev = u32(attribute);
        break;
      case NFULA_IFINDEX_PHYSINDEV:
        if (family == NFPROTO_BRIDGE) packet.indev = u32(attribute);
        break;
      case NFULA_IFINDEX_PHYSOUTDEV:
        if (family == NFPROTO_BRIDGE) packet.outdev = u32(attribute);
        break;
      case NFULA_SEQ:
        packet.sequence = u32(attribute);
        packet.hasSequence = true;
        break;
      case NFULA_PREFIX: packet.prefix.assign(static_cast<const char*>(value), strnlen(static_cast<const char*>(value), size)); break;
      case NFULA_VLAN: vlan = attribute; break;
      case NFULA_L2HDR: packet.link.assign(static_cast<const uint8_t*>(value), static_cast<const uint8_t*>(value) + size); break;
      case NFULA_PAYLOAD: packet.payload.assign(static_cast<const uint8_t*>(value), static_cast<const uint8_t*>(value) + size); break;
      default: break;
    }
  }
  // Alone the netdev egress hook sees the packet from its Ethernet header.
  if (family == NFPROTO_NETDEV && packet.hook == NF_NETDEV_EGRESS && packet.payload.size() >= ETH_HLEN) {
    packet.payload.erase(packet.payload.begin(), packet.payload.begin() + ETH_HLEN);
  }
  if (vlan != nullptr) insertTag(vlan, &packet.link);
  packet.length = packetLength(packet.ethertype, packet.payload);
  if (packet.timestampMs == 0) packet.timestampMs = nowMs();
  return packet;
}

class NflogReader : public Napi::ObjectWrap<NflogReader> {
 public:
  static void init(Napi::Env env, Napi::Object exports) {
    exports.Set("NflogReader", DefineClass(env, "NflogReader",
                                           {InstanceMethod<&NflogReader::start>("start"), InstanceMethod<&NflogReader::stop>("stop"),
                                            InstanceMethod<&NflogReader::lost>("lost")}));
  }

  explicit NflogReader(const Napi::CallbackInfo& info) : Napi::ObjectWrap<NflogReader>(info) {
    const Napi::Object options = info[0].IsObject() ? info[0].As<Napi::Object>() : Napi::Object::New(info.Env());
    if (!readNumber(options, "group", 65535, &group_) || !readNumber(options, "copyRange", 65535, &copyRange_)) {
      fail(info.Env(), {EINVAL, "NflogReader", "group and copyRange are numbers up to 65535"});
      return;
    }
    if (!options.Get("receiveBuffer").IsUndefined() && !readNumber(options, "receiveBuffer", 1 << 30, &receiveBuffer_)) {
      fail(info.Env(), {EINVAL, "NflogReader", "receiveBuffer is a number of bytes"});
      return;
    }
    if (!readOptionalBool(options, "atOnce", &atOnce_)) fail(info.Env(), {EINVAL, "NflogReader", "atOnce is a boolean"});
  }
  ~NflogReader() override { close(); }

 private:
  Napi::Value start(const Napi::CallbackInfo& info) {
    if (!info[0].IsFunction()) return fail(info.Env(), {EINVAL, "NflogReader.start", "listener is a function"});
    if (poll_ != nullptr) return fail(info.Env(), {EALREADY, "NflogReader.start"});
    Failure failure = socket_.open(NETLINK_NETFILTER, static_cast<int>(receiveBuffer_));
    if (!failure) failure = bindGroup();
    if (!failure) poll_ = EventPoll::start(info.Env(), socket_.fd(), [this](Napi::Env env) { read(env); }, &failure);
    if (failure) {
      socket_.close();
      return fail(info.Env(), failure);
    }
    listener_ = Napi::Persistent(info[0].As<Napi::Function>());
    context_ = std::make_unique<Napi::AsyncContext>(info.Env(), "dfw.NflogReader");
    hasSequence_ = false;
    Ref();  // a started reader is not garbage even when nobody holds it
    return info.Env().Undefined();
  }

  Napi::Value stop(const Napi::CallbackInfo& info) {
    if (poll_ != nullptr) {
      close();
      Unref();
    }
    return info.Env().Undefined();
  }

  Napi::Value lost(const Napi::CallbackInfo& info) { return Napi::Number::New(info.Env(), static_cast<double>(lost_ + (overrun_ ? 1 : 0))); }

  void close() {
    if (poll_ != nullptr) poll_->stop();
    poll_.reset();
    socket_.close();  // the kernel unbinds the group
    listener_.Reset();
  }

  Failure bindGroup() {
    alignas(nlmsghdr) char room[256];
    nlmsghdr* message = mnl_nlmsg_put_header(room);
    message->nlmsg_type = NFNL_SUBSYS_ULOG << 8 | NFULNL_MSG_CONFIG;
    auto* header = static_cast<nfgenmsg*>(mnl_nlmsg_put_extra_header(message, sizeof(nfgenmsg)));
    header->nfgen_family = AF_UNSPEC;
    header->version = NFNETLINK_V0;
    header->res_id = htons(static_cast<uint16_t>(group_));
    const nfulnl_msg_config_cmd command{NFULNL_CFG_CMD_BIND};
    mnl_attr_put(message, NFULA_CFG_CMD, sizeof command, &command);
    nfulnl_msg_config_mode mode{};
    mode.copy_range = htonl(static_cast<uint32_t>(copyRange_));
    mode.copy_mode = NFULNL_COPY_PACKET;
    mnl_attr_put(message, NFULA_CFG_MODE, sizeof mode, &mode);
    mnl_attr_put_u32(message, NFULA_CFG_QTHRESH, htonl(atOnce_ ? 1 : kQueueThreshold));
    mnl_attr_put_u32(message, NFULA_CFG_TIMEOUT, htonl(atOnce_ ? 1 : kQueueTimeout));
    const uint32_t wanted = kQueueThreshold * (static_cast<uint32_t>(copyRange_) + kPacketOverhead);
    mnl_attr_put_u32(message, NFULA_CFG_NLBUFSIZ, htonl(std::min<uint32_t>(wanted, NetlinkSocket::kReceiveSize / 2)));
    mnl_attr_put_u16(message, NFULA_CFG_FLAGS, htons(NFULNL_CFG_F_SEQ));
    Failure failure = socket_.request(message, "NFULNL_MSG_CONFIG");
    if (failure.error == EPERM) failure.detail = "no CAP_NET_ADMIN, or another process has bound this group";
    return failure;
  }

  void read(Napi::Env env) {
    std::vector<LoggedPacket> packets;
    for (int datagrams = 0; datagrams < kMaxDatagrams; ++datagrams) {
      const ssize_t size = socket_.receive(false);
      if (size == -ENOBUFS) {
        overrun_ = true;  // how many, the next packet's sequence number tells
        continue;
      }
      if (size <= 0) break;
      int left = static_cast<int>(size);
      for (const auto* message = reinterpret_cast<const nlmsghdr*>(socket_.received()); mnl_nlmsg_ok(message, left);
           message = mnl_nlmsg_next(message, &left)) {
        if (message->nlmsg_type != (NFNL_SUBSYS_ULOG << 8 | NFULNL_MSG_PACKET) || mnl_nlmsg_get_payload_len(message) < sizeof(nfgenmsg)) continue;
        packets.push_back(parse(message));
        count(packets.back());
      }
    }
    if (!packets.empty()) deliver(env, packets);
  }

  void count(const LoggedPacket& packet) {
    if (!packet.hasSequence) return;
    if (hasSequence_) lost_ += packet.sequence - nextSequence_;  // modulo 2^32, as the kernel counts
    hasSequence_ = true;
    nextSequence_ = packet.sequence + 1;
    overrun_ = false;
  }

  void deliver(Napi::Env env, const std::vector<LoggedPacket>& packets) {
    // One buffer for all payloads: a packet's bytes are a view of it.
    size_t total = 0;
    for (const LoggedPacket& packet : packets) total += packet.payload.size() + packet.link.size();
    Napi::ArrayBuffer bytes = Napi::ArrayBuffer::New(env, total);
    if (bytes.IsEmpty()) return;  // the environment ends, or there is no memory (js_bytes.h)
    Napi::Array list = Napi::Array::New(env, packets.size());
    size_t offset = 0;
    for (size_t i = 0; i < packets.size(); ++i) {
      const LoggedPacket& packet = packets[i];
      Napi::HandleScope scope(env);
      if (!packet.payload.empty()) memcpy(static_cast<uint8_t*>(bytes.Data()) + offset, packet.payload.data(), packet.payload.size());
      Napi::Object object = Napi::Object::New(env);
      object.Set("prefix", Napi::String::New(env, packet.prefix));
      object.Set("indev", Napi::Number::New(env, packet.indev));
      object.Set("outdev", Napi::Number::New(env, packet.outdev));
      object.Set("hook", Napi::Number::New(env, packet.hook));
      object.Set("timestampMs", Napi::Number::New(env, packet.timestampMs));
      object.Set("length", Napi::Number::New(env, packet.length));
      object.Set("ethertype", Napi::Number::New(env, packet.ethertype));
      object.Set("payload", Napi::Uint8Array::New(env, packet.payload.size(), bytes, offset));
      list.Set(static_cast<uint32_t>(i), object);
      offset += packet.payload.size();
      if (!packet.link.empty()) memcpy(static_cast<uint8_t*>(bytes.Data()) + offset, packet.link.data(), packet.link.size());
      object.Set("link", Napi::Uint8Array::New(env, packet.link.size(), bytes, offset));
      offset += packet.link.size();
    }
    callListener(env, listener_, *context_, {list});
  }

  size_t group_ = 0, copyRange_ = 0, receiveBuffer_ = kDefaultReceiveBuffer;
  NetlinkSocket socket_;
  std::shared_ptr<EventPoll> poll_;
  Napi::FunctionReference listener_;
  std::unique_ptr<Napi::AsyncContext> context_;
  uint64_t lost_ = 0;
  bool atOnce_ = false;
  bool overrun_ = false;
  bool hasSequence_ = false;
  uint32_t nextSequence_ = 0;
};

const Registration registration{NflogReader::init};

}  // namespace
}  // namespace dfw
