// ReturnPaths of src/native/binding.ts: attaches the program of return_program.h to a device, behind queueing discipline clsact (rtnetlink, linux/pkt_sched.h, linux/pkt_cls.h).
#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <napi.h>
#include <string.h>

#include <memory>
#include <string>
#include <vector>

#include "arguments.h"
#include "attributes.h"
#include "registry.h"
#include "return_program.h"
#include "serial_queue.h"

namespace dfw {
namespace {

// Where our filter stands among others of the device: how it is recognized, with its name.
constexpr uint32_t kPriority = 0xdf77;
constexpr uint32_t kHandle = 1;
constexpr char kFilterName[] = "dfw_return";

// One rtnetlink request about a device's filters or queueing discipline.
class TrafficMessage {
 public:
  TrafficMessage(uint16_t type, uint16_t flags, int interfaceIndex) {
    header_ = mnl_nlmsg_put_header(buffer_);
    header_->nlmsg_type = type;
    header_->nlmsg_flags = flags;
    general_ = static_cast<tcmsg*>(mnl_nlmsg_put_extra_header(header_, sizeof(tcmsg)));
    general_->tcm_family = AF_UNSPEC;
    general_->tcm_ifindex = interfaceIndex;
  }
  void filter(uint32_t handle) {
    general_->tcm_parent = TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_INGRESS);
    general_->tcm_handle = handle;
    general_->tcm_info = TC_H_MAKE(kPriority << 16, htons(ETH_P_ALL));
  }
  nlmsghdr* header() { return header_; }
  tcmsg* general() { return general_; }

 private:
  alignas(NLMSG_ALIGNTO) uint8_t buffer_[512];
  nlmsghdr* header_;
  tcmsg* general_;
};

// Id of the program of our filter on the device; 0: there is none.
Failure readProgram(NetlinkSocket& socket, int interfaceIndex, uint32_t* id) {
  TrafficMessage request(RTM_GETTFILTER, 0, interfaceIndex);
  request.filter(0);
  NetlinkSocket::Dump dump;
  dump.call = "RTM_GETTFILTER";
  dump.restart = [id] { *id = 0; };
  dump.onMessage = [id](const nlmsghdr* message) -> Failure {
    if (message->nlmsg_type != RTM_NEWTFILTER) return {};
    if (mnl_nlmsg_get_payload_len(message) < sizeof(tcmsg)) return {EBADMSG, "RTM_GETTFILTER"};
    const nlattr* parts[TCA_OPTIONS + 1];
    indexAttributes(attributesOf(message, sizeof(tcmsg)), parts);
    if (attributeText(parts[TCA_KIND]) != "bpf" || parts[TCA_OPTIONS] == nullptr) return {};
    const nlattr* options[TCA_BPF_ID + 1];
    indexAttributes(attributesOf(parts[TCA_OPTIONS]), options);
    if (attributeText(options[TCA_BPF_NAME]) != kFilterName) return {};
    readAttribute(options[TCA_BPF_ID], id);
    return {};
  };
  return socket.dump(request.header(), dump);
}

class SetJob : public Job {
 public:
  SetJob(std::shared_ptr<NetlinkSocket> socket, int interfaceIndex, uint32_t mark, std::vector<ReturnEntry> entries)
      : socket_(std::move(socket)), interfaceIndex_(interfaceIndex), mark_(mark), entries_(std::move(entries)) {}

  Failure run() override {
    UniqueFd program;
    if (Failure failure = loadReturnProgram(entries_.data(), entries_.size(), mark_, &program)) return failure;
    TrafficMessage discipline(RTM_NEWQDISC, NLM_F_CREATE | NLM_F_EXCL, interfaceIndex_);
    discipline.general()->tcm_parent = TC_H_CLSACT;
    discipline.general()->tcm_handle = TC_H_MAKE(TC_H_CLSACT, 0);
    mnl_attr_put_strz(discipline.header(), TCA_KIND, "clsact");
    // Somebody else's is as good.
    if (Failure failure = socket_->request(discipline.header(), "RTM_NEWQDISC"); failure && failure.error != EEXIST) return failure;

    TrafficMessage filter(RTM_NEWTFILTER, NLM_F_CREATE, interfaceIndex_);
    filter.filter(kHandle);
    mnl_attr_put_strz(filter.header(), TCA_KIND, "bpf");
    nlattr* options = mnl_attr_nest_start(filter.header(), TCA_OPTIONS);
    mnl_attr_put_u32(filter.header(), TCA_BPF_FD, static_cast<uint32_t>(program.get()));
    mnl_attr_put_strz(filter.header(), TCA_BPF_NAME, kFilterName);
    mnl_attr_put_u32(filter.header(), TCA_BPF_FLAGS, TCA_BPF_FLAG_ACT_DIRECT);
    mnl_attr_nest_end(filter.header(), options);
    if (Failure failure = socket_->request(filter.header(), "RTM_NEWTFILTER")) return failure;
    return readProgram(*socket_, interfaceIndex_, &id_);
  }

  Napi::Value result(Napi::Env env) override { return Napi::Number::New(env, id_); }

 private:
  std::shared_ptr<NetlinkSocket> socket_;
  int interfaceIndex_;
  uint32_t mark_;
  std::vector<ReturnEntry> entries_;
  uint32_t id_ = 0;
};

class ReadJob : public Job {
 public:
  ReadJob(std::shared_ptr<NetlinkSocket> socket, int interfaceIndex) : socket_(std::move(socket)), interfaceIndex_(interfaceIndex) {}
  Failure run() override { return readProgram(*socket_, interfaceIndex_, &id_); }
  Napi::Value result(Napi::Env env) override { return Napi::Number::New(env, id_); }

 private:
  std::shared_ptr<NetlinkSocket> socket_;
  int interfaceIndex_;
  uint32_t id_ = 0;
};

class RemoveJob : public Job {
 public:
  RemoveJob(std::shared_ptr<NetlinkSocket> socket, int interfaceIndex) : socket_(std::move(socket)), interfaceIndex_(interfaceIndex) {}
  // Queueing discipline clsact stays: others may have put filters behind it.
  Failure run() override {
    uint32_t id = 0;
    if (Failure failure = readProgram(*socket_, interfaceIndex_, &id); failure || id == 0) return failure;
    TrafficMessage filter(RTM_DELTFILTER, 0, interfaceIndex_);
    filter.filter(kHandle);
    mnl_attr_put_strz(filter.header(), TCA_KIND, "bpf");
    return socket_->request(filter.header(), "RTM_DELTFILTER");
  }
  Napi::Value result(Napi::Env env) override { return env.Undefined(); }

 private:
  std::shared_ptr<NetlinkSocket> socket_;
  int interfaceIndex_;
};

class ReturnPaths : public Napi::ObjectWrap<ReturnPaths> {
 public:
  static void init(Napi::Env env, Napi::Object exports) {
    exports.Set("ReturnPaths", DefineClass(env, "ReturnPaths",
                                           {InstanceMethod<&ReturnPaths::set>("set"), InstanceMethod<&ReturnPaths::read>("read"),
                                            InstanceMethod<&ReturnPaths::remove>("remove"), InstanceMethod<&ReturnPaths::close>("close")}));
  }

  explicit ReturnPaths(const Napi::CallbackInfo& info)
      : Napi::ObjectWrap<ReturnPaths>(info), socket_(std::make_shared<NetlinkSocket>()), queue_(std::make_shared<SerialQueue>()) {
    if (Failure failure = socket_->open(NETLINK_ROUTE)) fail(info.Env(), failure);
  }

 private:
  static constexpr double kIndexLimit = 0x7fffffff;
  static constexpr double kMarkLimit = 0xffffffff;

  static bool readIndex(const Napi::Value& value, int* index) {
    if (!value.IsNumber()) return false;
    const double number = value.As<Napi::Number>().DoubleValue();
    if (!(number >= 1 && number <= kIndexLimit)) return false;
    *index = static_cast<int>(number);
    return true;
  }

  Napi::Value set(const Napi::CallbackInfo& info) {
    const auto refuse = [&info](const char* what) { return rejected(info.Env(), {EINVAL, "set", what}); };
    int index = 0;
    if (!readIndex(info[0], &index)) return refuse("interfaceIndex is a number");
    if (!info[1].IsObject()) return refuse("request is an object");
    const Napi::Object request = info[1].As<Napi::Object>();
    size_t mark = 0;
    if (!readNumber(request, "mark", kMarkLimit, &mark)) return refuse("mark is a number of 32 bits");
    const Napi::Value packed = request.Get("entries");
    if (!isBytes(packed)) return refuse("entries is a Uint8Array");
    const auto bytes = packed.As<Napi::Uint8Array>();
    if (bytes.ByteLength() % sizeof(ReturnEntry) != 0) return refuse("entries has 12 bytes for each");
    std::vector<ReturnEntry> entries(bytes.ByteLength() / sizeof(ReturnEntry));
    if (!entries.empty()) memcpy(entries.data(), bytes.Data(), bytes.ByteLength());
    for (const ReturnEntry& entry : entries) {
      if (entry.side != kReturnSource && entry.side != kReturnDestination) return refuse("side is 0 or 1");
    }
    return queue_->push(info.Env(), std::make_unique<SetJob>(socket_, index, static_cast<uint32_t>(mark), std::move(entries)));
  }

  Napi::Value read(const Napi::CallbackInfo& info) {
    int index = 0;
    if (!readIndex(info[0], &index)) return rejected(info.Env(), {EINVAL, "read", "interfaceIndex is a number"});
    return queue_->push(info.Env(), std::make_unique<ReadJob>(socket_, index));
  }

  Napi::Value remove(const Napi::CallbackInfo& info) {
    int index = 0;
    if (!readIndex(info[0], &index)) return rejected(info.Env(), {EINVAL, "remove", "interfaceIndex is a number"});
    return queue_->push(info.Env(), std::make_unique<RemoveJob>(socket_, index));
  }

  void close(const Napi::CallbackInfo& info) {
    queue_->close(info.Env());
    socket_.reset();
  }

  std::shared_ptr<NetlinkSocket> socket_;
  std::shared_ptr<SerialQueue> queue_;
};

const Registration registration{ReturnPaths::init};

}  // namespace
}  // namespace dfw
