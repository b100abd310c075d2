#include "host_interface.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_link.h>
#include <linux/net_namespace.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sched.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <vector>

#include "error.h"

namespace dfw::cni {
namespace {

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(other.fd_) { other.fd_ = -1; }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  Descriptor& operator=(Descriptor&&) = delete;
  ~Descriptor() {
    if (fd_ >= 0) close(fd_);
  }
  int get() const { return fd_; }

 private:
  int fd_;
};

struct Link {
  uint32_t index = 0;
  // Of the other end; 0 when there is none.
  uint32_t peer = 0;
  // The other end's namespace as this one numbers it; -1: this one.
  int32_t peerNamespace = -1;
  std::string kind;
  std::string mac;
  std::string name;
};

// A message of up to a few attributes.
class Message {
 public:
  Message(uint16_t type, const void* general, size_t size) {
    bytes_.resize(NLMSG_SPACE(size));
    header()->nlmsg_type = type;
    header()->nlmsg_flags = NLM_F_REQUEST;
    header()->nlmsg_seq = 1;
    memcpy(NLMSG_DATA(header()), general, size);
  }
  void put(uint16_t type, const void* value, size_t size) {
    const size_t at = bytes_.size();
    bytes_.resize(at + RTA_SPACE(size));
    auto* attribute = reinterpret_cast<rtattr*>(bytes_.data() + at);
    attribute->rta_type = type;
    attribute->rta_len = static_cast<unsigned short>(RTA_LENGTH(size));
    memcpy(RTA_DATA(attribute), value, size);
  }
  const std::vector<char>& finish() {
    header()->nlmsg_len = static_cast<uint32_t>(bytes_.size());
    return bytes_;
  }

 private:
  nlmsghdr* header() { return reinterpret_cast<nlmsghdr*>(bytes_.data()); }
  std::vector<char> bytes_;
};

// A socket stays in the namespace that it was made in.
Descriptor routeSocket() {
  Descriptor fd(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
  if (fd.get() < 0) throw Error(Code::io, "no netlink socket: " + systemText(errno));
  return fd;
}

// The one answer; errno as a positive number in `error` when the kernel refuses.
std::vector<char> ask(const Descriptor& socket, Message& message, int* error) {
  const std::vector<char>& bytes = message.finish();
  if (send(socket.get(), bytes.data(), bytes.size(), 0) < 0) throw Error(Code::io, "netlink: " + systemText(errno));
  std::vector<char> answer(32768);
  const ssize_t length = recv(socket.get(), answer.data(), answer.size(), MSG_TRUNC);
  if (length < 0) throw Error(Code::io, "netlink: " + systemText(errno));
  if (static_cast<size_t>(length) > answer.size() || static_cast<size_t>(length) < sizeof(nlmsghdr)) throw Error(Code::io, "netlink: an answer of unexpected size");
  answer.resize(static_cast<size_t>(length));
  const auto* header = reinterpret_cast<const nlmsghdr*>(answer.data());
  *error = 0;
  if (header->nlmsg_type == NLMSG_ERROR && answer.size() >= NLMSG_LENGTH(sizeof(nlmsgerr))) {
    *error = -static_cast<const nlmsgerr*>(NLMSG_DATA(header))->error;
  }
  return answer;
}

// Calls with each attribute behind a fixed header of `skipped` bytes.
template <typename Visit>
void eachAttribute(const char* start, size_t size, Visit visit) {
  const auto* attribute = reinterpret_cast<const rtattr*>(start);
  int left = static_cast<int>(size);
  for (; RTA_OK(attribute, left); attribute = RTA_NEXT(attribute, left)) {
    visit(attribute->rta_type & NLA_TYPE_MASK, static_cast<const char*>(RTA_DATA(attribute)), static_cast<size_t>(RTA_PAYLOAD(attribute)));
  }
}

template <typename Value>
void read(const char* data, size_t size, Value* value) {
  if (size >= sizeof *value) memcpy(value, data, sizeof *value);
}

std::string text(const char* data, size_t size) { return {data, strnlen(data, size)}; }

std::string macText(const char* data, size_t size) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string result;
  for (size_t position = 0; position < size; position++) {
    const auto byte = static_cast<unsigned char>(data[position]);
    if (position > 0) result += ':';
    result += kDigits[byte >> 4];
    result += kDigits[byte & 15];
  }
  return result;
}

// By name, or by index when the name is empty; nullopt when there is none.
std::optional<Link> readLink(const Descriptor& socket, const std::string& name, uint32_t index) {
  ifinfomsg general{};
  general.ifi_index = static_cast<int>(index);
  Message message(RTM_GETLINK, &general, sizeof general);
  if (!name.empty()) message.put(IFLA_IFNAME, name.c_str(), name.size() + 1);
  int error = 0;
  const std::vector<char> answer = ask(socket, message, &error);
  if (error == ENODEV) return std::nullopt;
  if (error != 0) throw Error(Code::io, "the interface cannot be read: " + systemText(error));
  if (answer.size() < NLMSG_LENGTH(sizeof(ifinfomsg))) throw Error(Code::io, "netlink: an answer that is cut off");
  Link link;
  link.index = static_cast<uint32_t>(static_cast<const ifinfomsg*>(NLMSG_DATA(answer.data()))->ifi_index);
  const size_t skipped = NLMSG_SPACE(sizeof(ifinfomsg));
  if (answer.size() < skipped) return link;
  eachAttribute(answer.data() + skipped, answer.size() - skipped, [&link](int type, const char* data, size_t size) {
    if (type == IFLA_IFNAME) link.name = text(data, size);
    else if (type == IFLA_LINK) read(data, size, &link.peer);
    else if (type == IFLA_LINK_NETNSID) read(data, size, &link.peerNamespace);
    else if (type == IFLA_ADDRESS && size == 6) link.mac = macText(data, size);
    else if (type == IFLA_LINKINFO) {
      eachAttribute(data, size, [&link](int inner, const char* value, size_t length) {
        if (inner == IFLA_INFO_KIND) link.kind = text(value, length);
      });
    }
  });
  return link;
}

// How this namespace numbers the one of `fd`; -1: it has no number, so nothing of here is over there.
int32_t namespaceId(const Descriptor& socket, const Descriptor& fd) {
  rtgenmsg general{};
  Message message(RTM_GETNSID, &general, sizeof general);
  const auto value = static_cast<uint32_t>(fd.get());
  message.put(NETNSA_FD, &value, sizeof value);
  int error = 0;
  const std::vector<char> answer = ask(socket, message, &error);
  int32_t id = NETNSA_NSID_NOT_ASSIGNED;
  if (error != 0) return id;
  const size_t skipped = NLMSG_SPACE(sizeof(rtgenmsg));
  if (answer.size() > skipped) {
    eachAttribute(answer.data() + skipped, answer.size() - skipped, [&id](int type, const char* data, size_t size) {
      if (type == NETNSA_NSID) read(data, size, &id);
    });
  }
  return id;
}

}  // namespace

std::string systemText(int error) { return strerror(error); }

ContainerInterface readContainerInterface(const std::string& namespacePath, const std::string& name) {
  const Descriptor here(open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC));
  const Descriptor there(open(namespacePath.c_str(), O_RDONLY | O_CLOEXEC));
  if (here.get() < 0) throw Error(Code::io, "/proc/self/ns/net cannot be opened: " + systemText(errno));
  if (there.get() < 0) throw Error(Code::io, "CNI_NETNS " + namespacePath + " cannot be opened: " + systemText(errno));
  const Descriptor host = routeSocket();
  if (setns(there.get(), CLONE_NEWNET) < 0) throw Error(Code::io, "CNI_NETNS " + namespacePath + " cannot be entered: " + systemText(errno));
  const Descriptor inside = routeSocket();
  if (setns(here.get(), CLONE_NEWNET) < 0) throw Error(Code::io, "the host's network namespace cannot be entered again: " + systemText(errno));

  const std::optional<Link> link = readLink(inside, name, 0);
  if (!link) throw Error(Code::noInterface, "the container has no interface " + name);
  ContainerInterface result{link->mac, std::nullopt};
  if (link->kind != "veth" || link->peer == 0) return result;
  // Another namespace may have an interface of this number as well: both ends must name each other, and each other's namespaces.
  const std::optional<Link> other = readLink(host, "", link->peer);
  const int32_t number = namespaceId(host, there);
  const bool both = other && other->kind == "veth" && other->peer == link->index && number >= 0 && other->peerNamespace == number;
  if (both) result.hostName = other->name;
  return result;
}

bool isBridge(const std::string& name) {
  const std::optional<Link> link = readLink(routeSocket(), name, 0);
  return link && (link->kind == "bridge" || link->kind == "openvswitch");
}

bool exists(const std::string& name) { return if_nametoindex(name.c_str()) != 0; }

}  // namespace dfw::cni
