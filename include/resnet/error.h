// Errors: everything the library throws is a resnet::Error, but for std::bad_alloc where there is no memory for
// something small (memory.h). The library never prints, exits or aborts.
#pragma once

#include <stdexcept>
#include <string>

namespace resnet {

/// Base of all errors. what() is one line that says what is wrong, with the name and the shapes
/// or the file concerned; hint() is one line that says what to do about it, never empty. Both may be printed
/// as they are, whatever a file held: at most 280 bytes (the middle of what is longer is left out), UTF-8,
/// control characters and marks of text direction escaped, as in \x1b and \u202e.
class Error : public std::runtime_error {
 public:
  explicit Error(const std::string& what, const std::string& hint = {})
      : Error(what, hint, "if it comes again, report it with what led to it") {}
  const std::string& hint() const noexcept { return hint_; }

 protected:
  /// `otherwise` is the hint where there is no better one.
  Error(const std::string& what, const std::string& hint, const char* otherwise);

 private:
  std::string hint_;
};

/// Shapes that do not fit each other or the operation.
class ShapeError : public Error {
 public:
  explicit ShapeError(const std::string& what, const std::string& hint = {})
      : Error(what, hint, "give shapes that fit, or change the layer that expects others") {}
};

/// A value that an option cannot take.
class ConfigError : public Error {
 public:
  explicit ConfigError(const std::string& what, const std::string& hint = {})
      : Error(what, hint, "the help, or the header that declares it, says which values it takes") {}
};

/// A file whose content is not what its format demands.
class FormatError : public Error {
 public:
  explicit FormatError(const std::string& what, const std::string& hint = {})
      : Error(what, hint, "the file is damaged, or no file of this kind: take another copy") {}
};

/// A file or the machine that fails: missing, unreadable, full.
class IoError : public Error {
 public:
  explicit IoError(const std::string& what, const std::string& hint = {})
      : Error(what, hint, "check the path, its permissions, and the room on the disk") {}
};

}  // namespace resnet
