// PacketCapture of src/native/binding.ts: packets of one interface through libpcap (pcap(3PCAP)), as records of a pcap file.
#include <errno.h>
#include <linux/if_packet.h>
#include <napi.h>
#include <pcap/pcap.h>
#include <sys/socket.h>

#include <memory>

#include "arguments.h"
#include "byte_buffer.h"
#include "event_poll.h"
#include "js_bytes.h"
#include "registry.h"
#include "serial_queue.h"

namespace dfw {
namespace {

// The kernel's ring: packets wait here for the loop, what does not fit is counted as lost.
constexpr int kRingBytes = 8 << 20;
// The kernel hands over a part of the ring that is not full after this long.
constexpr int kTimeoutMs = 10;
// One iteration of the loop reads little more than this, so that a flood does not starve the rest of the process.
constexpr size_t kDrainLimit = 1 << 20;
constexpr int kPacketsAtOnce = 64;
constexpr size_t kSnaplenLimit = 262'144;
// libpcap's optimizer takes cubic time: with `host A or host B ...` half a second for 4 kB, minutes for 20 kB.
constexpr size_t kFilterLimit = 4096;

struct PcapClose {
  void operator()(pcap_t* handle) const { pcap_close(handle); }
};
using Pcap = std::unique_ptr<pcap_t, PcapClose>;

// The record header of pcap-savefile(5).
struct RecordHeader {
  uint32_t seconds, microseconds, captured, length;
};

struct Batch {
  ByteBuffer records;
  size_t count = 0;
  size_t dropped = 0;  // for lack of memory
};

// Called by pcap_dispatch. No JavaScript here: a listener that stops the capture would free the handle under libpcap's feet.
void append(u_char* user, const pcap_pkthdr* header, const u_char* packet) {
  auto* batch = reinterpret_cast<Batch*>(user);
  const RecordHeader record{static_cast<uint32_t>(header->ts.tv_sec), static_cast<uint32_t>(header->ts.tv_usec), header->caplen, header->len};
  uint8_t* place = batch->records.extend(sizeof record + header->caplen);
  if (place == nullptr) {
    ++batch->dropped;
    return;
  }
  memcpy(place, &record, sizeof record);
  memcpy(place + sizeof record, packet, header->caplen);
  ++batch->count;
}

int errnoOf(int status) {
  switch (status) {
    case PCAP_ERROR_NO_SUCH_DEVICE: return ENODEV;
    case PCAP_ERROR_PERM_DENIED: return EPERM;
    case PCAP_ERROR_IFACE_NOT_UP: return ENETDOWN;
    default: return EIO;
  }
}

// LINKTYPE_* of a file for DLT_* of this system: they differ where systems had numbers of their own (pcap-linktype(7)).
int linkTypeOf(int datalink) {
  constexpr int kLinkTypeRaw = 101;
  return datalink == DLT_RAW ? kLinkTypeRaw : datalink;
}

struct CaptureOptions {
  std::string interface, filter;
  size_t snaplen = 0;
};

Failure openPcap(const CaptureOptions& options, Pcap* out) {
  char text[PCAP_ERRBUF_SIZE] = "";
  Pcap handle(pcap_create(options.interface.c_str(), text));
  if (handle == nullptr) return {EIO, "pcap_create", text};
  // These fail on an activated handle only.
  pcap_set_snaplen(handle.get(), static_cast<int>(options.snaplen));
  pcap_set_promisc(handle.get(), 0);
  pcap_set_timeout(handle.get(), kTimeoutMs);
  pcap_set_buffer_size(handle.get(), kRingBytes);
  const int status = pcap_activate(handle.get());
  if (status < 0) return {errnoOf(status), "pcap_activate", pcap_geterr(handle.get())};
  if (pcap_setnonblock(handle.get(), 1, text) < 0) return {EIO, "pcap_setnonblock", text};
  if (pcap_get_selectable_fd(handle.get()) < 0) return {EIO, "pcap_get_selectable_fd"};
  if (!options.filter.empty()) {
    bpf_program program{};
    // No netmask: a vNIC's end in the host has no address that `ip broadcast` could mean.
    if (pcap_compile(handle.get(), &program, options.filter.c_str(), 1, PCAP_NETMASK_UNKNOWN) < 0) {
      return {EINVAL, "pcap_compile", pcap_geterr(handle.get())};
    }
    const int set = pcap_setfilter(handle.get(), &program);
    pcap_freecode(&program);
    if (set < 0) return {EIO, "pcap_setfilter", pcap_geterr(handle.get())};
  }
  *out = std::move(handle);
  return {};
}

// Closing a packet socket waits until no CPU uses it any more (tens of milliseconds): not on the loop's thread.
class CloseJob : public Job {
 public:
  explicit CloseJob(Pcap handle) : handle_(std::move(handle)) {}
  Failure run() override {
    handle_.reset();
    return {};
  }
  Napi::Value result(Napi::Env env) override { return env.Undefined(); }

 private:
  Pcap handle_;
};

class PacketCapture : public Napi::ObjectWrap<PacketCapture> {
 public:
  static void init(Napi::Env env, Napi::Object exports) {
    exports.Set("PacketCapture", DefineClass(env, "PacketCapture",
                                             {InstanceMethod<&PacketCapture::start>("start"), InstanceMethod<&PacketCapture::stop>("stop"),
                                              InstanceMethod<&PacketCapture::attached>("attached"), InstanceMethod<&PacketCapture::lost>("lost")}));
  }

  explicit PacketCapture(const Napi::CallbackInfo& info) : Napi::ObjectWrap<PacketCapture>(info), queue_(std::make_shared<SerialQueue>()) {
    const Napi::Object options = info[0].IsObject() ? info[0].As<Napi::Object>() : Napi::Object::New(info.Env());
    const char* wrong = nullptr;
    if (!readString(options, "interface", &options_.interface) || options_.interface.empty()) {
      wrong = "interface is a name";
    } else if (!readNumber(options, "snaplen", kSnaplenLimit, &options_.snaplen) || options_.snaplen == 0) {
      wrong = "snaplen is 1..262144";
    } else if (!options.Get("filter").IsUndefined() && (!readString(options, "filter", &options_.filter) || options_.filter.size() > kFilterLimit)) {
      wrong = "filter is an expression of at most 4096 bytes";
    }
    if (wrong != nullptr) fail(info.Env(), {EINVAL, "PacketCapture", wrong});
  }
  ~PacketCapture() override {
    if (poll_ != nullptr) poll_->stop();  // before the handle goes, and its descriptor with it
  }

 private:
  // Opens on a worker thread; the object is alive until opened(), which gives back the reference that start() took.
  class OpenJob : public Job {
   public:
    OpenJob(PacketCapture* owner, uint64_t turn) : owner_(owner), turn_(turn), options_(owner->options_) {}
    Failure run() override {
      failure_ = openPcap(options_, &handle_);
      return {};
    }
    Napi::Value result(Napi::Env env) override { return owner_->opened(env, turn_, std::move(handle_), std::move(failure_)); }

   private:
    PacketCapture* owner_;
    const uint64_t turn_;
    const CaptureOptions options_;
    Pcap handle_;
    Failure failure_;
  };

  Napi::Value start(const Napi::CallbackInfo& info) {
    if (!info[0].IsFunction()) return rejected(info.Env(), {EINVAL, "PacketCapture.start", "listener is a function"});
    if (started_) return rejected(info.Env(), {EALREADY, "PacketCapture.start"});
    started_ = true;
    listener_ = Napi::Persistent(info[0].As<Napi::Function>());
    Ref();  // a started capture is not garbage even when nobody holds it
    return queue_->push(info.Env(), std::make_unique<OpenJob>(this, ++turn_));
  }

  Napi::Value opened(Napi::Env env, uint64_t turn, Pcap handle, Failure failure) {
    if (!failure && turn != turn_) failure = {ECANCELED, "PacketCapture.stop"};
    std::shared_ptr<EventPoll> poll;
    if (!failure) poll = EventPoll::start(env, pcap_get_selectable_fd(handle.get()), [this](Napi::Env loopEnv) { read(loopEnv); }, &failure);
    if (failure) {
      if (handle != nullptr) queue_->push(env, std::make_unique<CloseJob>(std::move(handle)));
      if (turn == turn_) started_ = false;
      Unref();
      return fail(env, failure);
    }
    poll_ = std::move(poll);
    handle_ = std::move(handle);
    lost_ = 0;
    context_ = std::make_shared<Napi::AsyncContext>(env, "dfw.PacketCapture");
    return Napi::Number::New(env, linkTypeOf(pcap_datalink(handle_.get())));
  }

  void stop(const Napi::CallbackInfo& info) { end(info.Env()); }

  Napi::Value attached(const Napi::CallbackInfo& info) {
    // The kernel takes the index off the socket when the interface goes, and binds it to no later one of that name.
    sockaddr_ll address{};
    socklen_t length = sizeof address;
    const bool is = handle_ != nullptr && getsockname(pcap_get_selectable_fd(handle_.get()), reinterpret_cast<sockaddr*>(&address), &length) == 0 &&
                    address.sll_ifindex > 0;
    return Napi::Boolean::New(info.Env(), is);
  }

  Napi::Value lost(const Napi::CallbackInfo& info) { return Napi::Number::New(info.Env(), static_cast<double>(lost_ + droppedByKernel())); }

  uint32_t droppedByKernel() {
    pcap_stat stats{};
    return handle_ != nullptr && pcap_stats(handle_.get(), &stats) == 0 ? stats.ps_drop : 0;
  }

  void read(Napi::Env env) {
    Batch batch;
    int status = 0;
    do {
      status = pcap_dispatch(handle_.get(), kPacketsAtOnce, append, reinterpret_cast<u_char*>(&batch));
    } while (status > 0 && batch.records.size() < kDrainLimit);
    lost_ += batch.dropped;
    // A listener that stops the capture makes this object garbage: what its call needs is held here. After a failure the interface is
    // gone or the socket broken, which attached() tells.
    const std::shared_ptr<Napi::AsyncContext> context = context_;
    const Napi::FunctionReference listener = Napi::Persistent(listener_.Value());
    if (status < 0) end(env);
    if (batch.count == 0) return;
    const Napi::Uint8Array bytes = bytesToJs(env, batch.records.data(), batch.records.size());
    if (bytes.IsEmpty()) return;
    callListener(env, listener, *context, {bytes, Napi::Number::New(env, static_cast<double>(batch.count))});
  }

  void end(Napi::Env env) {
    if (!started_) return;
    started_ = false;
    ++turn_;
    listener_.Reset();
    if (handle_ == nullptr) return;  // it is being opened: opened() sees that its turn is over
    lost_ += droppedByKernel();
    poll_->stop();  // first: the descriptor may be closed after it
    poll_.reset();
    queue_->push(env, std::make_unique<CloseJob>(std::move(handle_)));
    Unref();
  }

  CaptureOptions options_;
  std::shared_ptr<SerialQueue> queue_;
  bool started_ = false;
  uint64_t turn_ = 0;  // each start and each end of one begins another
  Pcap handle_;
  std::shared_ptr<EventPoll> poll_;
  Napi::FunctionReference listener_;
  std::shared_ptr<Napi::AsyncContext> context_;
  uint64_t lost_ = 0;
};

const Registration registration{PacketCapture::init};

}  // namespace
}  // namespace dfw
