// Seconds of wall time that no change of the date moves.
#pragma once

#include <chrono>

namespace resnet {

using SteadyTime = std::chrono::steady_clock::time_point;

inline double seconds_between(SteadyTime begin, SteadyTime end) {
  return std::chrono::duration<double>(end - begin).count();
}
inline double seconds_since(SteadyTime begin) {
  return seconds_between(begin, std::chrono::steady_clock::now());
}
/// Since some moment before the program began.
inline double steady_seconds() {
  return seconds_since(SteadyTime());
}

}  // namespace resnet
