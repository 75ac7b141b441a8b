#include "support/paths.h"

namespace resnet::test {

std::filesystem::path source_folder() {
  return RESNET_SOURCE_DIR;
}

std::filesystem::path golden_folder() {
  return source_folder() / "tests" / "golden";
}

}  // namespace resnet::test
