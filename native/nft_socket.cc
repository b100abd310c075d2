// NftSocket of src/native/binding.ts: transactions and dumps of nf_tables, in order, on worker threads.
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <napi.h>
#include <time.h>

#include <atomic>
#include <memory>
#include <vector>

#include "arguments.h"
#include "js_bytes.h"
#include "nft_batch.h"
#include "nft_elements.h"
#include "registry.h"
#include "serial_queue.h"

namespace dfw {
namespace {

// Room for the errors of some 10,000 refused messages; the memory is used only while answers wait.
constexpr int kReceiveBuffer = 8 << 20;
// NFT_DATA_VALUE_MAXLEN, NFT_NAME_MAXLEN of the kernel.
constexpr size_t kValueLimit = 64;
constexpr size_t kNameLimit = 255;

// Shared with the jobs, so that the socket outlives a close() until the running job has ended.
struct SharedSocket {
  NetlinkSocket socket;
  std::atomic<bool> closed{false};
};

struct TransactSegment {
  bool raw = false;
  ElementList elements;  // raw: keys and count are the bytes
  std::vector<Napi::Reference<Napi::Uint8Array>> kept;
};

class TransactJob : public Job {
 public:
  // `notAfter`: CLOCK_MONOTONIC in ms, 0 = any time.
  TransactJob(std::shared_ptr<SharedSocket> socket, std::vector<TransactSegment> segments, double notAfter)
      : socket_(std::move(socket)), segments_(std::move(segments)), notAfter_(notAfter) {}

  Failure run() override {
    NftBatch batch;
    for (const TransactSegment& segment : segments_) {
      Failure failure = segment.raw ? batch.addRaw(segment.elements.keys, segment.elements.count) : batch.addElements(segment.elements);
      if (failure) return failure;
    }
    // The process may have been stopped since it was asked: the clock is read as late as it can be.
    if (notAfter_ > 0 && monotonicMs() > notAfter_) return {ETIMEDOUT, "transact", "too late"};
    return batch.commit(socket_->socket, &outcome_);
  }

  Napi::Value result(Napi::Env env) override {
    Napi::Object result = Napi::Object::New(env);
    Napi::Array errors = Napi::Array::New(env, outcome_.errors.size());
    for (size_t index = 0; index < outcome_.errors.size(); index++) {
      const BatchError& error = outcome_.errors[index];
      Napi::Object entry = Napi::Object::New(env);
      entry.Set("segment", Napi::Number::New(env, error.segment));
      entry.Set("message", Napi::Number::New(env, error.message));
      entry.Set("errno", Napi::Number::New(env, error.error));
      entry.Set("code", Napi::String::New(env, errnoName(error.error)));
      errors.Set(static_cast<uint32_t>(index), entry);
    }
    result.Set("committed", Napi::Boolean::New(env, outcome_.committed));
    result.Set("generation", Napi::Number::New(env, outcome_.generation));
    result.Set("errors", errors);
    result.Set("messages", Napi::Number::New(env, static_cast<double>(outcome_.messages)));
    result.Set("bytes", Napi::Number::New(env, static_cast<double>(outcome_.bytes)));
    return result;
  }

 private:
  std::shared_ptr<SharedSocket> socket_;
  static double monotonicMs() {
    timespec now{};
    clock_gettime(CLOCK_MONOTONIC, &now);
    return static_cast<double>(now.tv_sec) * 1e3 + static_cast<double>(now.tv_nsec) / 1e6;
  }

  std::vector<TransactSegment> segments_;
  double notAfter_;
  BatchOutcome outcome_;
};

class GenerationJob : public Job {
 public:
  explicit GenerationJob(std::shared_ptr<SharedSocket> socket) : socket_(std::move(socket)) {}
  Failure run() override { return readGeneration(socket_->socket, &generation_); }
  Napi::Value result(Napi::Env env) override { return Napi::Number::New(env, generation_); }

 private:
  std::shared_ptr<SharedSocket> socket_;
  uint32_t generation_ = 0;
};

// The kernel marks interrupted dumps of tables, chains, rules and sets, but not of elements: hence the generation.
NetlinkSocket::Dump generationDump(SharedSocket& shared, const char* call) {
  NetlinkSocket::Dump dump;
  dump.call = call;
  dump.version = [&shared](uint32_t* generation) { return readGeneration(shared.socket, generation); };
  dump.cancelled = &shared.closed;
  return dump;
}

class DumpJob : public Job {
 public:
  DumpJob(std::shared_ptr<SharedSocket> socket, ByteBuffer request) : socket_(std::move(socket)), request_(std::move(request)) {}

  Failure run() override {
    NetlinkSocket::Dump dump = generationDump(*socket_, "dump");
    dump.restart = [this] { answer_.clear(); };
    dump.onMessage = [this](const nlmsghdr* message) -> Failure {
      // The kernel aligns messages inside a datagram, and so does this concatenation.
      const size_t padded = NLMSG_ALIGN(message->nlmsg_len);
      uint8_t* place = answer_.extend(padded);
      if (place == nullptr) return {ENOMEM, "dump"};
      memcpy(place, message, message->nlmsg_len);
      memset(place + message->nlmsg_len, 0, padded - message->nlmsg_len);
      return {};
    };
    return socket_->socket.dump(reinterpret_cast<nlmsghdr*>(request_.data()), dump);
  }
  Napi::Value result(Napi::Env env) override { return bytesToJs(env, answer_.data(), answer_.size()); }

 private:
  std::shared_ptr<SharedSocket> socket_;
  ByteBuffer request_;
  ByteBuffer answer_;
};

class DumpElementsJob : public Job {
 public:
  DumpElementsJob(std::shared_ptr<SharedSocket> socket, ByteBuffer request, size_t keyLength, size_t dataLength, bool counters)
      : socket_(std::move(socket)), request_(std::move(request)) {
    elements_.keyLength = keyLength;
    elements_.dataLength = dataLength;
    elements_.wantCounters = counters;
  }

  Failure run() override {
    NetlinkSocket::Dump dump = generationDump(*socket_, "dumpElements");
    dump.restart = [this] { elements_.clear(); };
    // Each datagram of the answer continues where the former one stopped by counting elements. A hash set that the kernel is
    // rehashing (after many additions) changes its order meanwhile: elements come twice, and as many do not come at all.
    dump.plausible = [this] { return !elements_.hasDuplicates(); };
    dump.onMessage = [this](const nlmsghdr* message) {
      const bool holdsElements = message->nlmsg_type == ((NFNL_SUBSYS_NFTABLES << 8) | NFT_MSG_NEWSETELEM);
      return holdsElements ? elements_.append(message) : Failure{};
    };
    return socket_->socket.dump(reinterpret_cast<nlmsghdr*>(request_.data()), dump);
  }

  Napi::Value result(Napi::Env env) override {
    Napi::Object result = Napi::Object::New(env);
    result.Set("count", Napi::Number::New(env, static_cast<double>(elements_.count)));
    result.Set("keys", bytesToJs(env, elements_.keys.data(), elements_.keys.size()));
    result.Set("data", bytesToJs(env, elements_.data.data(), elements_.verdicts ? 0 : elements_.data.size()));
    result.Set("flags", bytesToJs(env, elements_.flags.data(), elements_.flags.size()));
    if (elements_.wantCounters) {
      Napi::BigUint64Array counters = Napi::BigUint64Array::New(env, elements_.count * 2);
      if (elements_.count > 0 && !counters.IsEmpty()) memcpy(counters.Data(), elements_.counters.data(), elements_.counters.size());
      result.Set("counters", counters);
    }
    return result;
  }

 private:
  std::shared_ptr<SharedSocket> socket_;
  ByteBuffer request_;
  DecodedElements elements_;
};

Failure invalid(const char* call, size_t segment, const char* what) { return {EINVAL, call, "segment " + std::to_string(segment) + ": " + what}; }

// The bytes of one property, kept alive by the segment. Null when it is absent.
bool keepBytes(const Napi::Object& object, const char* name, TransactSegment& segment, const uint8_t** data, size_t* size) {
  const Napi::Value value = object.Get(name);
  *data = nullptr;
  *size = 0;
  if (value.IsUndefined()) return true;
  if (!isBytes(value)) return false;
  Napi::Uint8Array array = value.As<Napi::Uint8Array>();
  *data = array.Data();
  *size = array.ByteLength();
  segment.kept.push_back(Napi::Persistent(array));
  return true;
}

Failure readElements(const Napi::Object& object, size_t index, TransactSegment* segment) {
  const auto refuse = [index](const char* what) { return invalid("transact", index, what); };
  ElementList& list = segment->elements;
  std::string op;
  size_t family = 0;
  if (!readString(object, "op", &op) || (op != "add" && op != "delete")) return refuse("op is 'add' or 'delete'");
  list.add = op == "add";
  if (!readNumber(object, "family", 255, &family)) return refuse("family is a number");
  list.family = static_cast<uint8_t>(family);
  if (!readString(object, "table", &list.table) || list.table.size() > kNameLimit) return refuse("table is a name");
  if (!readString(object, "set", &list.set) || list.set.size() > kNameLimit) return refuse("set is a name");
  if (!readNumber(object, "keyLength", kValueLimit, &list.keyLength) || list.keyLength == 0) return refuse("keyLength is 1..64");
  if (!readNumber(object, "dataLength", kValueLimit, &list.dataLength)) return refuse("dataLength is 0..64");
  if (!readOptionalBool(object, "counter", &list.counter)) return refuse("counter is a boolean");

  size_t size = 0;
  if (!keepBytes(object, "keys", *segment, &list.keys, &size) || segment->kept.empty()) return refuse("keys is a Uint8Array");
  if (size % list.keyLength != 0) return refuse("keys is not a whole number of keys");
  list.count = size / list.keyLength;
  if (!keepBytes(object, "flags", *segment, &list.flags, &size)) return refuse("flags is a Uint8Array");
  if (list.flags != nullptr && size != list.count) return refuse("flags has not one byte an element");
  if (!keepBytes(object, "data", *segment, &list.data, &size)) return refuse("data is a Uint8Array");
  if (list.add && list.dataLength > 0 && size != list.count * list.dataLength) return refuse("data does not match count and dataLength");
  return {};
}

Failure readSegments(const Napi::Value& value, std::vector<TransactSegment>* segments) {
  if (!value.IsArray()) return {EINVAL, "transact", "segments is an array"};
  const Napi::Array array = value.As<Napi::Array>();
  const uint32_t length = array.Length();
  segments->resize(length);
  for (uint32_t index = 0; index < length; index++) {
    const Napi::HandleScope scope(value.Env());
    const Napi::Value item = array.Get(index);
    std::string kind;
    if (!item.IsObject() || !readString(item.As<Napi::Object>(), "kind", &kind)) return invalid("transact", index, "no kind");
    const Napi::Object object = item.As<Napi::Object>();
    TransactSegment& segment = (*segments)[index];
    if (kind == "elements") {
      if (Failure failure = readElements(object, index, &segment)) return failure;
    } else if (kind == "raw") {
      segment.raw = true;
      const bool read = keepBytes(object, "bytes", segment, &segment.elements.keys, &segment.elements.count);
      if (!read || segment.kept.empty()) return invalid("transact", index, "bytes is a Uint8Array");
    } else {
      return invalid("transact", index, "kind is 'raw' or 'elements'");
    }
  }
  return {};
}

class NftSocket : public Napi::ObjectWrap<NftSocket> {
 public:
  static void init(Napi::Env env, Napi::Object exports) {
    exports.Set("NftSocket", DefineClass(env, "NftSocket",
                                         {InstanceMethod<&NftSocket::transact>("transact"),
                                          InstanceMethod<&NftSocket::dumpElements>("dumpElements"),
                                          InstanceMethod<&NftSocket::dump>("dump"),
                                          InstanceMethod<&NftSocket::generation>("generation"),
                                          InstanceMethod<&NftSocket::close>("close")}));
  }

  explicit NftSocket(const Napi::CallbackInfo& info)
      : Napi::ObjectWrap<NftSocket>(info), shared_(std::make_shared<SharedSocket>()), queue_(std::make_shared<SerialQueue>()) {
    if (Failure failure = shared_->socket.open(NETLINK_NETFILTER, kReceiveBuffer)) fail(info.Env(), failure);
  }

 private:
  Napi::Value transact(const Napi::CallbackInfo& info) {
    std::vector<TransactSegment> segments;
    if (Failure failure = readSegments(info[0], &segments)) return rejected(info.Env(), failure);
    if (!info[1].IsUndefined() && !info[1].IsNumber()) return rejected(info.Env(), {EINVAL, "transact", "notAfter is a number"});
    const double notAfter = info[1].IsNumber() ? info[1].As<Napi::Number>().DoubleValue() : 0;
    return queue_->push(info.Env(), std::make_unique<TransactJob>(shared_, std::move(segments), notAfter));
  }

  Napi::Value dumpElements(const Napi::CallbackInfo& info) {
    const auto refuse = [&info](const char* what) { return rejected(info.Env(), {EINVAL, "dumpElements", what}); };
    if (!info[0].IsObject()) return refuse("request is an object");
    const Napi::Object request = info[0].As<Napi::Object>();
    std::string table;
    std::string set;
    size_t family = 0;
    size_t keyLength = 0;
    size_t dataLength = 0;
    bool counters = false;
    if (!readNumber(request, "family", 255, &family)) return refuse("family is a number");
    if (!readString(request, "table", &table) || table.size() > kNameLimit) return refuse("table is a name");
    if (!readString(request, "set", &set) || set.size() > kNameLimit) return refuse("set is a name");
    if (!readNumber(request, "keyLength", kValueLimit, &keyLength) || keyLength == 0) return refuse("keyLength is 1..64");
    if (!readNumber(request, "dataLength", kValueLimit, &dataLength)) return refuse("dataLength is 0..64");
    if (!readOptionalBool(request, "counters", &counters)) return refuse("counters is a boolean");

    // Header, nfgenmsg and two names fit by far.
    ByteBuffer bytes;
    uint8_t* place = bytes.extend(1024);
    if (place == nullptr) return rejected(info.Env(), {ENOMEM, "dumpElements"});
    nlmsghdr* header = mnl_nlmsg_put_header(place);
    header->nlmsg_type = (NFNL_SUBSYS_NFTABLES << 8) | NFT_MSG_GETSETELEM;
    auto* general = static_cast<nfgenmsg*>(mnl_nlmsg_put_extra_header(header, sizeof(nfgenmsg)));
    general->nfgen_family = static_cast<uint8_t>(family);
    mnl_attr_put_strz(header, NFTA_SET_ELEM_LIST_TABLE, table.c_str());
    mnl_attr_put_strz(header, NFTA_SET_ELEM_LIST_SET, set.c_str());
    return queue_->push(info.Env(), std::make_unique<DumpElementsJob>(shared_, std::move(bytes), keyLength, dataLength, counters));
  }

  Napi::Value dump(const Napi::CallbackInfo& info) {
    const auto refuse = [&info](int error, const char* what) { return rejected(info.Env(), {error, "dump", what}); };
    if (!info[0].IsNumber() || !isBytes(info[1])) return refuse(EINVAL, "type is a number, payload a Uint8Array");
    const int32_t type = info[0].As<Napi::Number>().Int32Value();
    const Napi::Uint8Array payload = info[1].As<Napi::Uint8Array>();
    if (type < 0 || type > 255) return refuse(EINVAL, "type is 0..255");
    if (payload.ByteLength() < sizeof(nfgenmsg) || payload.ByteLength() > 65'536) return refuse(EINVAL, "payload is nfgenmsg and attributes");
    nlmsghdr header{};
    header.nlmsg_len = static_cast<uint32_t>(NLMSG_HDRLEN + payload.ByteLength());
    header.nlmsg_type = static_cast<uint16_t>((NFNL_SUBSYS_NFTABLES << 8) | type);
    ByteBuffer bytes;
    if (!bytes.append(&header, sizeof header) || !bytes.append(payload.Data(), payload.ByteLength())) return refuse(ENOMEM, "");
    return queue_->push(info.Env(), std::make_unique<DumpJob>(shared_, std::move(bytes)));
  }

  Napi::Value generation(const Napi::CallbackInfo& info) { return queue_->push(info.Env(), std::make_unique<GenerationJob>(shared_)); }

  void close(const Napi::CallbackInfo& info) {
    queue_->close(info.Env());
    if (shared_ != nullptr) shared_->closed = true;
    shared_.reset();  // a running job holds it until its end
  }

  std::shared_ptr<SharedSocket> shared_;
  std::shared_ptr<SerialQueue> queue_;
};

const Registration registration{NftSocket::init};

}  // namespace
}  // namespace dfw
