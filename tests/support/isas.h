// The instruction sets that tests run on.
#pragma once

#include <iostream>
#include <vector>

#include "base/machine.h"

namespace resnet::test {

/// Those that this machine runs; says once which it does not.
inline const std::vector<Isa>& isas() {
  static const std::vector<Isa> all = [] {
    std::vector<Isa> runnable;
    for (const Isa isa : {Isa::avx2, Isa::avx512, Isa::avx512_bf16}) {
      if (isa <= best_isa()) {
        runnable.push_back(isa);
      } else {
        std::cout << "[ NOT RUN  ] " << name_of(isa) << ": this processor does not have it\n";
      }
    }
    return runnable;
  }();
  return all;
}

}  // namespace resnet::test
