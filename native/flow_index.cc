#include "flow_index.h"

#include <arpa/inet.h>

#include <algorithm>

namespace dfw {
namespace {

bool lessV6(const AddressV6& a, const AddressV6& b) { return std::memcmp(a.words, b.words, sizeof a.words) < 0; }

uint64_t fingerprint(const FlowKey& key) {
  uint64_t h = (uint64_t{key.id} << 32) ^ (uint64_t{key.sourcePort} << 16) ^ key.destinationPort ^ (uint64_t{key.protocol} << 56);
  for (uint32_t word : key.source.words) h = (h ^ word) * 0x9e3779b97f4a7c15ull;
  for (uint32_t word : key.destination.words) h = (h ^ word) * 0x9e3779b97f4a7c15ull;
  return h;
}

/** A word that was emptied keeps naming its last rule, for totals and the audit line at the end, until the next packet brings a new id. */
inline void update(uint32_t& word, uint32_t now, uint8_t& flags, uint8_t cleared) {
  if (now == 0 && word != 0) {
    flags |= cleared;
    return;
  }
  word = now;
  flags &= static_cast<uint8_t>(~cleared);
}

}  // namespace

IdSet::IdSet(std::vector<uint32_t> ids) : ids_(std::move(ids)) {
  std::sort(ids_.begin(), ids_.end());
  ids_.erase(std::unique(ids_.begin(), ids_.end()), ids_.end());
}
bool IdSet::contains(uint32_t id) const {
  if (ids_.size() <= 4) return std::find(ids_.begin(), ids_.end(), id) != ids_.end();
  return std::binary_search(ids_.begin(), ids_.end(), id);
}

bool AddressSet::add(const char* text) {
  AddressV4 v4;
  AddressV6 v6;
  if (::inet_pton(AF_INET, text, &v4.word) == 1) {
    v4_.push_back(v4);
    return true;
  }
  if (::inet_pton(AF_INET6, text, v6.words) == 1) {
    v6_.push_back(v6);
    return true;
  }
  return false;
}
void AddressSet::seal() {
  std::sort(v4_.begin(), v4_.end(), [](const AddressV4& a, const AddressV4& b) { return a.word < b.word; });
  v4_.erase(std::unique(v4_.begin(), v4_.end()), v4_.end());
  std::sort(v6_.begin(), v6_.end(), lessV6);
  v6_.erase(std::unique(v6_.begin(), v6_.end()), v6_.end());
}
bool AddressSet::contains(const AddressV4& address) const {
  if (v4_.size() <= 4) return std::find(v4_.begin(), v4_.end(), address) != v4_.end();
  return std::binary_search(v4_.begin(), v4_.end(), address, [](const AddressV4& a, const AddressV4& b) { return a.word < b.word; });
}
bool AddressSet::contains(const AddressV6& address) const {
  if (v6_.size() <= 4) return std::find(v6_.begin(), v6_.end(), address) != v6_.end();
  return std::binary_search(v6_.begin(), v6_.end(), address, lessV6);
}
bool AddressSet::contains(uint8_t family, const Address& address) const {
  return family == AF_INET ? contains(AddressV4::of(address)) : contains(AddressV6::of(address));
}

bool Selection::matches(const Flow& flow) const {
  if (byRule && !rules.contains(flow.ruleOut) && !rules.contains(flow.ruleIn)) return false;
  return !byAddress || addresses.contains(flow.key.family, flow.key.source) || addresses.contains(flow.key.family, flow.replySource);
}

// ---- events ----------------------------------------------------------------------------------------------------

template <typename Ip>
void FlowIndex::store(FlowPool<Ip>& pool, const Flow& flow, bool fromDump) {
  auto* record = pool.find(flow.key);
  if (record == nullptr) {
    if (!hasRule(flow)) return;
    if (fromDump && ended_.count(fingerprint(flow.key)) != 0) return;
    record = &pool.insert(flow);
  } else if (fromDump && record->seen == generation_) {
    return;  // an event since the audit began knows better than the dump
  }
  update(record->ruleOut, flow.ruleOut, record->flags, record->kOutCleared);
  update(record->ruleIn, flow.ruleIn, record->flags, record->kInCleared);
  record->seen = generation_;
}

void FlowIndex::onEvent(const Flow& flow) {
  if (flow.key.family == AF_INET) store(v4_, flow, false);
  else if (flow.key.family == AF_INET6) store(v6_, flow, false);
}

template <typename Ip>
bool FlowIndex::destroy(FlowPool<Ip>& pool, const Flow& flow, uint32_t& ruleOut, uint32_t& ruleIn) {
  auto* record = pool.find(flow.key);
  if (record == nullptr) return false;
  ruleOut = record->ruleOut;
  ruleIn = record->ruleIn;
  add(endedTotals_, ruleOut, ruleIn, flow);
  // A totals dump under way started from the ended sums of its beginning; flows it has counted already must not be added again.
  if (totalling_ && record->counted != totalsEpoch_) add(runningTotals_, ruleOut, ruleIn, flow);
  pool.erase(*record);
  return true;
}

bool FlowIndex::onDestroy(const Flow& flow, uint32_t& ruleOut, uint32_t& ruleIn) {
  if (auditing_) ended_.insert(fingerprint(flow.key));
  if (flow.key.family == AF_INET) return destroy(v4_, flow, ruleOut, ruleIn);
  if (flow.key.family == AF_INET6) return destroy(v6_, flow, ruleOut, ruleIn);
  return false;
}

void FlowIndex::forget(const FlowKey& key) {
  if (key.family == AF_INET) {
    if (auto* record = v4_.find(key)) v4_.erase(*record);
  } else if (auto* record = v6_.find(key)) {
    v6_.erase(*record);
  }
}

void FlowIndex::onCleared(const FlowKey& key, uint32_t oldOut, uint32_t oldIn) {
  const auto clearWords = [&](auto* record) {
    if (record == nullptr) return;
    const bool out = oldOut != 0 && record->ruleOut == oldOut;
    const bool in = oldIn != 0 && record->ruleIn == oldIn;
    if (out) record->flags |= record->kOutCleared;
    if (in) record->flags |= record->kInCleared;
  };
  if (key.family == AF_INET) clearWords(v4_.find(key));
  else if (key.family == AF_INET6) clearWords(v6_.find(key));
}

// ---- audits and totals -----------------------------------------------------------------------------------------

bool FlowIndex::beginAudit() {
  if (auditing_) return false;
  auditing_ = true;
  ended_.clear();
  // After an audit every record has the current generation, so the number may wrap (0 marks a free place).
  generation_ = generation_ == 255 ? 1 : static_cast<uint8_t>(generation_ + 1);
  return true;
}

void FlowIndex::onDumped(const Flow& flow) {
  if (flow.key.family == AF_INET) store(v4_, flow, true);
  else if (flow.key.family == AF_INET6) store(v6_, flow, true);
}

template <typename Ip>
void FlowIndex::dropUnseen(FlowPool<Ip>& pool) {
  if (pool.live() == 0) return;
  pool.each([&](auto& record) {
    if (record.seen != generation_) pool.erase(record);
  });
}

void FlowIndex::endAudit(bool complete) {
  if (complete) {
    dropUnseen(v4_);
    dropUnseen(v6_);
  } else {
    const auto touch = [this](auto& record) { record.seen = generation_; };
    v4_.each(touch);
    v6_.each(touch);
  }
  if (complete) audited_ = std::chrono::steady_clock::now();
  auditing_ = false;
  std::unordered_set<uint64_t>().swap(ended_);
}

void FlowIndex::add(RuleTotals& totals, uint32_t ruleOut, uint32_t ruleIn, const Flow& flow) const {
  const auto addTo = [&](uint32_t rule) {
    RuleTotal& total = totals[rule];
    ++total.connections;
    total.packets += flow.originalPackets + flow.replyPackets;
    total.bytes += flow.originalBytes + flow.replyBytes;
  };
  if (isRule(ruleOut)) addTo(ruleOut);
  if (isRule(ruleIn) && ruleIn != ruleOut) addTo(ruleIn);
}

void FlowIndex::beginTotals() {
  totalling_ = true;
  totalsEpoch_ = totalsEpoch_ == 255 ? 1 : static_cast<uint8_t>(totalsEpoch_ + 1);
  runningTotals_ = endedTotals_;
}

void FlowIndex::countTotals(const Flow& flow) {
  // Not indexed: it has no rule, or ended while the dump ran (counted by its DESTROY), or its NEW event is still under way (next call).
  const auto count = [&](auto* record) {
    if (record == nullptr) return;
    record->counted = totalsEpoch_;
    add(runningTotals_, record->ruleOut, record->ruleIn, flow);
  };
  if (flow.key.family == AF_INET) count(v4_.find(flow.key));
  else if (flow.key.family == AF_INET6) count(v6_.find(flow.key));
}

RuleTotals FlowIndex::endTotals() {
  totalling_ = false;
  RuleTotals sums;
  sums.swap(runningTotals_);
  return sums;
}

// ---- answers ---------------------------------------------------------------------------------------------------

template <typename Ip>
bool FlowIndex::collect(FlowPool<Ip>& pool, const std::vector<Ip>& addresses, const Selection& selection, size_t cap, std::vector<FlowKey>& keys) {
  if (selection.byAddress) {
    // The counts say at once that nothing can match: most questions about an idle workload never scan.
    uint64_t known = 0;
    for (const Ip& address : addresses) known += pool.countOf(address);
    if (known == 0) return true;
  }
  bool fits = true;
  pool.each([&](auto& record) {
    if (!fits) return;
    if (selection.byAddress && !selection.addresses.contains(record.source) && !selection.addresses.contains(record.replySource)) return;
    if (selection.byRule) {
      const bool pending = (record.flags & (record.kOutCleared | record.kInCleared)) != 0;
      if (!pending && !selection.rules.contains(record.ruleOut) && !selection.rules.contains(record.ruleIn)) return;
    }
    if (keys.size() == cap) fits = false;
    else keys.push_back(record.key());
  });
  return fits;
}

bool FlowIndex::candidates(const Selection& selection, size_t cap, std::vector<FlowKey>& keys) {
  return collect(v4_, selection.addresses.v4(), selection, cap, keys) && collect(v6_, selection.addresses.v6(), selection, cap, keys);
}

bool FlowIndex::contains(const FlowKey& key) {
  return key.family == AF_INET ? v4_.find(key) != nullptr : key.family == AF_INET6 && v6_.find(key) != nullptr;
}

bool FlowIndex::isOurs(const Flow& flow) {
  if (hasRule(flow)) return true;
  auto guard = lock();
  return contains(flow.key);
}

uint64_t FlowIndex::countByAddress(const AddressSet& addresses) const {
  uint64_t count = 0;
  for (const AddressV4& address : addresses.v4()) count += v4_.countOf(address);
  for (const AddressV6& address : addresses.v6()) count += v6_.countOf(address);
  return count;
}

size_t FlowIndex::bytes() const {
  return v4_.bytes() + v6_.bytes() + ended_.size() * (sizeof(uint64_t) + 2 * sizeof(void*)) + endedTotals_.size() * (sizeof(RuleTotal) + 4 * sizeof(void*));
}

void FlowIndex::clear() {
  v4_.release();
  v6_.release();
  std::unordered_set<uint64_t>().swap(ended_);
}

}  // namespace dfw
