// multipart/form-data (RFC 7578): how browsers and curl send files.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace resnet::serve {

struct Part {
  std::string file;          // the name that the client gave
  std::string_view content;  // within the body
};

/// The files of a form; fields that are none are passed over. Throws Refusal for what is no form or has more
/// than `most` parts.
std::vector<Part> files_of_form(std::string_view body, const std::string& content_type, std::size_t most);

}  // namespace resnet::serve
