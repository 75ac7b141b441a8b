#include "images/libraries.h"

#include <fmt/core.h>
#include <gnu/libc-version.h>
#include <png.h>
#include <webp/decode.h>

#include <cstdio>
// After <cstdio>, of which they need FILE.
#include <jerror.h>
#include <jpeglib.h>

#include "base/text.h"

namespace resnet::images {
namespace {

// The library has no function for it: its messages say which one is loaded.
std::string jpeg_version() {
  jpeg_error_mgr messages{};
  jpeg_std_error(&messages);
  const auto first_line = [&](int code) {
    const std::string text = messages.jpeg_message_table[code];
    return printable(text.substr(0, text.find('\n')));
  };
  return fmt::format("{} ({})", first_line(JMSG_VERSION), first_line(JMSG_COPYRIGHT));
}

}  // namespace

std::string libraries() {
#if defined(__clang__)
  const std::string compiler =
      fmt::format("clang++ {}.{}.{}", __clang_major__, __clang_minor__, __clang_patchlevel__);
#else
  const std::string compiler = fmt::format("g++ {}.{}.{}", __GNUC__, __GNUC_MINOR__, __GNUC_PATCHLEVEL__);
#endif
  const png_uint_32 png = png_access_version_number();  // 10639
  const int webp = WebPGetDecoderVersion();             // 0x010204
  return fmt::format("{}, glibc {}, libjpeg {}, libpng {}.{}.{}, libwebp {}.{}.{}", compiler,
                     ::gnu_get_libc_version(), jpeg_version(), png / 10000, png / 100 % 100, png % 100,
                     webp >> 16, webp >> 8 & 0xFF, webp & 0xFF);
}

}  // namespace resnet::images
