// The message of an expected error.
#pragma once

#include <string>

namespace resnet::test {

/// What `call` says as it throws Expected; a text that no error has if it throws nothing. Other errors pass.
template <class Expected, class Call>
std::string message_of(const Call& call) {
  try {
    call();
  } catch (const Expected& error) {
    return error.what();
  }
  return "nothing of this kind was thrown";
}

}  // namespace resnet::test
