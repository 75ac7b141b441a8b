// One comparison of the native engine with the oracle.
#pragma once

#include <string>

#include "resnet/tensor.h"

namespace resnet::test {

struct ZooCase {
  std::string model;
  Shape images;
};
void PrintTo(const ZooCase& c, std::ostream* out);

void expect_native_matches_reference(const ZooCase& c);

}  // namespace resnet::test
