#include "serve/multipart.h"

#include <algorithm>

#include "base/text.h"
#include "serve/http.h"

namespace resnet::serve {
namespace {

constexpr std::size_t kMostHead = 4096;  // bytes of a part's header fields

// The file of a part with its header fields; its name is empty where it is none.
Part file_of(std::string_view part) {
  const std::size_t end = part.substr(0, kMostHead).find("\r\n\r\n");
  if (end == std::string_view::npos) throw Refusal(400, "a part of the form has no head");
  Part result{{}, part.substr(end + 4)};
  std::string_view head = part.substr(0, end + 2);
  while (!head.empty()) {
    const std::size_t length = head.find("\r\n");
    const std::string_view line = head.substr(0, length);
    head.remove_prefix(length + 2);
    const std::size_t colon = std::min(line.find(':'), line.size());
    if (lower_case(trimmed(line.substr(0, colon))) == "content-disposition") {
      result.file = parameter(line.substr(colon), "filename");
    }
  }
  return result;
}

}  // namespace

std::vector<Part> files_of_form(std::string_view body, const std::string& content_type, std::size_t most) {
  const std::string boundary = parameter(content_type, "boundary");
  constexpr std::size_t kMostBoundary = 70;
  if (boundary.empty() || boundary.size() > kMostBoundary) {
    throw Refusal(400, "the form's Content-Type has no boundary");
  }
  const std::string delimiter = "\r\n--" + boundary;
  // Linear in the text: no boundary has a CR, so that matches of its beginning do not overlap.
  const auto next = [&](std::string_view text) { return std::min(text.find(delimiter), text.size()); };
  // The first delimiter may stand at the very beginning, without a line before it.
  std::string_view rest = body;
  if (rest.starts_with(std::string_view(delimiter).substr(2))) {
    rest.remove_prefix(delimiter.size() - 2);
  } else {
    rest.remove_prefix(std::min(next(rest) + delimiter.size(), rest.size()));
  }
  std::vector<Part> files;
  for (std::size_t parts = 0; !rest.starts_with("--"); ++parts) {
    const std::size_t line = std::min(rest.find_first_not_of(" \t"), rest.size());
    if (!rest.substr(line).starts_with("\r\n")) throw Refusal(400, "the form is cut off");
    if (parts == most) throw Refusal(413, "the form has too many parts");
    rest.remove_prefix(line + 2);
    const std::size_t end = next(rest);
    if (end == rest.size()) throw Refusal(400, "the form is cut off");
    const Part part = file_of(rest.substr(0, end));
    if (!part.file.empty()) files.push_back(part);
    rest.remove_prefix(end + delimiter.size());
  }
  return files;
}

}  // namespace resnet::serve
