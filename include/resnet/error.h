// Errors: everything the library throws is a resnet::Error. The library never prints, exits or aborts.
#pragma once

#include <stdexcept>
#include <string>
#include <utility>

namespace resnet {

/// Base of all errors. what() is one line that says what is wrong, with the name and the shapes
/// or the file concerned; hint() is one line that says what to do about it, never empty.
class Error : public std::runtime_error {
 public:
  explicit Error(const std::string& what, std::string hint = {})
      : Error(what, std::move(hint), "if it comes again, report it with what led to it") {}
  const std::string& hint() const noexcept { return hint_; }

 protected:
  /// `otherwise` is the hint where there is no better one.
  Error(const std::string& what, std::string hint, const char* otherwise)
      : std::runtime_error(what), hint_(hint.empty() ? otherwise : std::move(hint)) {}

 private:
  std::string hint_;
};

/// Shapes that do not fit each other or the operation.
class ShapeError : public Error {
 public:
  explicit ShapeError(const std::string& what, std::string hint = {})
      : Error(what, std::move(hint), "give shapes that fit, or change the layer that expects others") {}
};

/// A value that an option cannot take.
class ConfigError : public Error {
 public:
  explicit ConfigError(const std::string& what, std::string hint = {})
      : Error(what, std::move(hint), "the help, or the header that declares it, says which values it takes") {
  }
};

/// A file whose content is not what its format demands.
class FormatError : public Error {
 public:
  explicit FormatError(const std::string& what, std::string hint = {})
      : Error(what, std::move(hint), "the file is damaged, or no file of this kind: take another copy") {}
};

/// A file or the machine that fails: missing, unreadable, full.
class IoError : public Error {
 public:
  explicit IoError(const std::string& what, std::string hint = {})
      : Error(what, std::move(hint), "check the path, its permissions, and the room on the disk") {}
};

}  // namespace resnet
