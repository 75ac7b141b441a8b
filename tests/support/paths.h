// Where the repository's own files are, for tests that read golden files. One source knows it, so that
// another checkout's build folder compiles the same bytes.
#pragma once

#include <filesystem>

namespace resnet::test {

std::filesystem::path source_folder();
std::filesystem::path golden_folder();

}  // namespace resnet::test
