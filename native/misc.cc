// The small system calls of src/native/binding.ts: taps, peer credentials, the service manager's notification socket.
#include <errno.h>
#include <fcntl.h>
#include <linux/ethtool.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <linux/sockios.h>
#include <napi.h>
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>

#include <map>
#include <memory>

#include "arguments.h"
#include "netlink.h"
#include "registry.h"

namespace dfw {
namespace {

// The taps of one env, by descriptor: closeTap() closes nothing else, and the end of the env closes the rest.
using Taps = std::map<int, UniqueFd>;

// struct virtio_net_hdr without the merged buffer count (linux/virtio_net.h is not C++).
constexpr int kVnetHeaderSize = 10;

Failure attachTap(const UniqueFd& fd, const std::string& name, bool vnetHeader, bool persist, std::string* actual) {
  ifreq request{};
  request.ifr_flags = static_cast<short>(IFF_TAP | IFF_NO_PI | (vnetHeader ? IFF_VNET_HDR : 0));
  memcpy(request.ifr_name, name.c_str(), name.size());
  if (ioctl(fd.get(), TUNSETIFF, &request) < 0) return {errno, "ioctl(TUNSETIFF)"};
  *actual = request.ifr_name;
  if (vnetHeader) {
    int size = kVnetHeaderSize;
    if (ioctl(fd.get(), TUNSETVNETHDRSZ, &size) < 0) return {errno, "ioctl(TUNSETVNETHDRSZ)"};
  }
  // A persistent tap keeps the offloads of its former user: without the header nobody could read such frames.
  const unsigned offloads = vnetHeader ? TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 : 0;
  if (ioctl(fd.get(), TUNSETOFFLOAD, static_cast<unsigned long>(offloads)) < 0) return {errno, "ioctl(TUNSETOFFLOAD)"};
  if (ioctl(fd.get(), TUNSETPERSIST, persist ? 1UL : 0UL) < 0) return {errno, "ioctl(TUNSETPERSIST)"};
  return {};
}

Napi::Value openTap(const Napi::CallbackInfo& info) {
  auto* taps = static_cast<Taps*>(info.Data());
  const auto refuse = [&info](const char* what) { return fail(info.Env(), {EINVAL, "openTap", what}); };
  if (!info[0].IsObject()) return refuse("request is an object");
  const Napi::Object request = info[0].As<Napi::Object>();
  std::string name;
  bool vnetHeader = false;
  bool persist = false;
  if (!readString(request, "name", &name) || name.empty() || name.size() >= IFNAMSIZ) return refuse("name has 1 to 15 bytes");
  if (!readOptionalBool(request, "vnetHdr", &vnetHeader)) return refuse("vnetHdr is a boolean");
  if (!readOptionalBool(request, "persist", &persist)) return refuse("persist is a boolean");

  UniqueFd fd(open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK));
  if (!fd.valid()) return fail(info.Env(), {errno, "open", "/dev/net/tun"});
  std::string actual;
  if (Failure failure = attachTap(fd, name, vnetHeader, persist, &actual)) return fail(info.Env(), failure);
  const int number = fd.get();
  (*taps)[number] = std::move(fd);
  Napi::Object result = Napi::Object::New(info.Env());
  result.Set("fd", Napi::Number::New(info.Env(), number));
  result.Set("name", Napi::String::New(info.Env(), actual));
  return result;
}

Napi::Value closeTap(const Napi::CallbackInfo& info) {
  auto* taps = static_cast<Taps*>(info.Data());
  const int fd = info[0].IsNumber() ? info[0].As<Napi::Number>().Int32Value() : -1;
  if (taps->erase(fd) == 0) return fail(info.Env(), {EBADF, "closeTap", "not a tap of this addon"});
  return info.Env().Undefined();
}

Napi::Value peerCredentials(const Napi::CallbackInfo& info) {
  const int fd = info[0].IsNumber() ? info[0].As<Napi::Number>().Int32Value() : -1;
  ucred credentials{};
  socklen_t length = sizeof credentials;
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &length) < 0) return fail(info.Env(), {errno, "getsockopt(SO_PEERCRED)"});
  // Any socket answers; pid 0 is what one without a Unix peer (or a peer outside this pid namespace) gives.
  sockaddr_storage address{};
  length = sizeof address;
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&address), &length) < 0) return fail(info.Env(), {errno, "getsockname"});
  if (address.ss_family != AF_UNIX) return fail(info.Env(), {EAFNOSUPPORT, "peerCredentials", "not a Unix socket"});
  length = sizeof address;
  if (getpeername(fd, reinterpret_cast<sockaddr*>(&address), &length) < 0) return fail(info.Env(), {errno, "getpeername"});
  Napi::Object result = Napi::Object::New(info.Env());
  result.Set("pid", Napi::Number::New(info.Env(), credentials.pid));
  result.Set("uid", Napi::Number::New(info.Env(), credentials.uid));
  result.Set("gid", Napi::Number::New(info.Env(), credentials.gid));
  return result;
}

// ETHTOOL_STXCSUM off takes segmentation along: the kernel then finishes frames before the device gets them.
Napi::Value finishFrames(const Napi::CallbackInfo& info) {
  const std::string name = info[0].IsString() ? info[0].As<Napi::String>().Utf8Value() : std::string();
  if (name.empty() || name.size() >= IFNAMSIZ) return fail(info.Env(), {EINVAL, "finishFrames", "name has 1 to 15 bytes"});
  const UniqueFd fd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!fd.valid()) return fail(info.Env(), {errno, "socket", "AF_INET"});
  ethtool_value value{ETHTOOL_STXCSUM, 0};
  ifreq request{};
  memcpy(request.ifr_name, name.c_str(), name.size());
  request.ifr_data = reinterpret_cast<char*>(&value);
  if (ioctl(fd.get(), SIOCETHTOOL, &request) < 0) return fail(info.Env(), {errno, "ioctl(SIOCETHTOOL)", name});
  return info.Env().Undefined();
}

Napi::Value sdNotify(const Napi::CallbackInfo& info) {
  if (!info[0].IsString() || !info[1].IsString()) return fail(info.Env(), {EINVAL, "sdNotify", "socketPath and state are strings"});
  const std::string path = info[0].As<Napi::String>().Utf8Value();
  const std::string state = info[1].As<Napi::String>().Utf8Value();
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() < 2 || (path[0] != '/' && path[0] != '@')) return fail(info.Env(), {EINVAL, "sdNotify", "socketPath is /path or @name"});
  if (path.size() >= sizeof address.sun_path) return fail(info.Env(), {ENAMETOOLONG, "sdNotify"});
  memcpy(address.sun_path, path.c_str(), path.size());
  if (path[0] == '@') address.sun_path[0] = '\0';
  // An abstract name has no terminating zero; a path may have one.
  const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size() + (path[0] == '/' ? 1 : 0));
  UniqueFd fd(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!fd.valid()) return fail(info.Env(), {errno, "socket"});
  // Not waiting: a manager that does not read must not stop the loop; the caller may send again (EAGAIN).
  const ssize_t sent = sendto(fd.get(), state.data(), state.size(), MSG_NOSIGNAL | MSG_DONTWAIT, reinterpret_cast<sockaddr*>(&address), length);
  if (sent < 0) return fail(info.Env(), {errno, "sendto"});
  return info.Env().Undefined();
}

Napi::Value monotonicMs(const Napi::CallbackInfo& info) {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return Napi::Number::New(info.Env(), static_cast<double>(now.tv_sec) * 1e3 + static_cast<double>(now.tv_nsec) / 1e6);
}

void init(Napi::Env env, Napi::Object exports) {
  auto* taps = new Taps();
  env.AddCleanupHook([](Taps* owned) { delete owned; }, taps);
  exports.Set("openTap", Napi::Function::New(env, openTap, "openTap", taps));
  exports.Set("closeTap", Napi::Function::New(env, closeTap, "closeTap", taps));
  exports.Set("finishFrames", Napi::Function::New(env, finishFrames, "finishFrames"));
  exports.Set("peerCredentials", Napi::Function::New(env, peerCredentials, "peerCredentials"));
  exports.Set("sdNotify", Napi::Function::New(env, sdNotify, "sdNotify"));
  exports.Set("monotonicMs", Napi::Function::New(env, monotonicMs, "monotonicMs"));
}

const Registration registration{init};

}  // namespace
}  // namespace dfw
