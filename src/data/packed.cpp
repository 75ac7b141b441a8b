#include <zlib.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "data/byte_images.h"

namespace resnet::data {

std::filesystem::path data_folder(const DatasetOptions& options, const char* system) {
  if (!options.dir.empty()) return options.dir;
  if (const char* variable = std::getenv("RESNET_DATA_DIR"); variable != nullptr && *variable != '\0')
    return variable;
  return system;
}

std::vector<std::uint8_t> read_packed(const std::filesystem::path& path, std::int64_t most) {
  struct Close {
    void operator()(gzFile file) const noexcept { gzclose(file); }
  };
  errno = 0;
  // gzread passes a file that is not gzip through as it is.
  const std::unique_ptr<gzFile_s, Close> file(gzopen(path.c_str(), "rb"));
  if (file == nullptr)
    throw IoError("cannot read " + path.string() + ": " + std::strerror(errno), "check the path");
  std::vector<std::uint8_t> bytes;
  constexpr std::int64_t kBlock = 1 << 20;
  while (static_cast<std::int64_t>(bytes.size()) < most) {
    const std::size_t have = bytes.size();
    const std::int64_t want = std::min(kBlock, most - static_cast<std::int64_t>(have));
    bytes.resize(have + static_cast<std::size_t>(want));
    const int got = gzread(file.get(), bytes.data() + have, static_cast<unsigned>(want));
    int error = Z_OK;
    const char* message = gzerror(file.get(), &error);
    if (got < 0 || (error != Z_OK && error != Z_STREAM_END)) {
      if (error == Z_ERRNO) throw IoError("cannot read " + path.string() + ": " + std::strerror(errno));
      const bool truncated = error == Z_BUF_ERROR;
      throw FormatError(path.string() +
                            (truncated ? ": the gzip data ends early" : ": the gzip data is corrupt") +
                            (truncated ? "" : std::string(" (") + message + ")"),
                        "get the file again");
    }
    bytes.resize(have + static_cast<std::size_t>(got));
    if (got < want) break;
  }
  return bytes;
}

}  // namespace resnet::data
