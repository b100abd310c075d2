#include "flow_stream.h"

#include <ctime>

#include "flow_dump.h"

namespace dfw {
namespace {

constexpr size_t kChunk = 256 * 1024;
// Reading one entry costs about as much as dumping one; beyond this many keys the copies of the keys are not worth their memory.
constexpr size_t kMaxCandidates = 100'000;
constexpr size_t kReadStep = 4096;

uint64_t realtimeNs() {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1000000000ull + static_cast<uint64_t>(now.tv_nsec);
}

}  // namespace

Failure FlowStream::run(const Deliver& deliver, uint64_t& count) {
  deliver_ = &deliver;
  nowNs_ = realtimeNs();
  if (!fromKernel_) {
    readPacked();
    if (!refused_) flush();
    count = count_;
    return refused_ ? Failure{ECANCELED, "stream"} : Failure{};
  }
  std::vector<FlowKey> keys;
  bool few = (selection_.byAddress || selection_.byRule) && !FlowDump::isCheap();
  if (few) {
    auto guard = index_.lock();
    few = index_.candidates(selection_, kMaxCandidates, keys);
  }
  Failure failed = few ? readSome(keys) : dumpAll();
  if (!failed && !refused_) flush();
  count = count_;
  if (!failed && refused_) failed = {ECANCELED, "stream"};
  return failed;
}

bool FlowStream::wanted(const Flow& flow) const {
  return selection_.matches(flow) && index_.isOurs(flow);
}

Failure FlowStream::dumpAll() {
  FlowDump dump;
  Failure failed = dump.begin();
  if (failed) return failed;
  bool go = true;
  while (go && dump.portion([&](const nlmsghdr* message) {
    Flow flow;
    if (go && parseFlow(message, flow) && wanted(flow)) go = append(flow);
  })) {
  }
  return dump.error();
}

Failure FlowStream::readSome(const std::vector<FlowKey>& keys) {
  FlowReader reader;
  Failure failed = reader.open();
  bool go = true;
  for (size_t at = 0; !failed && go && at < keys.size(); at += kReadStep) {
    const size_t part = keys.size() - at < kReadStep ? keys.size() - at : kReadStep;
    failed = reader.read(keys.data() + at, part, [&](size_t, const nlmsghdr* message) {
      Flow flow;
      if (go && message != nullptr && parseFlow(message, flow) && selection_.matches(flow)) go = append(flow);
    });
  }
  return failed;
}

void FlowStream::readPacked() {
  for (size_t i = 0; i < packed_.count; ++i) {
    const Flow flow = packed_.at(i);
    if (wanted(flow) && !append(flow)) return;
  }
}

bool FlowStream::append(const Flow& flow) {
  const FlowFormatter formatter(format_, index_);
  if (chunk_.empty()) chunk_.resize(kChunk + formatter.room());
  const char* end = formatter.append(chunk_.data() + used_, flow, nowNs_, count_);
  used_ = static_cast<size_t>(end - chunk_.data());
  if (selection_.limit != 0 && count_ >= selection_.limit) return false;
  return used_ < kChunk || flush();
}

bool FlowStream::flush() {
  if (used_ == 0) return true;
  chunk_.resize(used_);
  refused_ = !(*deliver_)(std::move(chunk_));
  chunk_ = {};
  used_ = 0;
  return !refused_;
}

}  // namespace dfw
