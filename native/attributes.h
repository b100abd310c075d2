// Netlink attributes as a range: for (const nlattr* attribute : attributesOf(message, sizeof(nfgenmsg))) ... A malformed length ends the range.
#pragma once
#include <libmnl/libmnl.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <string>

namespace dfw {

class Attributes {
 public:
  class Iterator {
   public:
    Iterator(const uint8_t* place, const uint8_t* end) : place_(place), end_(end) { check(); }
    const nlattr* operator*() const { return reinterpret_cast<const nlattr*>(place_); }
    Iterator& operator++() {
      const size_t step = NLA_ALIGN((**this)->nla_len);
      place_ = step < static_cast<size_t>(end_ - place_) ? place_ + step : end_;
      check();
      return *this;
    }
    bool operator!=(const Iterator& other) const { return place_ != other.place_; }

   private:
    void check() {
      const size_t left = static_cast<size_t>(end_ - place_);
      if (left < sizeof(nlattr) || (**this)->nla_len < sizeof(nlattr) || (**this)->nla_len > left) place_ = end_;
    }
    const uint8_t* place_;
    const uint8_t* end_;
  };

  Attributes(const void* start, size_t size) : start_(static_cast<const uint8_t*>(start)), end_(start_ + size) {}
  Iterator begin() const { return {start_, end_}; }
  Iterator end() const { return {end_, end_}; }

 private:
  const uint8_t* start_;
  const uint8_t* end_;
};

// Behind the message's fixed header of `headerSize` bytes (nfgenmsg, ifinfomsg, ...). Empty when the message is shorter.
inline Attributes attributesOf(const nlmsghdr* message, size_t headerSize) {
  const size_t payload = mnl_nlmsg_get_payload_len(message);
  const size_t skipped = MNL_ALIGN(headerSize);
  if (payload < skipped) return {mnl_nlmsg_get_payload(message), 0};
  return {static_cast<const uint8_t*>(mnl_nlmsg_get_payload(message)) + skipped, payload - skipped};
}

// Inside a nest.
inline Attributes attributesOf(const nlattr* nest) { return {mnl_attr_get_payload(nest), mnl_attr_get_payload_len(nest)}; }

// Indexes attributes by type; absent ones are null, types beyond the array are skipped, the last of equal types counts.
template <size_t Size>
void indexAttributes(const Attributes& attributes, const nlattr* (&found)[Size]) {
  for (const nlattr*& slot : found) slot = nullptr;
  for (const nlattr* attribute : attributes) {
    const uint16_t type = mnl_attr_get_type(attribute);
    if (type < Size) found[type] = attribute;
  }
}

// The first bytes of the attribute as they are (no byte order); false when it is null or shorter.
template <typename Value>
bool readAttribute(const nlattr* attribute, Value* value) {
  if (attribute == nullptr || mnl_attr_get_payload_len(attribute) < sizeof *value) return false;
  memcpy(value, mnl_attr_get_payload(attribute), sizeof *value);
  return true;
}

// Text up to the first zero byte; "" for null.
inline std::string attributeText(const nlattr* attribute) {
  if (attribute == nullptr) return {};
  const auto* text = static_cast<const char*>(mnl_attr_get_payload(attribute));
  return {text, strnlen(text, mnl_attr_get_payload_len(attribute))};
}

}  // namespace dfw
