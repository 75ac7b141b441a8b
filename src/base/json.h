// JSON: reading what nobody vouches for (metadata of model files, graphs, records), and writing.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace resnet {

/// A JSON value. Members of an object keep their order; looking one up is a search.
class Json {
 public:
  using Member = std::pair<std::string, Json>;

  // NOLINTBEGIN(google-explicit-constructor): what a value can be made of
  Json();  // null
  Json(bool value);
  Json(double value);  // one that is not finite is written as null
  Json(std::string value);
  Json(std::string_view value);
  Json(const char* value);
  Json(std::signed_integral auto value) : value_(static_cast<std::int64_t>(value)) {}
  Json(std::unsigned_integral auto value) { set(static_cast<std::uint64_t>(value)); }
  template <class T>
  Json(const std::vector<T>& values) : Json(list(values)) {}
  // NOLINTEND(google-explicit-constructor)

  Json(const Json&);
  Json(Json&&) noexcept;
  Json& operator=(const Json&);
  Json& operator=(Json&&) noexcept;
  ~Json();

  static Json list();
  static Json object(std::initializer_list<Member> members = {});
  /// A list of whatever a value can be made of.
  template <class Range>
  static Json list(const Range& values) {
    Json result = list();
    for (const auto& value : values) result.push_back(Json(value));
    return result;
  }

  void push_back(Json value);             ///< to a list
  void add(std::string key, Json value);  ///< to an object; the key must be new

  bool is_list() const noexcept;
  bool is_object() const noexcept;
  bool is_text() const noexcept;
  bool is_whole() const noexcept;    ///< a whole number from -2^63 to 2^63 - 1
  bool is_natural() const noexcept;  ///< a whole number from 0 to 2^64 - 1
  bool is_float() const noexcept;    ///< a number that was written with a point or an exponent

  // The value; it must be of that kind.
  const std::vector<Json>& elements() const;
  const std::vector<Member>& members() const;
  const std::string& text() const;
  std::int64_t whole() const;
  std::uint64_t natural() const;
  double number() const;  // of any kind of number

  std::size_t size() const noexcept;                      ///< elements or members; 0 of anything else
  const Json* find(std::string_view key) const noexcept;  ///< a member's value, or null
  const Json& operator[](std::size_t i) const { return elements()[i]; }

  struct Style {
    bool ascii = false;    // other characters as \uXXXX
    bool replace = false;  // what is not UTF-8 becomes U+FFFD; else it is a FormatError
  };
  /// One line without spaces that may go to a terminal: control characters and marks of text direction are
  /// escaped. Numbers are the shortest that read back as the same.
  std::string dump(Style style) const;
  std::string dump() const { return dump({}); }

 private:
  void set(std::uint64_t value);
  void write(std::string& out, Style style) const;

  std::variant<std::monostate, bool, std::int64_t, std::uint64_t, double, std::string, std::vector<Json>,
               std::vector<Member>>
      value_;  // an unsigned number only beyond 2^63 - 1
};

/// What a text may cost before it is refused. The graph of ResNet-152 has about 2^14 values in 0.3 MB.
struct JsonLimits {
  std::size_t bytes = std::size_t{4} << 20U;     // length of the text
  int depth = 32;                                // lists and objects within each other
  std::size_t values = std::size_t{1} << 18U;    // members of objects and elements of lists, all together
  std::size_t elements = std::size_t{1} << 15U;  // of one object or list
  std::size_t key = 1024;                        // bytes of a member's name, as it is written
  std::size_t text = 1024;                       // bytes of a text, as it is written
};

/// The value that `text` stands for. Refused, beyond what is not JSON: a key twice in one object
/// (silently the last one elsewhere), anything but space after the value, NUL bytes, and whatever
/// exceeds the limits. Throws FormatError with the position; the caller knows the file's name.
Json parse_json(std::string_view text, const JsonLimits& limits = {});

}  // namespace resnet
