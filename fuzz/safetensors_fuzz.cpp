// safetensors: the file itself, or, behind a first byte that is odd, its header and, behind a NUL byte, its
// data, so that the length in front of it is right. What is accepted is written and read back as the same.
#include <cstring>

#include "found.h"
#include "io/safetensors.h"
#include "target.h"

namespace resnet::fuzz {
namespace {

std::string file_of(std::string_view header, std::string_view data) {
  std::string file;
  for (unsigned i = 0; i < 8; ++i) file += static_cast<char>(std::uint64_t{header.size()} >> 8U * i);
  return file.append(header).append(data);
}

std::string file_of(std::string_view input) {
  if (input.empty() || (input.front() & 1) == 0)
    return std::string(input.substr(std::min<std::size_t>(input.size(), 1)));
  input.remove_prefix(1);
  const std::size_t nul = std::min(input.find('\0'), input.size());
  return file_of(input.substr(0, nul), input.substr(std::min(input.size(), nul + 1)));
}

bool same(const io::Safetensors& a, const io::Safetensors& b) {
  return a.metadata == b.metadata && a.tensors.size() == b.tensors.size() &&
         std::ranges::equal(a.tensors, b.tensors, [](const auto& x, const auto& y) {
           return x.first == y.first && x.second.dtype() == y.second.dtype() &&
                  x.second.shape() == y.second.shape() &&
                  (x.second.bytes() == 0 ||
                   std::memcmp(x.second.raw(), y.second.raw(), x.second.bytes()) == 0);
         });
}

constexpr std::size_t kWidened = 4;  // i8 as i32

bool run(std::string_view input) {
  const std::string file = file_of(input);
  io::Safetensors content;
  if (!accepted<FormatError>("a.safetensors", [&] {
        content =
            io::parse_safetensors(std::as_bytes(std::span(file)), "a.safetensors", io::StoredTypes::all);
      }))
    return false;
  std::size_t bytes = 0;
  for (const auto& [name, tensor] : content.tensors) bytes += tensor.bytes();
  demand(bytes <= kWidened * file.size(), "more bytes than the file may ask for");
  const std::string path = std::string(kFolder) + "/again.safetensors";
  with_files({}, [&] {
    io::write_safetensors(path, content.tensors, content.metadata);
    demand(same(content, io::read_safetensors(path)), "another file is read back");
  });
  return true;
}

}  // namespace

Target safetensors_target() {
  const std::string header =
      R"({"__metadata__":{"format":"pt","a":"\u00e4"},"x":{"dtype":"F32","shape":[1,2],"data_offsets":[0,8]},)"
      R"("y":{"dtype":"U8","shape":[],"data_offsets":[8,9]},"z":{"dtype":"I64","shape":[0,3],"data_offsets":[9,9]}})";
  const std::string nul(1, '\0'), data = "123456789";
  return {
      "safetensors",
      run,
      {nul + file_of(header, data), "\x01" + header + nul + data, "\x01{}", nul + file_of("{}      ", ""),
       "\x01"
       R"({"x":{"dtype":"F64","shape":[1],"data_offsets":[0,8]}})" +
           nul + "12345678"},
      words_of(
          R"({ } [ ] : , "__metadata__" "dtype" "shape" "data_offsets" "F32" "F64" "I32" "I64" "U8" "BF16" "F16" "I8" "I16" "BOOL"
                      [0,8] [9223372036854775807,2] [1,1,1,1,1] "x": 18446744073709551615 -1 1e3 \u0000)")};
}

}  // namespace resnet::fuzz
