// PacketRing of src/native/binding.ts: the newest frames of an interface in memory (packet(7)), read by a thread of its own.
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <napi.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "arguments.h"
#include "failure.h"
#include "js_bytes.h"
#include "netlink.h"
#include "registry.h"
#include "serial_queue.h"

namespace dfw {
namespace {

// The largest frame that Linux hands over before segmentation is 64 kB of payload and its headers; what is longer is cut.
constexpr size_t kLargestFrame = 66 * 1024;
constexpr int kReceiveBuffer = 8 << 20;
constexpr double kLargestRing = 4294967296.0;
constexpr size_t kLeastRing = 1 << 20;
// Frames read before the thread looks whether it shall end.
constexpr int kFramesAtOnce = 256;

using Address = std::array<uint8_t, 16>;

struct End {
  Address address{};
  uint16_t port = 0;
  bool operator==(const End& other) const { return address == other.address && port == other.port; }
};

struct Wanted {
  int family = AF_INET;
  uint8_t protocol = 0;
  bool hasPorts = false;
  End a, b;
};

uint16_t word(const uint8_t* at) { return static_cast<uint16_t>(at[0] << 8 | at[1]); }

bool between(const Wanted& wanted, const End& from, const End& to, bool ports) {
  if (!ports) return (from.address == wanted.a.address && to.address == wanted.b.address) || (from.address == wanted.b.address && to.address == wanted.a.address);
  return (from == wanted.a && to == wanted.b) || (from == wanted.b && to == wanted.a);
}

// A fragment behind the first has no ports (RFC 791, RFC 8200 4.5): its addresses and protocol must do.
bool transportMatches(const Wanted& wanted, uint8_t protocol, End from, End to, const uint8_t* transport, size_t left, bool laterFragment) {
  if (protocol != wanted.protocol) return false;
  if (!wanted.hasPorts || laterFragment) return between(wanted, from, to, false);
  if (left < 4) return false;
  from.port = word(transport);
  to.port = word(transport + 2);
  return between(wanted, from, to, true);
}

bool matches4(const Wanted& wanted, const uint8_t* packet, size_t size) {
  if (wanted.family != AF_INET || size < 20) return false;
  const size_t header = static_cast<size_t>(packet[0] & 15) * 4;
  if (packet[0] >> 4 != 4 || header < 20 || size < header) return false;
  End from, to;
  memcpy(from.address.data(), packet + 12, 4);
  memcpy(to.address.data(), packet + 16, 4);
  return transportMatches(wanted, packet[9], from, to, packet + header, size - header, (word(packet + 6) & 0x1fff) != 0);
}

bool matches6(const Wanted& wanted, const uint8_t* packet, size_t size) {
  if (wanted.family != AF_INET6 || size < 40 || packet[0] >> 4 != 6) return false;
  End from, to;
  memcpy(from.address.data(), packet + 8, 16);
  memcpy(to.address.data(), packet + 24, 16);
  uint8_t next = packet[6];
  size_t at = 40;
  bool laterFragment = false;
  // Extension headers (RFC 8200, 4): hop-by-hop options, routing, fragment, destination options.
  while (next == 0 || next == 43 || next == 44 || next == 60) {
    if (size < at + 8) return false;
    if (next == 44) laterFragment = laterFragment || (word(packet + at + 2) & 0xfff8) != 0;
    const size_t length = next == 44 ? 8 : (static_cast<size_t>(packet[at + 1]) + 1) * 8;
    next = packet[at];
    at += length;
    if (size < at) return false;
    if (laterFragment) break;
  }
  return transportMatches(wanted, next, from, to, packet + at, size - at, laterFragment);
}

bool matches(const Wanted& wanted, const uint8_t* frame, size_t size) {
  size_t at = 12;
  while (size >= at + 2) {
    const uint16_t ethertype = word(frame + at);
    at += 2;
    if (ethertype == ETH_P_IP) return matches4(wanted, frame + at, size - at);
    if (ethertype == ETH_P_IPV6) return matches6(wanted, frame + at, size - at);
    if (ethertype != ETH_P_8021Q && ethertype != ETH_P_8021AD) return false;
    at += 2;
  }
  return false;
}

struct Record {
  uint32_t size;      // of record and frame in the ring, a multiple of 8
  uint32_t captured;  // bytes of the frame that are here
  uint32_t length;    // bytes that it had
  uint32_t reserved;
  uint64_t time;  // ns since 1970
};

// Records one behind the other in one piece of memory; the oldest give way. Guarded by its user.
class Ring {
 public:
  explicit Ring(size_t capacity) : capacity_(capacity) {}
  ~Ring() {
    if (memory_ != nullptr) munmap(memory_, capacity_);
  }
  Ring(const Ring&) = delete;
  Ring& operator=(const Ring&) = delete;

  Failure allocate() {
    // Pages come as they are written.
    void* memory = mmap(nullptr, capacity_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) return {errno, "mmap"};
    memory_ = static_cast<uint8_t*>(memory);
    return {};
  }

  void push(const uint8_t* frame, size_t captured, size_t length, uint64_t time) {
    const size_t size = (sizeof(Record) + captured + 7) & ~size_t{7};
    if (size > capacity_) return;
    for (;;) {
      if (count_ == 0) reset();
      if (!wrapped_ && head_ + size <= capacity_) break;
      if (!wrapped_) {
        end_ = head_;
        head_ = 0;
        wrapped_ = true;
      }
      if (head_ + size <= tail_) break;
      dropOldest();
    }
    const Record record{static_cast<uint32_t>(size), static_cast<uint32_t>(captured), static_cast<uint32_t>(length), 0, time};
    memcpy(memory_ + head_, &record, sizeof record);
    memcpy(memory_ + head_ + sizeof record, frame, captured);
    head_ += size;
    count_ += 1;
    used_ += size;
  }

  template <typename Visit>
  void each(Visit visit) const {
    size_t at = tail_;
    bool wrapped = wrapped_;
    for (size_t i = 0; i < count_; ++i) {
      if (wrapped && at == end_) {
        at = 0;
        wrapped = false;
      }
      Record record;
      memcpy(&record, memory_ + at, sizeof record);
      if (!visit(record, memory_ + at + sizeof record)) return;
      at += record.size;
    }
  }

  size_t count() const { return count_; }
  size_t used() const { return used_; }
  size_t capacity() const { return capacity_; }
  uint64_t oldest() const {
    uint64_t time = 0;
    each([&](const Record& record, const uint8_t*) {
      time = record.time;
      return false;
    });
    return time;
  }

 private:
  void reset() {
    head_ = tail_ = end_ = used_ = 0;
    wrapped_ = false;
  }

  void dropOldest() {
    if (count_ == 0) return;
    Record record;
    memcpy(&record, memory_ + tail_, sizeof record);
    tail_ += record.size;
    used_ -= record.size;
    count_ -= 1;
    if (wrapped_ && tail_ == end_) {
      tail_ = 0;
      wrapped_ = false;
      if (count_ == 0) reset();
    }
  }

  const size_t capacity_;
  uint8_t* memory_ = nullptr;
  size_t head_ = 0, tail_ = 0;
  size_t end_ = 0;  // where the records before the wrap end
  bool wrapped_ = false;
  size_t count_ = 0, used_ = 0;
};

struct Stats {
  uint64_t packets = 0, dropped = 0, kept = 0, used = 0, capacity = 0, oldest = 0;
};

struct Found {
  std::vector<uint8_t> bytes;
  bool complete = true;
  uint64_t oldest = 0;
};

// Socket, thread and ring. Shared with queries that run while it is stopped.
class Capture {
 public:
  explicit Capture(size_t capacity) : ring_(capacity) {}
  ~Capture() { stop(); }

  Failure start(int interfaceIndex) {
    if (Failure failure = ring_.allocate()) return failure;
    // Protocol 0: it receives nothing before bind().
    socket_ = UniqueFd(socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!socket_.valid()) return {errno, "socket(AF_PACKET)"};
    const int on = 1;
    if (setsockopt(socket_.get(), SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on) < 0) return {errno, "setsockopt(SO_TIMESTAMPNS)"};
    if (setsockopt(socket_.get(), SOL_SOCKET, SO_RCVBUFFORCE, &kReceiveBuffer, sizeof kReceiveBuffer) < 0) {
      setsockopt(socket_.get(), SOL_SOCKET, SO_RCVBUF, &kReceiveBuffer, sizeof kReceiveBuffer);
    }
    if (Failure failure = bind(interfaceIndex)) return failure;
    ending_ = UniqueFd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!ending_.valid()) return {errno, "eventfd"};
    thread_ = std::thread([this] { run(); });
    return {};
  }

  Failure bind(int interfaceIndex) {
    sockaddr_ll address{};
    address.sll_family = AF_PACKET;
    address.sll_protocol = htons(ETH_P_ALL);
    address.sll_ifindex = interfaceIndex;
    if (::bind(socket_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) < 0) return {errno, "bind(AF_PACKET)"};
    return {};
  }

  void stop() {
    if (!thread_.joinable()) return;
    const uint64_t one = 1;
    // An eventfd takes this whatever happens: its counter is far from its end.
    if (write(ending_.get(), &one, sizeof one) < 0) return;
    thread_.join();
    socket_.reset();
  }

  Stats stats() {
    const std::lock_guard<std::mutex> lock(mutex_);
    tpacket_stats counters{};
    socklen_t size = sizeof counters;
    // Reading starts the kernel's counters again.
    if (socket_.valid() && getsockopt(socket_.get(), SOL_PACKET, PACKET_STATISTICS, &counters, &size) == 0) dropped_ += counters.tp_drops;
    return {packets_, dropped_, ring_.count(), ring_.used(), ring_.capacity(), ring_.oldest()};
  }

  Found find(const Wanted& wanted, uint64_t from, uint64_t to, size_t limit) {
    const std::lock_guard<std::mutex> lock(mutex_);
    Found found;
    found.oldest = ring_.oldest();
    ring_.each([&](const Record& record, const uint8_t* frame) {
      if (record.time < from || record.time > to || !matches(wanted, frame, record.captured)) return true;
      if (found.bytes.size() + record.size > limit) {
        found.complete = false;
        return false;
      }
      const auto* head = reinterpret_cast<const uint8_t*>(&record);
      found.bytes.insert(found.bytes.end(), head, head + sizeof record);
      found.bytes.insert(found.bytes.end(), frame, frame + record.captured);
      found.bytes.resize((found.bytes.size() + 7) & ~size_t{7});
      return true;
    });
    return found;
  }

 private:
  void run() {
    std::vector<uint8_t> frame(kLargestFrame);
    pollfd watched[2] = {{socket_.get(), POLLIN, 0}, {ending_.get(), POLLIN, 0}};
    for (;;) {
      if (poll(watched, 2, -1) < 0 && errno != EINTR) return;
      if (watched[1].revents != 0) return;
      for (int i = 0; i < kFramesAtOnce; ++i) {
        if (!readFrame(&frame)) break;
      }
    }
  }

  // False: nothing is there. An interface that goes down is an error once, and then silence until it is up, or bind() is called.
  bool readFrame(std::vector<uint8_t>* frame) {
    alignas(cmsghdr) char control[128];
    iovec room{frame->data(), frame->size()};
    msghdr message{};
    message.msg_iov = &room;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    const ssize_t length = recvmsg(socket_.get(), &message, MSG_DONTWAIT | MSG_TRUNC);
    if (length < 0) return errno == EINTR;
    timespec time{};
    for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr; header = CMSG_NXTHDR(&message, header)) {
      if (header->cmsg_level == SOL_SOCKET && header->cmsg_type == SO_TIMESTAMPNS) memcpy(&time, CMSG_DATA(header), sizeof time);
    }
    if (time.tv_sec == 0) clock_gettime(CLOCK_REALTIME, &time);
    const auto total = static_cast<size_t>(length);
    const std::lock_guard<std::mutex> lock(mutex_);
    packets_ += 1;
    ring_.push(frame->data(), std::min(total, frame->size()), total, static_cast<uint64_t>(time.tv_sec) * 1000000000u + static_cast<uint64_t>(time.tv_nsec));
    return true;
  }

  std::mutex mutex_;
  Ring ring_;
  UniqueFd socket_, ending_;
  std::thread thread_;
  uint64_t packets_ = 0, dropped_ = 0;
};

class FindJob : public Job {
 public:
  FindJob(std::shared_ptr<Capture> capture, const Wanted& wanted, uint64_t from, uint64_t to, size_t limit)
      : capture_(std::move(capture)), wanted_(wanted), from_(from), to_(to), limit_(limit) {}

  Failure run() override {
    found_ = capture_->find(wanted_, from_, to_, limit_);
    return {};
  }

  Napi::Value result(Napi::Env env) override {
    const Napi::Uint8Array records = bytesToJs(env, found_.bytes.data(), found_.bytes.size());
    if (records.IsEmpty()) return env.Undefined();
    Napi::Object answer = Napi::Object::New(env);
    answer.Set("records", records);
    answer.Set("complete", Napi::Boolean::New(env, found_.complete));
    answer.Set("oldestMs", Napi::Number::New(env, static_cast<double>(found_.oldest) / 1e6));
    return answer;
  }

 private:
  std::shared_ptr<Capture> capture_;
  const Wanted wanted_;
  const uint64_t from_, to_;
  const size_t limit_;
  Found found_;
};

bool readEnd(const Napi::Object& request, const char* name, int family, End* out) {
  const Napi::Value value = request.Get(name);
  if (!value.IsObject()) return false;
  std::string address;
  size_t port = 0;
  if (!readString(value.As<Napi::Object>(), "address", &address) || !readNumber(value.As<Napi::Object>(), "port", 65535, &port)) return false;
  out->port = static_cast<uint16_t>(port);
  return inet_pton(family, address.c_str(), out->address.data()) == 1;
}

class PacketRing : public Napi::ObjectWrap<PacketRing> {
 public:
  static void init(Napi::Env env, Napi::Object exports) {
    exports.Set("PacketRing", DefineClass(env, "PacketRing",
                                          {InstanceMethod<&PacketRing::start>("start"), InstanceMethod<&PacketRing::bind>("bind"),
                                           InstanceMethod<&PacketRing::stop>("stop"), InstanceMethod<&PacketRing::stats>("stats"),
                                           InstanceMethod<&PacketRing::find>("find")}));
  }

  explicit PacketRing(const Napi::CallbackInfo& info) : Napi::ObjectWrap<PacketRing>(info) {
    const Napi::Object options = info[0].IsObject() ? info[0].As<Napi::Object>() : Napi::Object::New(info.Env());
    if (!readNumber(options, "bytes", kLargestRing, &bytes_) || bytes_ < kLeastRing) {
      fail(info.Env(), {EINVAL, "PacketRing", "bytes is a number from 1 MiB to 4 GiB"});
    }
  }

 private:
  Napi::Value start(const Napi::CallbackInfo& info) {
    size_t index = 0;
    if (!readIndex(info, &index)) return fail(info.Env(), {EINVAL, "PacketRing.start", "wants the index of an interface"});
    if (capture_ != nullptr) return fail(info.Env(), {EALREADY, "PacketRing.start"});
    auto capture = std::make_shared<Capture>(bytes_);
    if (Failure failure = capture->start(static_cast<int>(index))) return fail(info.Env(), failure);
    capture_ = std::move(capture);
    queue_ = std::make_shared<SerialQueue>();
    return info.Env().Undefined();
  }

  Napi::Value bind(const Napi::CallbackInfo& info) {
    size_t index = 0;
    if (!readIndex(info, &index)) return fail(info.Env(), {EINVAL, "PacketRing.bind", "wants the index of an interface"});
    if (capture_ == nullptr) return fail(info.Env(), {EBADF, "PacketRing.bind", "not started"});
    if (Failure failure = capture_->bind(static_cast<int>(index))) return fail(info.Env(), failure);
    return info.Env().Undefined();
  }

  Napi::Value stop(const Napi::CallbackInfo& info) {
    if (capture_ != nullptr) {
      capture_->stop();
      queue_->close(info.Env());
      capture_.reset();
      queue_.reset();
    }
    return info.Env().Undefined();
  }

  Napi::Value stats(const Napi::CallbackInfo& info) {
    const Stats stats = capture_ == nullptr ? Stats{} : capture_->stats();
    Napi::Object answer = Napi::Object::New(info.Env());
    const auto set = [&](const char* name, uint64_t value) { answer.Set(name, Napi::Number::New(info.Env(), static_cast<double>(value))); };
    set("packets", stats.packets);
    set("dropped", stats.dropped);
    set("kept", stats.kept);
    set("usedBytes", stats.used);
    set("capacityBytes", stats.capacity);
    answer.Set("oldestMs", Napi::Number::New(info.Env(), static_cast<double>(stats.oldest) / 1e6));
    return answer;
  }

  Napi::Value find(const Napi::CallbackInfo& info) {
    Wanted wanted;
    size_t family = 0, protocol = 0, from = 0, to = 0, limit = 0;
    const Napi::Object request = info[0].IsObject() ? info[0].As<Napi::Object>() : Napi::Object::New(info.Env());
    bool good = readNumber(request, "family", 6, &family) && (family == 4 || family == 6) && readNumber(request, "protocol", 255, &protocol) &&
                readNumber(request, "fromMs", 9007199254740991.0, &from) && readNumber(request, "toMs", 9007199254740991.0, &to) &&
                readNumber(request, "limitBytes", kLargestRing, &limit) && readOptionalBool(request, "hasPorts", &wanted.hasPorts);
    wanted.family = family == 6 ? AF_INET6 : AF_INET;
    wanted.protocol = static_cast<uint8_t>(protocol);
    good = good && readEnd(request, "a", wanted.family, &wanted.a) && readEnd(request, "b", wanted.family, &wanted.b);
    if (!good) return rejected(info.Env(), {EINVAL, "PacketRing.find", "wants {family, protocol, hasPorts, a, b, fromMs, toMs, limitBytes}"});
    if (capture_ == nullptr) return rejected(info.Env(), {EBADF, "PacketRing.find", "not started"});
    return queue_->push(info.Env(), std::make_unique<FindJob>(capture_, wanted, toNanoseconds(from), toNanoseconds(to), limit));
  }

  static uint64_t toNanoseconds(size_t milliseconds) {
    constexpr uint64_t kMost = UINT64_MAX / 1000000;
    return (milliseconds > kMost ? kMost : static_cast<uint64_t>(milliseconds)) * 1000000;
  }

  static bool readIndex(const Napi::CallbackInfo& info, size_t* out) {
    if (!info[0].IsNumber()) return false;
    const double number = info[0].As<Napi::Number>().DoubleValue();
    if (!(number >= 1 && number <= 0x7fffffff)) return false;
    *out = static_cast<size_t>(number);
    return true;
  }

  size_t bytes_ = 0;
  std::shared_ptr<Capture> capture_;
  std::shared_ptr<SerialQueue> queue_;
};

const Registration registration{PacketRing::init};

}  // namespace
}  // namespace dfw
