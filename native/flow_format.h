// Flows as whole lines of text (the NSX getflows form) or as JSON objects, written straight into a byte buffer.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "flow_index.h"
#include "flow_record.h"

namespace dfw {

/** label id -> visible rule id and policy; open addressing, built once per stream. */
class RuleNames {
 public:
  struct Name {
    /** 0 when the label id is unknown (stale). */
    uint32_t rule = 0;
    /** JSON; empty when the rule belongs to no policy. */
    std::string_view policy;
  };
  RuleNames() = default;
  RuleNames(const std::vector<uint32_t>& labels, const std::vector<uint32_t>& rules);
  /** Policies of the labels that the constructor was given, in their order: [begin, end) pairs into `text`. Pairs that reach outside name none. */
  void setPolicies(std::string text, const std::vector<uint32_t>& labels, const std::vector<uint32_t>& spans);
  Name of(uint32_t label) const;
  size_t longestPolicy() const { return longest_; }

 private:
  struct Slot {
    uint32_t label = 0, rule = 0, begin = 0, end = 0;
  };
  Slot* find(uint32_t label);
  std::vector<Slot> slots_;
  std::string text_;
  size_t longest_ = 0;
};

struct FormatOptions {
  bool json = false;
  bool byAddress = false;
  AddressSet local;
  /** Only sides whose rule is one of these. */
  bool byRule = false;
  IdSet rules;
  RuleNames names;
};

/**
 * Text, one line for each side of a connection that has a rule:
 *   ID STATE PROTO ETHERTYPE DIRECTION RULE 0 0  SRC:SERVICE(PORT) DST:SERVICE(PORT) AGE TCPSTATE BYTES-ORIG BYTES-REPLY PACKETS-ORIG PACKETS-REPLY
 * ID: conntrack id in the upper 32 of 64 bits, hex. STATE: Active, or InActive once TCP is past FIN (TIME_WAIT, CLOSE) or the entry is dying.
 * DIRECTION 1 = in, 2 = out. DST is the endpoint after DNAT. ICMP: SRC:icmp(ID) DST:icmp(TYPE.CODE). AGE in seconds, 0 without
 * net.netfilter.nf_conntrack_timestamp. TCPSTATE "-" for other protocols. JSON: FlowView of src/model/views.ts, same order of keys.
 */
class FlowFormatter {
 public:
  FlowFormatter(const FormatOptions& options, const FlowIndex& index) : options_(options), index_(index) {}
  /** Room that one flow may take in the worst case, both sides. */
  size_t room() const { return kRoom + 2 * options_.names.longestPolicy(); }
  /** Appends the lines or objects of one flow at `out`, `count` is raised by their number; returns the end. */
  char* append(char* out, const Flow& flow, uint64_t nowNs, uint64_t& count) const;

 private:
  static constexpr size_t kRoom = 2048;
  char* text(char* out, const Flow& flow, bool in, uint32_t rule, uint64_t age) const;
  char* json(char* out, const Flow& flow, bool in, const RuleNames::Name& name, uint64_t age) const;
  const FormatOptions& options_;
  const FlowIndex& index_;
};

}  // namespace dfw
