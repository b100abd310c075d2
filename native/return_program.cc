#include "return_program.h"

#include <errno.h>
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <iterator>
#include <vector>

namespace dfw {
namespace {

// Instructions as the kernel's Documentation/bpf/standardization/instruction-set.rst has them.
bpf_insn make(int code, int destination, int source, int offset, int32_t immediate) {
  bpf_insn instruction{};
  instruction.code = static_cast<uint8_t>(code);
  instruction.dst_reg = static_cast<uint8_t>(destination & 15);
  instruction.src_reg = static_cast<uint8_t>(source & 15);
  instruction.off = static_cast<int16_t>(offset);
  instruction.imm = immediate;
  return instruction;
}
bpf_insn move(int to, int from) { return make(BPF_ALU64 | BPF_MOV | BPF_X, to, from, 0, 0); }
bpf_insn set(int to, int32_t number) { return make(BPF_ALU64 | BPF_MOV | BPF_K, to, 0, 0, number); }
bpf_insn add(int to, int32_t number) { return make(BPF_ALU64 | BPF_ADD | BPF_K, to, 0, 0, number); }
bpf_insn call(int helper) { return make(BPF_JMP | BPF_CALL, 0, 0, 0, helper); }
bpf_insn load32(int to, int from, int offset) { return make(BPF_LDX | BPF_W | BPF_MEM, to, from, offset, 0); }
bpf_insn store32(int at, int offset, int from) { return make(BPF_STX | BPF_W | BPF_MEM, at, from, offset, 0); }

// A key of the map, on the stack: MAC address, then the side in 2 bytes.
constexpr int kKey = -8;
constexpr int kSideInKey = -2;
constexpr int kMacLength = 6;
constexpr int kDestinationInFrame = 0;
constexpr int kSourceInFrame = 6;

struct Key {
  uint8_t mac[6];
  uint16_t side;
};
struct Value {
  uint32_t interfaceIndex;
  uint32_t flags;
};
static_assert(sizeof(Key) == 8 && sizeof(Value) == 8);

class Assembler {
 public:
  void put(bpf_insn instruction) { code_.push_back(instruction); }
  // A jump whose target is not known yet.
  size_t jump(int operation, int reg, int32_t number) {
    put(make(BPF_JMP | operation | BPF_K, reg, 0, 0, number));
    return code_.size() - 1;
  }
  void land(size_t jump) { code_[jump].off = static_cast<int16_t>(code_.size() - jump - 1); }
  void mapAddress(int reg, int fd) {
    put(make(BPF_LD | BPF_DW | BPF_IMM, reg, BPF_PSEUDO_MAP_FD, 0, fd));
    put(make(0, 0, 0, 0, 0));
  }
  const std::vector<bpf_insn>& code() const { return code_; }

 private:
  std::vector<bpf_insn> code_;
};

std::vector<bpf_insn> assemble(int map, uint32_t mark) {
  Assembler a;
  std::vector<size_t> toDrop;
  std::vector<size_t> toFound;
  a.put(move(6, 1));  // the packet
  const auto look = [&](int offsetInFrame, int16_t side) {
    a.put(make(BPF_ST | BPF_DW | BPF_MEM, 10, 0, kKey, 0));
    a.put(move(1, 6));
    a.put(set(2, offsetInFrame));
    a.put(move(3, 10));
    a.put(add(3, kKey));
    a.put(set(4, kMacLength));
    a.put(call(BPF_FUNC_skb_load_bytes));
    toDrop.push_back(a.jump(BPF_JNE, 0, 0));
    a.put(make(BPF_ST | BPF_H | BPF_MEM, 10, 0, kSideInKey, side));
    a.mapAddress(1, map);
    a.put(move(2, 10));
    a.put(add(2, kKey));
    a.put(call(BPF_FUNC_map_lookup_elem));
  };
  look(kSourceInFrame, kReturnSource);
  toFound.push_back(a.jump(BPF_JNE, 0, 0));
  look(kDestinationInFrame, kReturnDestination);
  toDrop.push_back(a.jump(BPF_JEQ, 0, 0));
  for (const size_t jump : toFound) a.land(jump);
  a.put(move(7, 0));
  a.put(load32(1, 6, offsetof(__sk_buff, mark)));
  a.put(make(BPF_ALU64 | BPF_OR | BPF_K, 1, 0, 0, static_cast<int32_t>(mark)));
  a.put(store32(6, offsetof(__sk_buff, mark), 1));
  a.put(load32(1, 7, offsetof(Value, interfaceIndex)));
  a.put(load32(2, 7, offsetof(Value, flags)));
  a.put(call(BPF_FUNC_redirect));
  a.put(make(BPF_JMP | BPF_EXIT, 0, 0, 0, 0));
  for (const size_t jump : toDrop) a.land(jump);
  a.put(set(0, TC_ACT_SHOT));
  a.put(make(BPF_JMP | BPF_EXIT, 0, 0, 0, 0));
  return a.code();
}

long bpf(int command, bpf_attr* attributes) { return syscall(__NR_bpf, command, attributes, sizeof *attributes); }

constexpr char kName[] = "dfw_return";
constexpr char kLicense[] = "Apache-2.0";

Failure fillMap(int map, const ReturnEntry* entries, size_t count) {
  for (const ReturnEntry* entry = entries; entry != entries + count; entry++) {
    Key key{};
    std::copy(std::begin(entry->mac), std::end(entry->mac), key.mac);
    key.side = entry->side;
    Value value{entry->interfaceIndex, entry->side == kReturnSource ? static_cast<uint32_t>(BPF_F_INGRESS) : 0};
    bpf_attr request{};
    request.map_fd = static_cast<uint32_t>(map);
    request.key = reinterpret_cast<uint64_t>(&key);
    request.value = reinterpret_cast<uint64_t>(&value);
    if (bpf(BPF_MAP_UPDATE_ELEM, &request) < 0) return {errno, "bpf(BPF_MAP_UPDATE_ELEM)"};
  }
  return {};
}

}  // namespace

Failure loadReturnProgram(const ReturnEntry* entries, size_t count, uint32_t mark, UniqueFd* program) {
  bpf_attr create{};
  create.map_type = BPF_MAP_TYPE_HASH;
  create.key_size = sizeof(Key);
  create.value_size = sizeof(Value);
  create.max_entries = static_cast<uint32_t>(std::max<size_t>(count, 1));
  memcpy(create.map_name, kName, sizeof kName);
  const UniqueFd map(static_cast<int>(bpf(BPF_MAP_CREATE, &create)));
  if (!map.valid()) return {errno, "bpf(BPF_MAP_CREATE)"};
  if (Failure failure = fillMap(map.get(), entries, count)) return failure;

  const std::vector<bpf_insn> code = assemble(map.get(), mark);
  bpf_attr load{};
  load.prog_type = BPF_PROG_TYPE_SCHED_CLS;
  load.insns = reinterpret_cast<uint64_t>(code.data());
  load.insn_cnt = static_cast<uint32_t>(code.size());
  load.license = reinterpret_cast<uint64_t>(kLicense);
  memcpy(load.prog_name, kName, sizeof kName);
  *program = UniqueFd(static_cast<int>(bpf(BPF_PROG_LOAD, &load)));
  if (!program->valid()) return {errno, "bpf(BPF_PROG_LOAD)"};
  return {};
}

}  // namespace dfw
