// PacketSender of src/native/binding.ts: packets put on an interface as they are, past routing and netfilter's IP hooks (packet(7)), or routed
// with the IP header they were given (raw(7)).
#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/if_ether.h>
#include <netinet/in.h>
#include <linux/if_packet.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <napi.h>
#include <sys/socket.h>

#include <array>

#include "arguments.h"
#include "attributes.h"
#include "netlink.h"
#include "registry.h"

namespace dfw {
namespace {

using Mac = std::array<uint8_t, ETH_ALEN>;
constexpr Mac kBroadcast{0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
constexpr size_t kIpv4Destination = 16, kIpv6Destination = 24;

// Asks the kernel for one neighbour (RTM_GETNEIGH without NLM_F_DUMP, Linux 5.0). False when it knows none.
bool neighbour(NetlinkSocket& socket, int interfaceIndex, uint16_t ethertype, const uint8_t* packet, Mac* out) {
  alignas(nlmsghdr) char room[256];
  nlmsghdr* message = mnl_nlmsg_put_header(room);
  message->nlmsg_type = RTM_GETNEIGH;
  message->nlmsg_flags = NLM_F_REQUEST;
  message->nlmsg_seq = socket.takeSequence();
  auto* entry = static_cast<ndmsg*>(mnl_nlmsg_put_extra_header(message, sizeof(ndmsg)));
  entry->ndm_family = ethertype == ETH_P_IP ? AF_INET : AF_INET6;
  entry->ndm_ifindex = interfaceIndex;
  if (ethertype == ETH_P_IP) {
    mnl_attr_put(message, NDA_DST, 4, packet + kIpv4Destination);
  } else {
    mnl_attr_put(message, NDA_DST, 16, packet + kIpv6Destination);
  }
  if (socket.send(message, message->nlmsg_len)) return false;
  for (;;) {
    const ssize_t length = socket.receive(true);
    if (length < 0) return false;
    int left = static_cast<int>(length);
    const auto* answer = reinterpret_cast<const nlmsghdr*>(socket.received());
    for (; mnl_nlmsg_ok(answer, left); answer = mnl_nlmsg_next(answer, &left)) {
      if (answer->nlmsg_seq != message->nlmsg_seq) continue;
      if (answer->nlmsg_type != RTM_NEWNEIGH) return false;
      const nlattr* parts[NDA_LLADDR + 1];
      indexAttributes(attributesOf(answer, sizeof(ndmsg)), parts);
      if (parts[NDA_LLADDR] == nullptr || mnl_attr_get_payload_len(parts[NDA_LLADDR]) != ETH_ALEN) return false;
      memcpy(out->data(), mnl_attr_get_payload(parts[NDA_LLADDR]), ETH_ALEN);
      return true;
    }
  }
}

class PacketSender : public Napi::ObjectWrap<PacketSender> {
 public:
  static void init(Napi::Env env, Napi::Object exports) {
    exports.Set("PacketSender", DefineClass(env, "PacketSender", 
                                            {InstanceMethod<&PacketSender::send>("send"), InstanceMethod<&PacketSender::sendFrame>("sendFrame"),
                                             InstanceMethod<&PacketSender::route>("route"), InstanceMethod<&PacketSender::close>("close")}));
  }

  explicit PacketSender(const Napi::CallbackInfo& info) : Napi::ObjectWrap<PacketSender>(info) {
    // Protocol 0: it sends and receives nothing.
    packets_ = UniqueFd(socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!packets_.valid()) {
      fail(info.Env(), {errno, "socket(AF_PACKET)"});
      return;
    }
    // Protocol IPPROTO_RAW: the header is in what is sent.
    const auto open = [&info](UniqueFd* fd, int family, int type, int protocol, const char* call) {
      *fd = UniqueFd(socket(family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol));
      if (!fd->valid()) fail(info.Env(), {errno, call});
      return fd->valid();
    };
    if (!open(&frames_, AF_PACKET, SOCK_RAW, 0, "socket(AF_PACKET)")) return;
    if (!open(&ipv4_, AF_INET, SOCK_RAW, IPPROTO_RAW, "socket(AF_INET, SOCK_RAW)")) return;
    // A host without IPv6 has no packets of it to send.
    ipv6_ = UniqueFd(socket(AF_INET6, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_RAW));
    if (Failure failure = routes_.open(NETLINK_ROUTE)) fail(info.Env(), failure);
  }

 private:
  Napi::Value send(const Napi::CallbackInfo& info) {
    size_t index = 0, ethertype = 0;
    const Napi::Object request = info[0].IsObject() ? info[0].As<Napi::Object>() : Napi::Object::New(info.Env());
    const Napi::Value packet = request.Get("packet");
    if (!readNumber(request, "interfaceIndex", 0x7fffffff, &index) || !readNumber(request, "ethertype", 0xffff, &ethertype) || !isBytes(packet)) {
      return fail(info.Env(), {EINVAL, "PacketSender.send", "wants {interfaceIndex, ethertype, packet}"});
    }
    const auto bytes = packet.As<Napi::Uint8Array>();
    const size_t least = ethertype == ETH_P_IP ? kIpv4Destination + 4 : kIpv6Destination + 16;
    if ((ethertype != ETH_P_IP && ethertype != ETH_P_IPV6) || bytes.ByteLength() < least) {
      return fail(info.Env(), {EINVAL, "PacketSender.send", "not an IP packet"});
    }
    if (!packets_.valid()) return fail(info.Env(), {EBADF, "PacketSender.send", "closed"});
    sockaddr_ll address{};
    address.sll_family = AF_PACKET;
    address.sll_protocol = htons(static_cast<uint16_t>(ethertype));
    address.sll_ifindex = static_cast<int>(index);
    address.sll_halen = ETH_ALEN;
    // The far end of a veth pair or TAP is the only reader: it takes a broadcast frame whose IP destination is its own.
    Mac mac = kBroadcast;
    neighbour(routes_, address.sll_ifindex, static_cast<uint16_t>(ethertype), bytes.Data(), &mac);
    memcpy(address.sll_addr, mac.data(), ETH_ALEN);
    if (sendto(packets_.get(), bytes.Data(), bytes.ByteLength(), MSG_NOSIGNAL, reinterpret_cast<sockaddr*>(&address), sizeof address) < 0) {
      return fail(info.Env(), {errno, "sendto"});
    }
    return info.Env().Undefined();
  }

  Napi::Value sendFrame(const Napi::CallbackInfo& info) {
    size_t index = 0;
    const Napi::Object request = info[0].IsObject() ? info[0].As<Napi::Object>() : Napi::Object::New(info.Env());
    const Napi::Value frame = request.Get("frame");
    if (!readNumber(request, "interfaceIndex", 0x7fffffff, &index) || !isBytes(frame) || frame.As<Napi::Uint8Array>().ByteLength() < ETH_HLEN) {
      return fail(info.Env(), {EINVAL, "PacketSender.sendFrame", "wants {interfaceIndex, frame}"});
    }
    if (!frames_.valid()) return fail(info.Env(), {EBADF, "PacketSender.sendFrame", "closed"});
    const auto bytes = frame.As<Napi::Uint8Array>();
    sockaddr_ll address{};
    address.sll_family = AF_PACKET;
    address.sll_ifindex = static_cast<int>(index);
    return sent(info, sendto(frames_.get(), bytes.Data(), bytes.ByteLength(), MSG_NOSIGNAL, reinterpret_cast<sockaddr*>(&address), sizeof address));
  }

  Napi::Value route(const Napi::CallbackInfo& info) {
    size_t index = 0, ethertype = 0;
    const Napi::Object request = info[0].IsObject() ? info[0].As<Napi::Object>() : Napi::Object::New(info.Env());
    const Napi::Value packet = request.Get("packet");
    if (!readNumber(request, "interfaceIndex", 0x7fffffff, &index) || !readNumber(request, "ethertype", 0xffff, &ethertype) || !isBytes(packet)) {
      return fail(info.Env(), {EINVAL, "PacketSender.route", "wants {interfaceIndex, ethertype, packet}"});
    }
    const auto bytes = packet.As<Napi::Uint8Array>();
    if (ethertype == ETH_P_IP && bytes.ByteLength() >= kIpv4Destination + 4) {
      if (!ipv4_.valid()) return fail(info.Env(), {EBADF, "PacketSender.route", "closed"});
      sockaddr_in address{};
      address.sin_family = AF_INET;
      memcpy(&address.sin_addr, bytes.Data() + kIpv4Destination, 4);
      return sent(info, sendto(ipv4_.get(), bytes.Data(), bytes.ByteLength(), MSG_NOSIGNAL, reinterpret_cast<sockaddr*>(&address), sizeof address));
    }
    if (ethertype == ETH_P_IPV6 && bytes.ByteLength() >= kIpv6Destination + 16) {
      if (!ipv6_.valid()) return fail(info.Env(), {EBADF, "PacketSender.route", "closed, or no IPv6"});
      sockaddr_in6 address{};
      address.sin6_family = AF_INET6;
      memcpy(&address.sin6_addr, bytes.Data() + kIpv6Destination, 16);
      if (IN6_IS_ADDR_LINKLOCAL(&address.sin6_addr)) address.sin6_scope_id = static_cast<uint32_t>(index);
      return sent(info, sendto(ipv6_.get(), bytes.Data(), bytes.ByteLength(), MSG_NOSIGNAL, reinterpret_cast<sockaddr*>(&address), sizeof address));
    }
    return fail(info.Env(), {EINVAL, "PacketSender.route", "not an IP packet"});
  }

  static Napi::Value sent(const Napi::CallbackInfo& info, ssize_t result) {
    return result < 0 ? fail(info.Env(), {errno, "sendto"}) : info.Env().Undefined();
  }

  Napi::Value close(const Napi::CallbackInfo& info) {
    packets_.reset();
    frames_.reset();
    ipv4_.reset();
    ipv6_.reset();
    routes_.close();
    return info.Env().Undefined();
  }

  UniqueFd packets_, frames_, ipv4_, ipv6_;
  NetlinkSocket routes_;
};

const Registration registration{PacketSender::init};

}  // namespace
}  // namespace dfw
