#include "base/json.h"

#include <cstdint>
#include <iterator>
#include <string>
#include <unordered_set>
#include <utility>
#include <vector>

#include "resnet/error.h"

namespace resnet {
namespace {

[[noreturn]] void refuse(const std::string& what) {
  throw FormatError("JSON: " + what, "the file is damaged, or another program wrote it");
}

[[noreturn]] void refuse(const std::string& what, std::size_t position) {
  refuse(what + " at byte " + std::to_string(position));
}

// Walks over the text and leaves where it is, since the parser's events carry no position.
class TracingIterator {
 public:
  using iterator_category = std::input_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char*;
  using reference = const char&;

  TracingIterator(const char* at, const char** trace) : at_(at), trace_(trace) {}
  reference operator*() const { return *at_; }
  TracingIterator& operator++() {
    *trace_ = ++at_;
    return *this;
  }
  TracingIterator operator++(int) {
    TracingIterator before = *this;
    ++*this;
    return before;
  }
  bool operator==(const TracingIterator& other) const { return at_ == other.at_; }
  bool operator!=(const TracingIterator& other) const { return at_ != other.at_; }

 private:
  const char* at_;
  const char** trace_;
};

// For a message: printable ASCII of the key, not too much of it.
std::string shown(const std::string& key) {
  constexpr std::size_t kMost = 40;
  std::string text;
  for (const char c : key.substr(0, kMost)) text += c >= ' ' && c <= '~' ? c : '?';
  return key.size() > kMost ? text + "..." : text;
}

void add_member(nlohmann::json& object, std::string key, nlohmann::json value) {
  object.get_ptr<nlohmann::json::object_t*>()->emplace(std::move(key), std::move(value));
}

// emplace() would search; that the key is new has been checked.
void add_member(nlohmann::ordered_json& object, std::string key, nlohmann::ordered_json value) {
  object.get_ptr<nlohmann::ordered_json::object_t*>()->push_back({std::move(key), std::move(value)});
}

// Receives the parser's events and builds the value, within the limits. A list or object that is
// still open waits in a frame of its own and joins its parent when it closes.
template <class Json>
class Builder {
 public:
  Builder(const JsonLimits& limits, const char* begin, const char* const* trace)
      : limits_(limits), begin_(begin), trace_(trace) {}

  bool null() { return add(Json(nullptr)); }
  bool boolean(bool value) { return add(Json(value)); }
  bool number_integer(std::int64_t value) { return add(Json(value)); }
  bool number_unsigned(std::uint64_t value) { return add(Json(value)); }
  bool number_float(double value, const std::string&) { return add(Json(value)); }
  bool string(std::string& value) { return add(Json(std::move(value))); }
  bool binary(typename Json::binary_t&) { refuse("binary data", position()); }
  bool start_object(std::size_t) { return open(Json::object()); }
  bool start_array(std::size_t) { return open(Json::array()); }
  bool end_object() { return close(); }
  bool end_array() { return close(); }

  bool key(std::string& name) {
    Frame& frame = frames_.back();
    if (!frame.keys.insert(name).second) refuse("the key '" + shown(name) + "' appears twice", position());
    frame.key = std::move(name);
    return true;
  }

  bool parse_error(std::size_t at, const std::string&, const nlohmann::detail::exception&) {
    refuse("unexpected text or end", at);
  }

  Json take() { return std::move(root_); }

 private:
  struct Frame {
    Json value;
    std::string key;                       // of the member whose value comes next
    std::unordered_set<std::string> keys;  // of an object, so far
  };

  std::size_t position() const { return static_cast<std::size_t>(*trace_ - begin_); }

  bool add(Json value) {
    if (++values_ > limits_.values) {
      refuse("more than " + std::to_string(limits_.values) + " values", position());
    }
    if (frames_.empty()) {
      root_ = std::move(value);
      return true;
    }
    Frame& parent = frames_.back();
    if (parent.value.is_object()) {
      add_member(parent.value, std::move(parent.key), std::move(value));
    } else {
      parent.value.push_back(std::move(value));
    }
    return true;
  }

  bool open(Json empty) {
    if (static_cast<int>(frames_.size()) >= limits_.depth) {
      refuse("nested deeper than " + std::to_string(limits_.depth), position());
    }
    frames_.push_back({std::move(empty), {}, {}});
    return true;
  }

  bool close() {
    Json value = std::move(frames_.back().value);
    frames_.pop_back();
    return add(std::move(value));
  }

  const JsonLimits& limits_;
  const char* begin_;
  const char* const* trace_;
  std::vector<Frame> frames_;
  Json root_;
  std::size_t values_ = 0;
};

template <class Json>
Json parse(std::string_view text, const JsonLimits& limits) {
  if (text.size() > limits.bytes) {
    refuse(std::to_string(text.size()) + " bytes, more than " + std::to_string(limits.bytes));
  }
  // The parser takes NUL for the end of the text and would not see what follows.
  if (const std::size_t nul = text.find('\0'); nul != std::string_view::npos) refuse("a NUL byte", nul);
  const char* trace = text.data();
  Builder<Json> builder(limits, text.data(), &trace);
  const TracingIterator first(text.data(), &trace);
  const TracingIterator last(text.data() + text.size(), &trace);
  if (!Json::sax_parse(first, last, &builder)) refuse("unexpected text or end");
  return builder.take();
}

}  // namespace

nlohmann::json parse_json(std::string_view text, const JsonLimits& limits) {
  return parse<nlohmann::json>(text, limits);
}

nlohmann::ordered_json parse_ordered_json(std::string_view text, const JsonLimits& limits) {
  return parse<nlohmann::ordered_json>(text, limits);
}

}  // namespace resnet
