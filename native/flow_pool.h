// Packed storage of the flow index: records in fixed blocks, found by open addressing on the conntrack id, and a count per address.
// Blocks never move, so growing costs no second copy of the records.
#pragma once
#include <sys/socket.h>

#include <cstdint>
#include <cstring>
#include <memory>
#include <vector>

#include "flow_record.h"

namespace dfw {

struct AddressV4 {
  uint32_t word;
  static constexpr uint8_t kFamily = AF_INET;
  static AddressV4 of(const Address& address) { return {address.words[0]}; }
  Address full() const { return {{word, 0, 0, 0}}; }
  bool operator==(const AddressV4& other) const { return word == other.word; }
  uint32_t hash() const { return word * 0x9e3779b1u; }
};
struct AddressV6 {
  uint32_t words[4];
  static constexpr uint8_t kFamily = AF_INET6;
  static AddressV6 of(const Address& address) {
    AddressV6 out;
    std::memcpy(out.words, address.words, sizeof out.words);
    return out;
  }
  Address full() const {
    Address out;
    std::memcpy(out.words, words, sizeof words);
    return out;
  }
  bool operator==(const AddressV6& other) const { return std::memcmp(words, other.words, sizeof words) == 0; }
  uint32_t hash() const {
    uint64_t mixed = (uint64_t{words[0]} << 32 | words[1]) * 0x9e3779b97f4a7c15ull ^ (uint64_t{words[2]} << 32 | words[3]);
    return static_cast<uint32_t>((mixed * 0xff51afd7ed558ccdull) >> 32);
  }
};

/** 36 bytes for IPv4, 72 for IPv6. */
template <typename Ip>
struct PackedFlow {
  using IpAddress = Ip;
  uint32_t id;
  Ip source, destination, replySource;
  uint32_t ruleOut, ruleIn;
  uint16_t sourcePort, destinationPort, replySourcePort, zone;
  uint8_t protocol;
  uint8_t flags;
  uint8_t seen;     // audit in which it was last seen; 0 = the place is free
  uint8_t counted;  // totals dump that has counted it

  static constexpr uint8_t kDirectionalZone = 1;
  static constexpr uint8_t kOutCleared = 2;  // the word was cleared in the kernel: it names the last rule here, which rule admits the
  static constexpr uint8_t kInCleared = 4;   // next packet only the kernel will know

  bool is(const FlowKey& key) const {
    return id == key.id && protocol == key.protocol && sourcePort == key.sourcePort && destinationPort == key.destinationPort && zone == key.zone &&
           source == Ip::of(key.source) && destination == Ip::of(key.destination);
  }
  FlowKey key() const {
    FlowKey out;
    out.id = id;
    out.source = source.full();
    out.destination = destination.full();
    out.sourcePort = sourcePort;
    out.destinationPort = destinationPort;
    out.zone = zone;
    out.protocol = protocol;
    out.family = Ip::kFamily;
    out.directionalZone = (flags & kDirectionalZone) != 0;
    return out;
  }
};
static_assert(sizeof(PackedFlow<AddressV4>) == 36 && sizeof(PackedFlow<AddressV6>) == 72, "records must stay packed");

/** Linear probing of `slots` (a power of two); deletion shifts the cluster back, so there are no tombstones. */
template <typename Hash, typename Empty, typename Slots>
inline void closeGap(Slots& slots, size_t hole, Hash home, Empty empty) {
  const size_t mask = slots.size() - 1;
  for (size_t next = (hole + 1) & mask; !empty(slots[next]); next = (next + 1) & mask) {
    const size_t wanted = home(slots[next]) & mask;
    if (((next - wanted) & mask) >= ((next - hole) & mask)) {
      slots[hole] = slots[next];
      hole = next;
    }
  }
  slots[hole] = {};
}

/** How many flows have each address as an endpoint. */
template <typename Ip>
class AddressCounts {
 public:
  void add(const Ip& address) {
    if ((used_ + 1) * 10 > slots_.size() * 7) grow();
    Slot& slot = find(address);
    if (slot.count == 0) {
      slot.address = address;
      ++used_;
    }
    ++slot.count;
  }
  void remove(const Ip& address) {
    if (slots_.empty()) return;
    Slot& slot = find(address);
    if (slot.count == 0 || --slot.count > 0) return;
    --used_;
    closeGap(slots_, static_cast<size_t>(&slot - slots_.data()), [](const Slot& s) { return size_t{mix(s.address)}; }, [](const Slot& s) { return s.count == 0; });
  }
  uint32_t count(const Ip& address) const { return slots_.empty() ? 0 : const_cast<AddressCounts*>(this)->find(address).count; }
  size_t bytes() const { return slots_.size() * sizeof(Slot); }
  void clear() {
    std::vector<Slot>().swap(slots_);
    used_ = 0;
  }

 private:
  struct Slot {
    Ip address{};
    uint32_t count = 0;
  };
  static uint32_t mix(const Ip& address) {
    uint32_t h = address.hash();
    return h ^ (h >> 15);
  }
  Slot& find(const Ip& address) {
    const size_t mask = slots_.size() - 1;
    size_t at = mix(address) & mask;
    while (slots_[at].count != 0 && !(slots_[at].address == address)) at = (at + 1) & mask;
    return slots_[at];
  }
  void grow() {
    std::vector<Slot> old(slots_.empty() ? 64 : slots_.size() * 2);
    old.swap(slots_);
    for (const Slot& slot : old) {
      if (slot.count != 0) find(slot.address) = slot;
    }
  }
  std::vector<Slot> slots_;
  size_t used_ = 0;
};

/** The records of one address family. */
template <typename Ip>
class FlowPool {
 public:
  using Record = PackedFlow<Ip>;

  Record* find(const FlowKey& key) {
    if (slots_.empty()) return nullptr;
    const size_t mask = slots_.size() - 1;
    for (size_t at = home(key.id) & mask; slots_[at] != 0; at = (at + 1) & mask) {
      Record& record = get(slots_[at] - 1);
      if (record.is(key)) return &record;
    }
    return nullptr;
  }

  /** The caller has checked that the key is absent. */
  Record& insert(const Flow& flow) {
    if ((live_ + 1) * 10 > slots_.size() * 7) grow();
    const uint32_t place = takePlace();
    Record& record = get(place);
    record = Record{};
    record.id = flow.key.id;
    record.source = Ip::of(flow.key.source);
    record.destination = Ip::of(flow.key.destination);
    record.replySource = Ip::of(flow.replySource);
    record.sourcePort = flow.key.sourcePort;
    record.destinationPort = flow.key.destinationPort;
    record.replySourcePort = flow.replySourcePort;
    record.zone = flow.key.zone;
    record.protocol = flow.key.protocol;
    record.flags = flow.key.directionalZone ? Record::kDirectionalZone : 0;
    link(place, record.id);
    ++live_;
    addresses_.add(record.source);
    if (!(record.source == record.replySource)) addresses_.add(record.replySource);
    return record;
  }

  void erase(Record& record) {
    addresses_.remove(record.source);
    if (!(record.source == record.replySource)) addresses_.remove(record.replySource);
    const size_t mask = slots_.size() - 1;
    size_t at = home(record.id) & mask;
    while (&get(slots_[at] - 1) != &record) at = (at + 1) & mask;
    const uint32_t place = slots_[at] - 1;
    closeGap(slots_, at, [this](uint32_t slot) { return size_t{home(get(slot - 1).id)}; }, [](uint32_t slot) { return slot == 0; });
    record.seen = 0;
    record.id = free_;
    free_ = place + 1;
    if (--live_ == 0) release();
  }

  template <typename Visit>
  void each(Visit visit) {
    for (uint32_t place = 0; place < places_; ++place) {
      Record& record = get(place);
      if (record.seen != 0) visit(record);
    }
  }

  uint32_t countOf(const Ip& address) const { return addresses_.count(address); }
  size_t live() const { return live_; }
  size_t bytes() const { return blocks_.size() * kBlock * sizeof(Record) + slots_.size() * sizeof(uint32_t) + addresses_.bytes(); }
  void release() {
    blocks_.clear();
    std::vector<uint32_t>().swap(slots_);
    addresses_.clear();
    live_ = places_ = free_ = 0;
  }

 private:
  static constexpr uint32_t kBlock = 16384;
  static uint32_t home(uint32_t id) {
    const uint32_t h = id * 0x9e3779b1u;
    return h ^ (h >> 16);
  }
  Record& get(uint32_t place) { return blocks_[place / kBlock][place % kBlock]; }
  uint32_t takePlace() {
    if (free_ != 0) {
      const uint32_t place = free_ - 1;
      free_ = get(place).id;
      return place;
    }
    if (places_ == blocks_.size() * kBlock) blocks_.emplace_back(new Record[kBlock]());
    return places_++;
  }
  void link(uint32_t place, uint32_t id) {
    const size_t mask = slots_.size() - 1;
    size_t at = home(id) & mask;
    while (slots_[at] != 0) at = (at + 1) & mask;
    slots_[at] = place + 1;
  }
  void grow() {
    std::vector<uint32_t> old(slots_.empty() ? 64 : slots_.size() * 2);
    old.swap(slots_);
    for (uint32_t slot : old) {
      if (slot != 0) link(slot - 1, get(slot - 1).id);
    }
  }

  std::vector<std::unique_ptr<Record[]>> blocks_;
  std::vector<uint32_t> slots_;  // place + 1; 0 = empty
  AddressCounts<Ip> addresses_;
  size_t live_ = 0;
  uint32_t places_ = 0;
  uint32_t free_ = 0;  // place + 1 of the first free record; its id links to the next
};

}  // namespace dfw
