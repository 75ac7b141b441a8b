// How many threads the machine, or who runs the program, wants.
#pragma once

#include <string>

namespace resnet {

/// A number of threads, and what decided it.
struct ThreadCount {
  int count = 1;
  std::string from;  // "OMP_NUM_THREADS", "control group" (its quota), "affinity" or "cores"
};

/// usable_cores(): those that affinity (and so a cpuset) and the quotas of control groups leave; a part of a
/// core counts as one.
ThreadCount cores_left();
/// default_threads(): OMP_NUM_THREADS if it is a number >= 1, else cores_left().
ThreadCount threads_wanted();

}  // namespace resnet
