// PacketSender of src/native/binding.ts: packets put on an interface as they are, past routing and netfilter's IP hooks (packet(7)).
#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/if_ether.h>
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
    exports.Set("PacketSender", DefineClass(env, "PacketSender", {InstanceMethod<&PacketSender::send>("send"), InstanceMethod<&PacketSender::close>("close")}));
  }

  explicit PacketSender(const Napi::CallbackInfo& info) : Napi::ObjectWrap<PacketSender>(info) {
    // Protocol 0: it sends and receives nothing.
    packets_ = UniqueFd(socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!packets_.valid()) {
      fail(info.Env(), {errno, "socket(AF_PACKET)"});
      return;
    }
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

  Napi::Value close(const Napi::CallbackInfo& info) {
    packets_.reset();
    routes_.close();
    return info.Env().Undefined();
  }

  UniqueFd packets_;
  NetlinkSocket routes_;
};

const Registration registration{PacketSender::init};

}  // namespace
}  // namespace dfw
