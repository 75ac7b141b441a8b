// One comparison of the native engine with the oracle.
#pragma once

#include <string>

#include "resnet/engine.h"

namespace resnet::test {

struct ZooCase {
  std::string model;
  Shape images;
};
void PrintTo(const ZooCase& c, std::ostream* out);

void expect_native_matches_reference(const ZooCase& c);
/// Of a network of ten classes, its values set.
void expect_native_matches_reference(const nn::Module& net, const Shape& images,
                                     Precision precision = Precision::f32);

}  // namespace resnet::test
