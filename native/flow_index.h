// Which connections carry a rule id: fed by events, checked by dumps. Answers by address and by rule id without asking the kernel.
// Labels change after NEW without an event that we hear: a swept flow is marked and counts as a candidate for any rule until a dump
// shows its new id; a flow labelled for the first time later in its life is found by the next audit.
// Locking: every method that is not marked otherwise is called with lock() held, so that a batch takes the lock once.
#pragma once
#include <chrono>
#include <cstdint>
#include <mutex>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "flow_pool.h"
#include "flow_record.h"

namespace dfw {

/** Sorted set of numbers; `contains` by binary search. */
class IdSet {
 public:
  IdSet() = default;
  explicit IdSet(std::vector<uint32_t> ids);
  bool contains(uint32_t id) const;
  bool empty() const { return ids_.empty(); }

 private:
  std::vector<uint32_t> ids_;
};

/** A set of addresses of both families, parsed from canonical text. */
class AddressSet {
 public:
  /** False when the text is no address. */
  bool add(const char* text);
  /** Sorts; to be called after the last add(). */
  void seal();
  bool contains(const AddressV4& address) const;
  bool contains(const AddressV6& address) const;
  bool contains(uint8_t family, const Address& address) const;
  bool empty() const { return v4_.empty() && v6_.empty(); }
  const std::vector<AddressV4>& v4() const { return v4_; }
  const std::vector<AddressV6>& v6() const { return v6_; }

 private:
  std::vector<AddressV4> v4_;
  std::vector<AddressV6> v6_;
};

/** What a query asks for; an absent part matches everything. */
struct Selection {
  bool byAddress = false;
  bool byRule = false;
  AddressSet addresses;
  IdSet rules;
  uint64_t limit = 0;
  bool matches(const Flow& flow) const;
};

struct RuleTotal {
  uint64_t connections = 0, packets = 0, bytes = 0;
};
using RuleTotals = std::unordered_map<uint32_t, RuleTotal>;

class FlowIndex {
 public:
  static constexpr int32_t kAnyZone = -1;
  /** Labels of connections in other zones than `zone` are somebody else's and name no rule. */
  explicit FlowIndex(IdSet notApplicable, int32_t zone = kAnyZone) : notApplicable_(std::move(notApplicable)), zone_(zone) {}

  std::unique_lock<std::mutex> lock() { return std::unique_lock<std::mutex>(mutex_); }

  /** A label word that names a rule. Needs no lock. */
  bool isRule(uint32_t word) const { return word != 0 && !notApplicable_.contains(word); }
  bool hasRule(const Flow& flow) const { return (zone_ == kAnyZone || zone_ == flow.key.zone) && (isRule(flow.ruleOut) || isRule(flow.ruleIn)); }

  /** NEW. */
  void onEvent(const Flow& flow);
  /**
   * DESTROY: forgets the flow and adds its counters to the totals of its rules. The kernel's message carries no labels, so the
   * words come from here; false when the flow was not indexed.
   */
  bool onDestroy(const Flow& flow, uint32_t& ruleOut, uint32_t& ruleIn);
  /** The kernel answered ENOENT for it. */
  void forget(const FlowKey& key);
  /** A sweep cleared these words in the kernel: noted here unless an event has written newer ones. The flow stays indexed: its next packet gets a new id. */
  void onCleared(const FlowKey& key, uint32_t oldOut, uint32_t oldIn);

  /**
   * An audit compares the index with a complete dump: begin, every dumped flow, end. Entries that the dump did not show and no
   * event touched meanwhile are dropped at the end (connections made while nobody listened have no DESTROY event,
   * net.netfilter.nf_conntrack_events = 2). One at a time: false when one is under way.
   */
  bool beginAudit();
  void onDumped(const Flow& flow);
  void endAudit(bool complete);
  /** When the last complete audit ended. */
  std::chrono::steady_clock::time_point audited() const { return audited_; }

  /** Needs no lock: held around the three calls below, so that only one sum is under way. */
  std::unique_lock<std::mutex> totalsTurn() { return std::unique_lock<std::mutex>(totalsMutex_); }
  /** Begin, every dumped flow, end: a flow that ends meanwhile is counted exactly once. */
  void beginTotals();
  void countTotals(const Flow& flow);
  RuleTotals endTotals();

  /** Keys of the flows that may match; false when there are more than `cap`. Flows whose words were swept match any rule: only the kernel knows. */
  bool candidates(const Selection& selection, size_t cap, std::vector<FlowKey>& keys);
  bool contains(const FlowKey& key);
  /** Admitted by a rule, or was until a sweep cleared its words. Takes the lock itself. */
  bool isOurs(const Flow& flow);
  uint64_t countByAddress(const AddressSet& addresses) const;
  size_t live() const { return v4_.live() + v6_.live(); }
  size_t bytes() const;
  void clear();

 private:
  template <typename Ip>
  void store(FlowPool<Ip>& pool, const Flow& flow, bool fromDump);
  template <typename Ip>
  bool destroy(FlowPool<Ip>& pool, const Flow& flow, uint32_t& ruleOut, uint32_t& ruleIn);
  template <typename Ip>
  void dropUnseen(FlowPool<Ip>& pool);
  template <typename Ip>
  bool collect(FlowPool<Ip>& pool, const std::vector<Ip>& addresses, const Selection& selection, size_t cap, std::vector<FlowKey>& keys);
  void add(RuleTotals& totals, uint32_t ruleOut, uint32_t ruleIn, const Flow& flow) const;

  std::mutex mutex_;
  std::mutex totalsMutex_;
  const IdSet notApplicable_;
  const int32_t zone_;
  FlowPool<AddressV4> v4_;
  FlowPool<AddressV6> v6_;

  uint8_t generation_ = 1;
  bool auditing_ = false;
  std::chrono::steady_clock::time_point audited_{};
  std::unordered_set<uint64_t> ended_;  // ended during the audit: the dump may still show them

  RuleTotals endedTotals_;
  bool totalling_ = false;
  uint8_t totalsEpoch_ = 0;
  RuleTotals runningTotals_;
};

}  // namespace dfw
