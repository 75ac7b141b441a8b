// An operation's options as the text form names them. Only files and their readers see them: in memory an
// operation holds its options as a struct.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "base/variant.h"
#include "resnet/graph.h"

namespace resnet::graph {

/// Numbers and lists of whole numbers, by name.
class Attributes {
 public:
  using Entry = std::variant<std::int64_t, double, std::vector<std::int64_t>>;
  Attributes() = default;
  Attributes(std::initializer_list<std::pair<const std::string, Entry>> entries) {
    for (const auto& [name, entry] : entries) entries_.emplace(name, copied(entry));
  }
  Attributes(Attributes&&) = default;
  Attributes& operator=(Attributes&&) = default;

  void set(const std::string& name, Entry entry) { entries_[name] = std::move(entry); }
  const std::map<std::string, Entry>& entries() const noexcept { return entries_; }
  bool operator==(const Attributes&) const = default;

 private:
  std::map<std::string, Entry> entries_;
};

/// Reads the attributes of one operation; all its functions throw FormatError naming the attribute. What has
/// not been read when finish() is called is no option of that operation.
class AttributeReader {
 public:
  explicit AttributeReader(const Attributes& attributes) : attributes_(attributes) {}

  std::int64_t integer(const std::string& name);
  std::int64_t integer_or(const std::string& name, std::int64_t otherwise);
  double real(const std::string& name);
  const std::vector<std::int64_t>& integers(const std::string& name);
  void finish() const;

 private:
  template <class T>
  const T& entry(const std::string& name, const char* kind);

  const Attributes& attributes_;
  std::set<std::string> read_;
};

}  // namespace resnet::graph
