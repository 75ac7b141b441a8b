#include "graph/attributes.h"

namespace resnet::graph {
namespace {

[[noreturn]] void refuse(const std::string& what) {
  throw FormatError(what, "the file was not written by this program, or is damaged");
}

}  // namespace

template <class T>
const T& AttributeReader::entry(const std::string& name, const char* kind) {
  const auto found = attributes_.entries().find(name);
  if (found == attributes_.entries().end()) refuse("attribute '" + name + "' is missing");
  const T* value = std::get_if<T>(&found->second);
  if (value == nullptr) refuse("attribute '" + name + "' is not " + kind);
  read_.insert(name);
  return *value;
}

std::int64_t AttributeReader::integer(const std::string& name) {
  return entry<std::int64_t>(name, "a whole number");
}

std::int64_t AttributeReader::integer_or(const std::string& name, std::int64_t otherwise) {
  return attributes_.entries().contains(name) ? integer(name) : otherwise;
}

double AttributeReader::real(const std::string& name) {
  return entry<double>(name, "a number");
}

const std::vector<std::int64_t>& AttributeReader::integers(const std::string& name) {
  return entry<std::vector<std::int64_t>>(name, "a list of whole numbers");
}

void AttributeReader::finish() const {
  for (const auto& [name, value] : attributes_.entries()) {
    if (!read_.contains(name)) refuse("there is no attribute '" + name + "'");
  }
}

}  // namespace resnet::graph
