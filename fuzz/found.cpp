#include "found.h"

#include <cstdlib>
#include <sstream>

#include "base/text.h"
#include "target.h"

namespace resnet::fuzz {

void found(const std::string& what) {
  fmt::print(stderr, "FOUND {}\n", printable(what));
  std::abort();
}

void check_message(const Error& error, std::string_view begin) {
  const std::string what = error.what(), hint = error.hint();
  if (what.empty() || what.size() > 300 || hint.empty() || hint.size() > 300)
    found("a message of another length: " + what);
  if (printable(what) != what || printable(hint) != hint) found("a message that is not printable");
  if (!what.starts_with(begin)) found("a message without the file's name: " + what);
}

std::vector<test::SimulatedDisk::Node> disk_of(const std::map<std::string, std::string>& files) {
  std::vector<test::SimulatedDisk::Node> nodes = {{true, S_IFDIR | 0755, "", {}}};
  for (const auto& [name, bytes] : files) {
    nodes.front().names[name] = static_cast<int>(nodes.size());
    nodes.push_back({false, S_IFREG | 0644, bytes, {}});
  }
  return nodes;
}

std::vector<std::string> words_of(const std::string& text) {
  std::vector<std::string> list;
  std::istringstream stream(text);
  for (std::string word; stream >> word;) list.push_back(word);
  return list;
}

}  // namespace resnet::fuzz
