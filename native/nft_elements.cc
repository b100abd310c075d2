#include "nft_elements.h"

#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>

#include <algorithm>
#include <string_view>
#include <unordered_set>

#include "attributes.h"

namespace dfw {
namespace {

constexpr const char* kCall = "encodeElements";
// nla_len is 16 bits wide; the rest is room to spare.
constexpr size_t kListLimit = 65'000;
constexpr size_t kHeader = NLA_HDRLEN;
constexpr char kCounterName[] = "counter";

size_t aligned(size_t length) { return (length + 3) & ~size_t{3}; }

// Writes attributes one after the other into memory that is known to be large enough.
class AttributeWriter {
 public:
  explicit AttributeWriter(uint8_t* place) : start_(place), place_(place) {}
  size_t written() const { return static_cast<size_t>(place_ - start_); }

  uint8_t* open(uint16_t type) {
    uint8_t* header = place_;
    header_(static_cast<uint16_t>(type | NLA_F_NESTED), 0);
    return header;
  }
  void close(uint8_t* header) {
    const auto length = static_cast<uint16_t>(place_ - header);
    memcpy(header, &length, sizeof length);
  }
  void bytes(uint16_t type, const void* value, size_t length) {
    header_(type, static_cast<uint16_t>(kHeader + length));
    memcpy(place_, value, length);
    memset(place_ + length, 0, aligned(length) - length);
    place_ += aligned(length);
  }
  void u32(uint16_t type, uint32_t value) {
    const uint32_t big = htonl(value);
    bytes(type, &big, sizeof big);
  }
  void value(uint16_t type, const void* value, size_t length) {
    uint8_t* nest = open(type);
    bytes(NFTA_DATA_VALUE, value, length);
    close(nest);
  }

 private:
  void header_(uint16_t type, uint16_t length) {
    memcpy(place_, &length, sizeof length);
    memcpy(place_ + sizeof length, &type, sizeof type);
    place_ += kHeader;
  }
  uint8_t* start_;
  uint8_t* place_;
};

bool isEnd(const ElementList& list, size_t index) { return list.flags != nullptr && (list.flags[index] & NFT_SET_ELEM_INTERVAL_END) != 0; }

void writeElement(AttributeWriter& writer, const ElementList& list, size_t index) {
  const uint8_t flags = list.flags == nullptr ? 0 : list.flags[index];
  uint8_t* element = writer.open(NFTA_LIST_ELEM);
  if (flags != 0) writer.u32(NFTA_SET_ELEM_FLAGS, flags);
  if ((flags & NFT_SET_ELEM_CATCHALL) == 0) writer.value(NFTA_SET_ELEM_KEY, list.keys + index * list.keyLength, list.keyLength);
  if (list.add && (flags & NFT_SET_ELEM_INTERVAL_END) == 0) {
    if (list.dataLength > 0) writer.value(NFTA_SET_ELEM_DATA, list.data + index * list.dataLength, list.dataLength);
    if (list.counter) {
      uint8_t* expression = writer.open(NFTA_SET_ELEM_EXPR);
      writer.bytes(NFTA_EXPR_NAME, kCounterName, sizeof kCounterName);
      writer.close(writer.open(NFTA_EXPR_DATA));
      writer.close(expression);
    }
  }
  writer.close(element);
}

size_t largestElement(const ElementList& list) {
  size_t size = kHeader + (kHeader + 4) + (2 * kHeader + aligned(list.keyLength));
  if (list.add && list.dataLength > 0) size += 2 * kHeader + aligned(list.dataLength);
  if (list.add && list.counter) size += kHeader + (kHeader + aligned(sizeof kCounterName)) + kHeader;
  return size;
}

}  // namespace

Failure encodeElements(const ElementList& list, ByteBuffer& out, size_t* messages) {
  *messages = 0;
  if (list.count == 0) return {};
  const size_t prefix = NLMSG_HDRLEN + sizeof(nfgenmsg) + kHeader + aligned(list.table.size() + 1) + kHeader + aligned(list.set.size() + 1) + kHeader;
  const size_t element = largestElement(list);
  const size_t perMessage = kListLimit / element - 1;
  if (!out.reserve(out.size() + list.count * element + (list.count / perMessage + 1) * prefix)) return {ENOMEM, kCall};

  size_t index = 0;
  while (index < list.count) {
    // One more than perMessage may follow: the end of the last interval.
    const size_t start = out.size();
    uint8_t* place = out.extend(prefix + std::min(perMessage + 1, list.count - index) * element);
    if (place == nullptr) return {ENOMEM, kCall};
    nlmsghdr header{};
    header.nlmsg_type = static_cast<uint16_t>((NFNL_SUBSYS_NFTABLES << 8) | (list.add ? NFT_MSG_NEWSETELEM : NFT_MSG_DELSETELEM));
    header.nlmsg_flags = static_cast<uint16_t>(NLM_F_REQUEST | (list.add ? NLM_F_CREATE : 0));
    nfgenmsg general{};
    general.nfgen_family = list.family;
    general.version = NFNETLINK_V0;
    memcpy(place + NLMSG_HDRLEN, &general, sizeof general);
    AttributeWriter writer(place + NLMSG_HDRLEN + sizeof general);
    writer.bytes(NFTA_SET_ELEM_LIST_TABLE, list.table.c_str(), list.table.size() + 1);
    writer.bytes(NFTA_SET_ELEM_LIST_SET, list.set.c_str(), list.set.size() + 1);
    uint8_t* nest = writer.open(NFTA_SET_ELEM_LIST_ELEMENTS);
    for (size_t held = 0; index < list.count && (held < perMessage || (held == perMessage && isEnd(list, index))); held++, index++) {
      writeElement(writer, list, index);
    }
    writer.close(nest);
    header.nlmsg_len = static_cast<uint32_t>(NLMSG_HDRLEN + sizeof general + writer.written());
    memcpy(place, &header, sizeof header);
    out.shrink(start + header.nlmsg_len);
    (*messages)++;
  }
  return {};
}

namespace {

constexpr const char* kDecode = "dumpElements";

bool appendZeros(ByteBuffer& out, size_t size) {
  if (size == 0) return true;
  uint8_t* place = out.extend(size);
  if (place != nullptr) memset(place, 0, size);
  return place != nullptr;
}

// Packets and bytes of a counter expression; false when the expression is something else.
bool readCounter(const nlattr* expression, uint64_t (&values)[2]) {
  const nlattr* parts[NFTA_EXPR_MAX + 1];
  indexAttributes(attributesOf(expression), parts);
  if (attributeText(parts[NFTA_EXPR_NAME]) != kCounterName || parts[NFTA_EXPR_DATA] == nullptr) return false;
  const nlattr* numbers[NFTA_COUNTER_MAX + 1];
  indexAttributes(attributesOf(parts[NFTA_EXPR_DATA]), numbers);
  uint64_t packets = 0;
  uint64_t bytes = 0;
  if (!readAttribute(numbers[NFTA_COUNTER_PACKETS], &packets) || !readAttribute(numbers[NFTA_COUNTER_BYTES], &bytes)) return false;
  values[0] = be64toh(packets);
  values[1] = be64toh(bytes);
  return true;
}

}  // namespace

void DecodedElements::clear() {
  count = 0;
  verdicts = false;
  keys.clear();
  data.clear();
  flags.clear();
  counters.clear();
}

Failure DecodedElements::append(const nlmsghdr* message) {
  if (mnl_nlmsg_get_payload_len(message) < sizeof(nfgenmsg)) return {EBADMSG, kDecode};
  const nlattr* parts[NFTA_SET_ELEM_LIST_MAX + 1];
  indexAttributes(attributesOf(message, sizeof(nfgenmsg)), parts);
  const nlattr* list = parts[NFTA_SET_ELEM_LIST_ELEMENTS];
  if (list == nullptr) return {};  // an empty set
  for (const nlattr* element : attributesOf(list)) {
    if (mnl_attr_get_type(element) != NFTA_LIST_ELEM) continue;
    if (Failure failure = appendElement(element)) return failure;
  }
  return {};
}

bool DecodedElements::hasDuplicates() const {
  // Ends and other elements may have equal keys; so may an element and the catch-all one, whose key is zeros here.
  std::unordered_set<std::string_view> seen[4];
  seen[0].reserve(count);
  for (size_t index = 0; index < count; index++) {
    const std::string_view key(reinterpret_cast<const char*>(keys.data() + index * keyLength), keyLength);
    if (!seen[flags.data()[index] & 3].insert(key).second) return true;
  }
  return false;
}

Failure DecodedElements::appendElement(const nlattr* element) {
  const nlattr* parts[NFTA_SET_ELEM_MAX + 1];
  indexAttributes(attributesOf(element), parts);

  uint8_t flag = 0;
  uint32_t kernelFlags = 0;
  if (readAttribute(parts[NFTA_SET_ELEM_FLAGS], &kernelFlags)) {
    flag = static_cast<uint8_t>(ntohl(kernelFlags) & (NFT_SET_ELEM_INTERVAL_END | NFT_SET_ELEM_CATCHALL));
  }
  if (!flags.append(&flag, 1)) return {ENOMEM, kDecode};

  const nlattr* value[NFTA_DATA_MAX + 1];
  if (parts[NFTA_SET_ELEM_KEY] == nullptr) {
    if (!appendZeros(keys, keyLength)) return {ENOMEM, kDecode};
  } else {
    indexAttributes(attributesOf(parts[NFTA_SET_ELEM_KEY]), value);
    if (value[NFTA_DATA_VALUE] == nullptr) return {EBADMSG, kDecode};
    const size_t length = mnl_attr_get_payload_len(value[NFTA_DATA_VALUE]);
    if (length != keyLength) return {EINVAL, kDecode, "keys of the set have " + std::to_string(length) + " bytes, not " + std::to_string(keyLength)};
    if (!keys.append(mnl_attr_get_payload(value[NFTA_DATA_VALUE]), length)) return {ENOMEM, kDecode};
  }

  if (dataLength > 0) {
    if (parts[NFTA_SET_ELEM_DATA] == nullptr) {
      if (!appendZeros(data, dataLength)) return {ENOMEM, kDecode};
    } else {
      indexAttributes(attributesOf(parts[NFTA_SET_ELEM_DATA]), value);
      if (value[NFTA_DATA_VALUE] == nullptr) {
        verdicts = true;
      } else {
        const size_t length = mnl_attr_get_payload_len(value[NFTA_DATA_VALUE]);
        if (length != dataLength) return {EINVAL, kDecode, "data of the set have " + std::to_string(length) + " bytes, not " + std::to_string(dataLength)};
        if (!data.append(mnl_attr_get_payload(value[NFTA_DATA_VALUE]), length)) return {ENOMEM, kDecode};
      }
    }
  }

  if (wantCounters) {
    uint64_t values[2] = {0, 0};
    if (const nlattr* expression = parts[NFTA_SET_ELEM_EXPR]) {
      readCounter(expression, values);
    } else if (const nlattr* list = parts[NFTA_SET_ELEM_EXPRESSIONS]) {
      for (const nlattr* entry : attributesOf(list)) {
        if (readCounter(entry, values)) break;
      }
    }
    if (!counters.append(values, sizeof values)) return {ENOMEM, kDecode};
  }
  count++;
  return {};
}

}  // namespace dfw
