#include "corpus.h"

#include <algorithm>
#include <fstream>
#include <iterator>

#include "support/paths.h"

namespace resnet::fuzz {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kLength = 4;  // bytes of an input's length

std::string content_of(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace

fs::path corpus_of(const std::string& target) {
  return test::source_folder() / "fuzz" / "corpus" / (target + ".bin");
}

std::vector<std::string> read_corpus(const std::string& target) {
  const std::string all = content_of(corpus_of(target));
  std::vector<std::string> inputs;
  for (std::size_t at = 0; at + kLength <= all.size();) {
    std::size_t size = 0;
    for (std::size_t i = kLength; i-- > 0;) size = size << 8U | static_cast<unsigned char>(all[at + i]);
    inputs.push_back(all.substr(at + kLength, size));
    at += kLength + size;
  }
  return inputs;
}

void write_corpus(const std::string& target, const fs::path& folder) {
  constexpr std::size_t kMost = std::size_t{1} << 16U;
  std::vector<std::string> inputs;
  for (const auto& entry : fs::directory_iterator(folder)) inputs.push_back(content_of(entry.path()));
  std::ranges::sort(inputs, [](const std::string& a, const std::string& b) {
    return a.size() != b.size() ? a.size() < b.size() : a < b;
  });
  std::string all;
  for (const std::string& input : inputs) {
    if (all.size() + kLength + input.size() > kMost) break;
    for (std::size_t i = 0; i < kLength; ++i) all += static_cast<char>(input.size() >> 8U * i);
    all += input;
  }
  fs::create_directories(corpus_of(target).parent_path());
  std::ofstream(corpus_of(target), std::ios::binary) << all;
}

}  // namespace resnet::fuzz
