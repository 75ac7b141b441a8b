// PyTorch's .pth: the archive itself, or, behind a first byte that is odd, a pickle in an archive of some
// storages. What is accepted has tensors of no more than the bytes that the promise allows.
#include "found.h"
#include "io/pth/pth.h"
#include "support/pth_file.h"
#include "target.h"

namespace resnet::fuzz {
namespace {

namespace p = test::pickle;

constexpr std::size_t kStorage = 24;  // bytes of each

std::string file_of(std::string_view input) {
  if (input.empty() || (input.front() & 1) == 0)
    return std::string(input.substr(std::min<std::size_t>(input.size(), 1)));
  const std::string bytes(kStorage, 'x');
  return test::pth_of(std::string(input.substr(1)), {{"0", bytes}, {"1", bytes}}, (input.front() & 2) != 0);
}

bool run(std::string_view input) {
  const std::string file = file_of(input);
  io::PthFile content;
  if (!accepted<FormatError>("", [&] { content = io::read_pth(std::as_bytes(std::span(file))); }))
    return false;
  std::size_t bytes = 0;
  for (const auto& [name, tensor] : content.tensors) bytes += tensor.bytes();
  constexpr std::size_t kUnpacked = 64, kMore = std::size_t{1} << 20U, kShared = 4, kWidened = 4;
  demand(bytes <= kShared * kWidened * (kUnpacked * file.size() + kMore),
         "more bytes than the file may ask for");
  return true;
}

}  // namespace

Target pth_target() {
  const std::string nul(1, '\0');
  const std::string floats = p::storage("FloatStorage", "0", 6), halves = p::storage("HalfStorage", "1", 12);
  const std::string tensors = p::dict({{"w", p::tensor(floats, 0, {2, 3}, {3, 1})},
                                       {"b", p::tensor(halves, 1, {3, 2}, {1, 3})},
                                       {"n", p::tensor(floats, 5, {}, {})}});
  const std::string checkpoint = p::dict({{"epoch", p::whole(3)}, {"state_dict", tensors}, {"args", "]"}});
  const std::string bytes(kStorage, 'x');
  Target target{"pth",
                run,
                {"\x01" + p::of(tensors), "\x01" + p::of(checkpoint), "\x03" + p::of(tensors),
                 nul + test::pth_of(p::of(tensors), {{"0", bytes}, {"1", bytes}}),
                 nul + test::pth_of(p::of(tensors), {{"0", bytes}, {"1", bytes}}, true)},
                {}};
  target.words = {p::global("torch._utils", "_rebuild_tensor_v2"),
                  p::global("torch._utils", "_rebuild_parameter"),
                  p::global("collections", "OrderedDict"),
                  p::global("torch", "Size"),
                  p::global("os", "system"),
                  floats,
                  halves,
                  p::tensor(floats, 0, {6}, {1}),
                  p::wholes({2, 3}),
                  p::whole(-1),
                  p::whole(1LL << 40U),
                  p::text("state_dict"),
                  p::text("model"),
                  "(",
                  ")R",
                  "t",
                  "}",
                  "u",
                  "s",
                  "e",
                  "]",
                  "Q",
                  "b",
                  "0",
                  "2",
                  "q\x01",
                  "h\x01",
                  "\x94",
                  "\x93",
                  "\x85",
                  "\x86",
                  "\x87",
                  "PK\x01\x02",
                  "PK\x03\x04",
                  "PK\x05\x06",
                  "PK\x06\x06",
                  "archive/data/0"};
  return target;
}

}  // namespace resnet::fuzz
