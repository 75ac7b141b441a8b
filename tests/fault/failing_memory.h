// Memory that ends: the n-th allocation of whatever is tried gives none, for every n until none is left.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <functional>
#include <ostream>
#include <string>

namespace resnet::test {

/// Lets the `number`-th allocation of all threads from here on fail, from 1, and those behind it too where it
/// is `for_good`: by operator new in all its forms, malloc and its kin (as C libraries and the starting of
/// threads call them), and aligned_alloc. Under sanitizers, whose malloc cannot be replaced, by operator new
/// and in this thread alone that by which threads are made.
class MemoryEnds {
 public:
  explicit MemoryEnds(std::int64_t number, bool for_good = false);
  ~MemoryEnds();
  MemoryEnds(const MemoryEnds&) = delete;
  MemoryEnds& operator=(const MemoryEnds&) = delete;

  /// Whether it came to that.
  bool reached() const;
};

/// What came of one try.
struct TriedMemory {
  std::int64_t number;  // of the allocation that failed
  bool for_good;        // and all behind it
  bool done;            // it returned
  std::string what;     // of the error

  friend std::ostream& operator<<(std::ostream& out, const TriedMemory& tried) {
    return out << "allocation " << tried.number << (tried.for_good ? " and all behind it" : "")
               << (tried.done ? " failed: done" : " failed: " + tried.what);
  }
};

/// For each allocation, of each `stride` of them one: prepare(), then body() with that one failing, then
/// check(). The body ends well, with std::bad_alloc, or with an Error of a line and a hint, and leaves no
/// descriptor open. Gives how many have failed.
std::int64_t for_each_allocation(const std::function<void()>& prepare, const std::function<void()>& body,
                                 const std::function<void(const TriedMemory&)>& check,
                                 std::int64_t stride = 1);

}  // namespace resnet::test
