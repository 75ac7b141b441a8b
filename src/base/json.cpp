#include "base/json.h"

#include <fmt/core.h>

#include <algorithm>
#include <iterator>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>

#include "base/text.h"
#include "base/variant.h"
#include "resnet/error.h"

namespace resnet {
namespace {

constexpr std::size_t kMostDigits = 64;  // of a number; a double needs at most 24 characters

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

// What may not come to the parser, which gathers a key, a text or a number whole before it shows it: one of
// more bytes than the limits allow. Looks at a token's length alone; whether it is JSON the parser says.
void check_tokens(std::string_view text, const JsonLimits& limits) {
  constexpr std::string_view kInNumber = "+-.0123456789Ee";
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t begin = at;
    if (text[at] == '"') {
      for (++at; at < text.size() && text[at] != '"'; ++at) at += text[at] == '\\' ? 1 : 0;
      const std::size_t end = std::min(++at, text.size());
      const std::size_t next = std::min(text.find_first_not_of(" \t\r\n", end), text.size());
      const bool key = next < text.size() && text[next] == ':';
      const std::size_t most = key ? limits.key : limits.text;
      if (end - begin > most + 2) {  // the quotes
        refuse((key ? "a key of more than " : "a text of more than ") + std::to_string(most) + " bytes",
               begin);
      }
      at = next;
    } else if (kInNumber.find(text[at]) != std::string_view::npos) {
      at = std::min(text.find_first_not_of(kInNumber, at), text.size());
      if (at - begin > kMostDigits) {
        refuse("a number of more than " + std::to_string(kMostDigits) + " characters", begin);
      }
    } else {
      ++at;
    }
  }
}

// Receives the parser's events and builds the value, within the limits. A list or object that is
// still open waits in a frame of its own and joins its parent when it closes.
class Builder {
 public:
  Builder(const JsonLimits& limits, const char* begin, const char* const* trace)
      : limits_(limits), begin_(begin), trace_(trace) {}

  bool null() { return add(Json()); }
  bool boolean(bool value) { return add(Json(value)); }
  bool number_integer(std::int64_t value) { return add(Json(value)); }
  bool number_unsigned(std::uint64_t value) { return add(Json(value)); }
  bool number_float(double value, const std::string&) { return add(Json(value)); }
  bool string(std::string& value) { return add(Json(std::move(value))); }
  bool binary(nlohmann::json::binary_t&) { refuse("binary data", position()); }
  bool start_object(std::size_t) { return open(Json::object()); }
  bool start_array(std::size_t) { return open(Json::list()); }
  bool end_object() { return close(); }
  bool end_array() { return close(); }

  bool key(std::string& name) {
    Frame& frame = frames_.back();
    if (!frame.keys.insert(name).second)
      refuse("the key '" + shown(name, 60) + "' appears twice", position());
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
    std::string key;             // of the member whose value comes next
    std::set<std::string> keys;  // of an object, so far; no hash that a file could be made for
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
    if (parent.value.size() == limits_.elements) {
      refuse("a list or object of more than " + std::to_string(limits_.elements) + " elements", position());
    }
    if (parent.value.is_object()) {
      parent.value.add(std::move(parent.key), std::move(value));
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

template <class Value>
const Value& value_as(const auto& value) {
  if (const Value* found = std::get_if<Value>(&value)) return *found;
  refuse("a value of another kind was expected");
}

// The library writes numbers and texts; structure is ours, and that a terminal that shows a text obeys
// nothing in it: the library leaves DEL, C1 controls and marks of direction as they are.
std::string scalar_text(const nlohmann::json& scalar, Json::Style style) {
  using Handler = nlohmann::json::error_handler_t;
  try {
    const std::string text =
        scalar.dump(-1, ' ', style.ascii, style.replace ? Handler::replace : Handler::strict);
    std::string safe;
    for (std::size_t at = 0; at < text.size();) {
      const Character c = character_at(text, at);
      safe += c.printable ? text.substr(at, c.bytes) : fmt::format("\\u{:04x}", c.code);
      at += c.bytes;
    }
    return safe;
  } catch (const nlohmann::json::type_error&) {
    refuse("a text is not UTF-8");
  }
}

}  // namespace

Json::Json() = default;
Json::Json(bool value) : value_(value) {}
Json::Json(double value) : value_(value) {}
Json::Json(std::string value) : value_(std::move(value)) {}
Json::Json(std::string_view value) : value_(std::string(value)) {}
Json::Json(const char* value) : value_(std::string(value)) {}
Json::Json(const Json& other) : value_(copied(other.value_)) {}
Json::Json(Json&&) noexcept = default;
Json& Json::operator=(const Json& other) {
  return *this = Json(other);
}
Json& Json::operator=(Json&&) noexcept = default;
Json::~Json() = default;

Json Json::list() {
  Json result;
  result.value_.emplace<std::vector<Json>>();
  return result;
}

Json Json::object(std::initializer_list<Member> members) {
  Json result;
  result.value_.emplace<std::vector<Member>>(members);
  return result;
}

void Json::set(std::uint64_t value) {
  if (value > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
    value_ = value;
  } else {
    value_ = static_cast<std::int64_t>(value);
  }
}

void Json::push_back(Json value) {
  std::get<std::vector<Json>>(value_).push_back(std::move(value));
}
void Json::add(std::string key, Json value) {
  std::get<std::vector<Member>>(value_).emplace_back(std::move(key), std::move(value));
}

bool Json::is_list() const noexcept {
  return std::holds_alternative<std::vector<Json>>(value_);
}
bool Json::is_object() const noexcept {
  return std::holds_alternative<std::vector<Member>>(value_);
}
bool Json::is_text() const noexcept {
  return std::holds_alternative<std::string>(value_);
}
bool Json::is_whole() const noexcept {
  return std::holds_alternative<std::int64_t>(value_);
}
bool Json::is_natural() const noexcept {
  const auto* whole = std::get_if<std::int64_t>(&value_);
  return whole != nullptr ? *whole >= 0 : std::holds_alternative<std::uint64_t>(value_);
}
bool Json::is_float() const noexcept {
  return std::holds_alternative<double>(value_);
}

const std::vector<Json>& Json::elements() const {
  return value_as<std::vector<Json>>(value_);
}
const std::vector<Json::Member>& Json::members() const {
  return value_as<std::vector<Member>>(value_);
}
const std::string& Json::text() const {
  return value_as<std::string>(value_);
}
std::int64_t Json::whole() const {
  return value_as<std::int64_t>(value_);
}
std::uint64_t Json::natural() const {
  if (is_natural() && is_whole()) return static_cast<std::uint64_t>(whole());
  return value_as<std::uint64_t>(value_);
}
double Json::number() const {
  if (is_whole()) return static_cast<double>(whole());
  return is_natural() ? static_cast<double>(natural()) : value_as<double>(value_);
}

std::size_t Json::size() const noexcept {
  if (is_object()) return members().size();
  return is_list() ? elements().size() : 0;
}

const Json* Json::find(std::string_view key) const noexcept {
  if (!is_object()) return nullptr;
  for (const Member& member : members()) {
    if (member.first == key) return &member.second;
  }
  return nullptr;
}

void Json::write(std::string& out, Style style) const {
  if (is_object()) {
    char separator = '{';
    for (const auto& [key, value] : members()) {
      out += separator + scalar_text(key, style) + ':';
      value.write(out, style);
      separator = ',';
    }
    out += members().empty() ? "{}" : "}";
  } else if (is_list()) {
    char separator = '[';
    for (const Json& value : elements()) {
      out += separator;
      value.write(out, style);
      separator = ',';
    }
    out += elements().empty() ? "[]" : "]";
  } else if (is_text()) {
    out += scalar_text(text(), style);
  } else if (is_float()) {
    out += scalar_text(number(), style);
  } else if (is_whole()) {
    out += std::to_string(whole());
  } else if (is_natural()) {
    out += std::to_string(natural());
  } else {
    const auto* truth = std::get_if<bool>(&value_);
    out += truth == nullptr ? "null" : *truth ? "true" : "false";
  }
}

std::string Json::dump(Style style) const {
  std::string out;
  write(out, style);
  return out;
}

Json parse_json(std::string_view text, const JsonLimits& limits) {
  if (text.size() > limits.bytes) {
    refuse(std::to_string(text.size()) + " bytes, more than " + std::to_string(limits.bytes));
  }
  // The parser takes NUL for the end of the text and would not see what follows.
  if (const std::size_t nul = text.find('\0'); nul != std::string_view::npos) refuse("a NUL byte", nul);
  check_tokens(text, limits);
  const char* trace = text.data();
  Builder builder(limits, text.data(), &trace);
  const TracingIterator first(text.data(), &trace);
  const TracingIterator last(text.data() + text.size(), &trace);
  nlohmann::json::sax_parse(first, last, &builder);  // which throws what it refuses
  return builder.take();
}

}  // namespace resnet
