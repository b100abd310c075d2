// Produces the formatted flows of one request, chunk by chunk, on the thread that calls run().
#pragma once
#include <atomic>
#include <cstdint>
#include <functional>
#include <vector>

#include "flow_format.h"
#include "flow_index.h"
#include "flow_packed.h"
#include "failure.h"

namespace dfw {

class FlowStream {
 public:
  /** Takes a chunk of whole lines; blocks while the consumer is behind; false = stop. */
  using Deliver = std::function<bool(std::vector<char>&&)>;

  FlowStream(FlowIndex& index, Selection selection, FormatOptions format) : index_(index), selection_(std::move(selection)), format_(std::move(format)) {}
  /** Of these flows instead of the kernel's; the index tells only which words are rules. */
  FlowStream(FlowIndex& index, Selection selection, FormatOptions format, PackedFlows flows)
      : index_(index), selection_(std::move(selection)), format_(std::move(format)), packed_(flows), fromKernel_(false) {}
  /** Runs to the end, to the limit, or until `deliver` says no (ECANCELED). `count` = lines or objects written. */
  Failure run(const Deliver& deliver, uint64_t& count);

 private:
  bool wanted(const Flow& flow) const;
  /** False when the stream is over: limit reached or consumer gone. */
  bool append(const Flow& flow);
  bool flush();
  Failure dumpAll();
  Failure readSome(const std::vector<FlowKey>& keys);
  void readPacked();

  FlowIndex& index_;
  const Selection selection_;
  const FormatOptions format_;
  const PackedFlows packed_;
  const bool fromKernel_ = true;
  const Deliver* deliver_ = nullptr;
  std::vector<char> chunk_;
  size_t used_ = 0;
  uint64_t count_ = 0;
  uint64_t nowNs_ = 0;
  bool refused_ = false;
};

}  // namespace dfw
