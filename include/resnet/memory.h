// Memory: what happens where there is too little of it.
//
// What is large is asked for before it is taken: the values of a network, an engine's arena, the whole of a
// run (EngineOptions::memory). Where that does not fit, a MemoryError says how much is needed and how much
// there is. Where the system has no memory for something small, std::bad_alloc comes out, as of any library.
// Either way what was there is as it was: engines keep their state, networks their values, files their
// content, and another try may succeed.
#pragma once

#include <cstdint>
#include <string>

#include "resnet/error.h"

namespace resnet {

/// Too little memory for what was asked for.
class MemoryError : public Error {
 public:
  explicit MemoryError(const std::string& what, const std::string& hint = {})
      : Error(what, hint, "less at a time needs less memory: smaller batches, or smaller images") {}
};

/// Bytes of an engine's arena.
struct ArenaBytes {
  std::int64_t state = 0, work = 0, scratch = 0;
  std::int64_t total() const noexcept { return state + work + scratch; }
};

}  // namespace resnet
