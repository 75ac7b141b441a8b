#include "io/file_kind.h"

#include <algorithm>
#include <cctype>

#include "base/files.h"
#include "resnet/error.h"

namespace resnet::io {
namespace {

using namespace std::string_view_literals;

const char* const kConvert =
    "save its weights as safetensors, or in PyTorch by torch.save(model.state_dict(), FILE)";
const char* const kUnpack = "unpack it first, and give the file inside";
const char* const kPicture = "give the model first, then the pictures";

struct Magic {
  std::string_view bytes;
  const char *what, *hint;
  std::size_t at = 0;
};

constexpr std::string_view kOldTorch = "\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19"sv;  // behind PROTO
constexpr std::size_t kProto = 2;

// In this order.
const Magic kMagics[] = {
    {"version https://git-lfs", "a git-lfs pointer: a text that stands for the file",
     "fetch the file itself: git lfs pull in its folder, or download it again"},
    {"\x1f\x8b"sv, "a gzip file", kUnpack},
    {"ustar"sv, "a tar archive", kUnpack, 257},
    {"\x28\xb5\x2f\xfd"sv, "a zstd file", kUnpack},
    {"\xfd"
     "7zXZ\0"sv,
     "an xz file", kUnpack},
    {"BZh"sv, "a bzip2 file", kUnpack},
    {"7z\xbc\xaf\x27\x1c"sv, "a 7z archive", kUnpack},
    {"\x89HDF\r\n"sv, "an HDF5 file, as Keras writes it", kConvert},
    {"\x93NUMPY"sv, "a NumPy array", kConvert},
    {"GGUF"sv, "a GGUF file", kConvert},
    {"TFL3"sv, "a TensorFlow Lite model", kConvert, 4},
    {"\x7f"
     "ELF"sv,
     "a program", kConvert},
    {"\xff\xd8\xff"sv, "a picture (JPEG)", kPicture},
    {"\x89PNG"sv, "a picture (PNG)", kPicture},
    {"WEBP"sv, "a picture (WebP)", kPicture, 8},
    {kOldTorch, "a PyTorch file from before PyTorch 1.6, which is no zip archive",
     "in PyTorch 1.6 or later: torch.save(torch.load('old.pth'), 'new.pth')", kProto},
};

bool begins_with_text(std::string_view head, std::string_view text) {
  return head.size() >= text.size() &&
         std::ranges::equal(head.substr(0, text.size()), text,
                            [](char a, char b) { return std::tolower(static_cast<unsigned char>(a)) == b; });
}

// A protobuf of field 1, ir_version, a small number, then one of the texts that follow it in an ONNX model.
bool is_onnx(std::string_view head) {
  constexpr char kIrVersion = 0x08, kLatest = 32, kProducer = 0x12, kGraph = 0x3a, kOpset = 0x42;
  return head.size() > 3 && head[0] == kIrVersion && head[1] > 0 && head[1] < kLatest &&
         (head[2] == kProducer || head[2] == kGraph || head[2] == kOpset);
}

}  // namespace

bool is_zip(std::string_view head) noexcept {
  return head.starts_with("PK\3\4"sv) || head.starts_with("PK\5\6"sv);
}

std::optional<FileKind> kind_of(std::string_view head) {
  if (head.empty()) return FileKind{"empty", "download or copy it again"};
  for (const Magic& magic : kMagics) {
    if (head.substr(std::min(magic.at, head.size())).starts_with(magic.bytes))
      return FileKind{magic.what, magic.hint};
  }
  if (is_zip(head)) {
    if (head.find("data.pkl") == std::string_view::npos) return FileKind{"a zip archive", kUnpack};
    return FileKind{
        "PyTorch's, which holds weights alone and no network",
        "resnet import makes a model of it (import_model), load_weights() takes it for a network"};
  }
  if (is_onnx(head)) {
    return FileKind{"an ONNX model", "ONNX is written, not read: give the weights that it was made from"};
  }
  const std::string_view text = head.substr(std::min(head.find_first_not_of(" \t\r\n"), head.size()));
  if (begins_with_text(text, "<!doctype") || begins_with_text(text, "<html") ||
      begins_with_text(text, "<?xml")) {
    return FileKind{"a web page, not the file behind its link",
                    "download it again, by the link to the file itself"};
  }
  if (text.starts_with('{') && text.find("\"weight_map\"") != std::string_view::npos) {
    return FileKind{
        "the index of a safetensors file in parts, which holds weights alone and no network",
        "resnet import makes a model of it (import_model), load_weights() takes it for a network"};
  }
  if (head[0] == '\x80' && head.size() > 2 && head[1] >= 2 && head[1] <= 5) {
    return FileKind{"a Python pickle that is no PyTorch file", kConvert};
  }
  return std::nullopt;
}

void refuse_pipe(const std::filesystem::path& path) {
  if (resnet::kind_of(path) == PathKind::other)
    throw IoError(path.string() + " is a device or a pipe, which has no size", "give a file");
}

}  // namespace resnet::io
