// A growing byte array that reports lack of memory instead of ending the process, and never clears what it allocates.
#pragma once
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <utility>

namespace dfw {

class ByteBuffer {
 public:
  ByteBuffer() = default;
  ByteBuffer(ByteBuffer&& other) noexcept { *this = std::move(other); }
  ByteBuffer& operator=(ByteBuffer&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    std::swap(capacity_, other.capacity_);
    return *this;
  }
  ByteBuffer(const ByteBuffer&) = delete;
  ByteBuffer& operator=(const ByteBuffer&) = delete;
  ~ByteBuffer() { free(data_); }

  uint8_t* data() { return data_; }
  const uint8_t* data() const { return data_; }
  size_t size() const { return size_; }
  void clear() { size_ = 0; }
  // `size` must not exceed the present size.
  void shrink(size_t size) { size_ = size; }

  // False when there is no memory; the contents are unchanged then.
  [[nodiscard]] bool reserve(size_t capacity) {
    if (capacity <= capacity_) return true;
    void* grown = realloc(data_, capacity);
    if (grown == nullptr) return false;
    data_ = static_cast<uint8_t*>(grown);
    capacity_ = capacity;
    return true;
  }

  // `size` bytes at the end, not initialized; null when there is no memory.
  [[nodiscard]] uint8_t* extend(size_t size) {
    if (size > capacity_ - size_) {
      if (size > SIZE_MAX / 4 - size_) return nullptr;
      size_t wanted = capacity_ * 2;
      if (wanted < size_ + size) wanted = size_ + size;
      if (!reserve(wanted < 256 ? 256 : wanted)) return nullptr;
    }
    uint8_t* place = data_ + size_;
    size_ += size;
    return place;
  }

  [[nodiscard]] bool append(const void* source, size_t size) {
    if (size == 0) return true;
    uint8_t* place = extend(size);
    if (place == nullptr) return false;
    memcpy(place, source, size);
    return true;
  }

 private:
  uint8_t* data_ = nullptr;
  size_t size_ = 0;
  size_t capacity_ = 0;
};

}  // namespace dfw
