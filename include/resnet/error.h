// Errors: everything the library throws is a resnet::Error. The library never prints, exits or aborts.
#pragma once

#include <stdexcept>
#include <string>
#include <utility>

namespace resnet {

/// Base of all errors. what() is one line that says what is wrong, with the name and the shapes
/// or the file concerned; hint() is one line that says what to do about it, or empty.
class Error : public std::runtime_error {
 public:
  explicit Error(const std::string& what, std::string hint = {})
      : std::runtime_error(what), hint_(std::move(hint)) {}
  const std::string& hint() const noexcept { return hint_; }

 private:
  std::string hint_;
};

/// Shapes that do not fit each other or the operation.
class ShapeError : public Error {
 public:
  using Error::Error;
};

/// A value that an option cannot take.
class ConfigError : public Error {
 public:
  using Error::Error;
};

/// A file whose content is not what its format demands.
class FormatError : public Error {
 public:
  using Error::Error;
};

/// A file or the machine that fails: missing, unreadable, full.
class IoError : public Error {
 public:
  using Error::Error;
};

}  // namespace resnet
