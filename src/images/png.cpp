// PNG through libpng, which gives rows as they are stored; what they mean as RGB is here, as Pillow has it.
#include <png.h>

#include <algorithm>
#include <array>
#include <csetjmp>
#include <cstdlib>
#include <memory>
#include <new>

#include "images/decoders.h"
#include "images/inflate.h"
#include "images/orientation.h"

namespace resnet::images {
namespace {

constexpr std::string_view kPngSignature = {"\x89PNG\r\n\x1a\n", 8};
constexpr std::size_t kMostText = 1 << 20;  // bytes of one text, compressed or not
constexpr int kMostInflatedTexts = 8;       // of a file, each of which may grow a thousandfold

bool png_begins(Bytes file) {
  return starts_with(file, kPngSignature);
}

// Old programs write EXIF as text: a name, its length, and hexadecimal digits, in lines.
std::vector<std::uint8_t> from_hexadecimal(Bytes text) {
  std::size_t at = 0;
  for (int line = 0; line < 3; ++line) {
    while (at < text.size() && text[at] != '\n') ++at;
    at += at < text.size() ? 1 : 0;
  }
  std::vector<std::uint8_t> out;
  int high = -1;
  for (; at < text.size(); ++at) {
    const int c = text[at];
    const int digit = c >= '0' && c <= '9'                 ? c - '0'
                      : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10
                                                           : -1;
    if (c == '\n') continue;
    if (digit < 0) return {};
    if (high < 0) {
      high = digit;
    } else {
      out.push_back(static_cast<std::uint8_t>(high << 4 | digit));
      high = -1;
    }
  }
  return out;
}

// The text of a tEXt, zTXt or iTXt chunk if its keyword is this one; else nothing. `left`: compressed ones
// that are read yet.
std::vector<std::uint8_t> text_of(std::string_view type, Bytes chunk, std::string_view keyword, int& left) {
  if (chunk.size() > kMostText || !starts_with(chunk, keyword) || chunk.size() <= keyword.size()) return {};
  if (chunk[keyword.size()] != 0) return {};
  Bytes rest = chunk.subspan(keyword.size() + 1);
  bool compressed = type == "zTXt";
  if (compressed) {
    if (rest.empty()) return {};
    rest = rest.subspan(1);  // the method, of which there is one
  } else if (type == "iTXt") {
    if (rest.size() < 2) return {};
    compressed = rest[0] != 0;
    rest = rest.subspan(2);
    for (int i = 0; i < 2; ++i) {  // the language and the translated keyword
      const auto end = std::find(rest.begin(), rest.end(), 0);
      if (end == rest.end()) return {};
      rest = rest.subspan(static_cast<std::size_t>(end - rest.begin()) + 1);
    }
  }
  if (!compressed) return {rest.begin(), rest.end()};
  if (left == 0) return {};
  --left;
  return inflated(rest, kMostText);
}

Header png_header(Bytes file) {
  constexpr std::size_t kFirst = 8 + 8 + 13;
  if (file.size() < kFirst) refuse_cut_off(kPng);
  if (!starts_with(file.subspan(8), {"\0\0\0\x0DIHDR", 8})) refuse(kPng, "its first chunk is no header");
  Header header;
  header.width = big32(file, 16);
  header.height = big32(file, 20);
  std::vector<std::uint8_t> exif, old_exif, xmp;
  int left = kMostInflatedTexts;
  for (std::size_t at = 8; at + 12 <= file.size();) {
    const std::size_t length = big32(file, at);
    const std::string_view type(reinterpret_cast<const char*>(file.data()) + at + 4, 4);
    if (length > file.size() - at - 12 || type == "IEND") break;
    const Bytes chunk = file.subspan(at + 8, length);
    if (type == "eXIf") {
      exif.assign(chunk.begin(), chunk.end());
    } else if (type == "tEXt" || type == "zTXt" || type == "iTXt") {
      if (auto text = text_of(type, chunk, "Raw profile type exif", left); !text.empty())
        old_exif = from_hexadecimal(text);
      if (auto text = text_of(type, chunk, "XML:com.adobe.xmp", left); !text.empty()) xmp = std::move(text);
    }
    at += 12 + length;
  }
  header.orientation = orientation_of(exif.empty() ? old_exif : exif, xmp);
  return header;
}

// The library's objects. An error jumps out of it to guarded(), past frames of C and of functions without
// destructors.
class PngReader {
 public:
  PngReader(Bytes file, const Header& header) : left_(file) {
    png_ = png_create_read_struct_2(
        PNG_LIBPNG_VER_STRING, this, on_error, [](png_structp, png_const_charp) {}, this, on_malloc,
        [](png_structp, png_voidp p) { std::free(p); });
    if (png_ != nullptr) info_ = png_create_info_struct(png_);
    if (png_ == nullptr || info_ == nullptr) throw std::bad_alloc();
    try {
      start(file.size(), header);
    } catch (...) {
      png_destroy_read_struct(&png_, &info_, nullptr);
      throw;
    }
  }
  ~PngReader() { png_destroy_read_struct(&png_, &info_, nullptr); }
  PngReader(const PngReader&) = delete;
  PngReader& operator=(const PngReader&) = delete;

  int depth() const { return png_get_bit_depth(png_, info_); }
  int color_type() const { return png_get_color_type(png_, info_); }
  int passes() const { return passes_; }
  std::size_t row_bytes() const { return png_get_rowbytes(png_, info_); }

  /// Colours that the file does not have are black.
  std::array<png_color, 256> palette() {
    std::array<png_color, 256> all{};
    png_colorp colors = nullptr;
    int count = 0;
    png_get_PLTE(png_, info_, &colors, &count);
    std::copy_n(colors, std::min(count, 256), all.begin());
    return all;
  }
  void read_row(std::uint8_t* row) {
    guarded([&] { png_read_row(png_, row, nullptr); });
  }
  void finish() {
    guarded([&] { png_read_end(png_, nullptr); });
    if (no_memory_) throw std::bad_alloc();  // for a chunk that the library did without
  }

 private:
  static void on_error(png_structp png, png_const_charp message) {
    auto& self = *static_cast<PngReader*>(png_get_error_ptr(png));
    std::size_t n = 0;
    for (; n + 1 < sizeof(self.message_) && message[n] != 0; ++n) self.message_[n] = message[n];
    self.message_[n] = 0;
    std::longjmp(self.jump_, 1);
  }
  static png_voidp on_malloc(png_structp png, png_alloc_size_t bytes) {
    png_voidp p = std::malloc(bytes);
    if (p == nullptr) static_cast<PngReader*>(png_get_mem_ptr(png))->no_memory_ = true;
    return p;
  }
  static void on_read(png_structp png, png_bytep out, std::size_t count) {
    auto& self = *static_cast<PngReader*>(png_get_io_ptr(png));
    if (count > self.left_.size()) {
      self.cut_off_ = true;
      png_error(png, "cut off");
    }
    std::copy_n(self.left_.begin(), count, out);
    self.left_ = self.left_.subspan(count);
  }

  template <class Step>
  void guarded(const Step& step) {
    if (setjmp(jump_) != 0) throw_failure();  // NOLINT(cert-err52-cpp): the library is C
    step();
  }
  [[noreturn]] void throw_failure() const {
    if (no_memory_) throw std::bad_alloc();
    if (cut_off_) refuse_cut_off(kPng);
    refuse(kPng, message_);
  }

  void start(std::size_t file_bytes, const Header& header) {
    guarded([&] {
      png_set_read_fn(png_, this, on_read);
      // A wrong check sum is an error in every chunk; those that say nothing of the pixels are passed over.
      png_set_crc_action(png_, PNG_CRC_ERROR_QUIT, PNG_CRC_ERROR_QUIT);
      png_set_keep_unknown_chunks(png_, PNG_HANDLE_CHUNK_NEVER, nullptr, -1);
      png_set_user_limits(png_, static_cast<png_uint_32>(header.width),
                          static_cast<png_uint_32>(header.height));
      png_read_info(png_, info_);
      passes_ = png_set_interlace_handling(png_);
      png_read_update_info(png_, info_);
    });
    constexpr std::size_t kMostInflated = 1032;  // bytes of one compressed one
    if (row_bytes() * static_cast<std::size_t>(header.height) / kMostInflated > file_bytes)
      refuse_cut_off(kPng);
  }

  Bytes left_;
  png_structp png_ = nullptr;
  png_infop info_ = nullptr;
  std::jmp_buf jump_{};
  char message_[128] = {};
  bool cut_off_ = false, no_memory_ = false;
  int passes_ = 1;
};

class ToRgb {
 public:
  explicit ToRgb(PngReader& reader)
      : depth_(reader.depth()),
        color_((reader.color_type() & PNG_COLOR_MASK_COLOR) != 0),
        indexed_(reader.color_type() == PNG_COLOR_TYPE_PALETTE),
        step_((color_ && !indexed_ ? 3 : 1) + ((reader.color_type() & PNG_COLOR_MASK_ALPHA) != 0 ? 1 : 0)) {
    if (indexed_) {
      colors_ = reader.palette();
    } else if (!color_ && depth_ <= 8) {
      const int most = (1 << depth_) - 1;
      for (int i = 0; i <= most; ++i) {
        const auto level = static_cast<png_byte>(i * 255 / most);
        colors_[static_cast<std::size_t>(i)] = {level, level, level};
      }
    }
  }

  void row(const std::uint8_t* in, std::uint8_t* out, std::int64_t width) const {
    if (color_ && !indexed_) {
      const int sample = depth_ / 8;  // bytes; the first of two is the higher one
      for (std::int64_t x = 0; x < width; ++x, in += step_ * sample, out += 3) {
        for (int c = 0; c < 3; ++c) out[c] = in[c * sample];
      }
    } else if (depth_ == 16) {
      // Pillow cuts 16-bit gray at 255, but drops the lower byte where there is alpha.
      for (std::int64_t x = 0; x < width; ++x, in += step_ * 2, out += 3) {
        std::fill_n(out, 3, step_ == 1 && in[0] != 0 ? std::uint8_t{255} : in[step_ == 1 ? 1 : 0]);
      }
    } else {
      const int most = (1 << depth_) - 1;
      for (std::int64_t x = 0; x < width; ++x, out += 3) {
        const std::int64_t bit = x * step_ * depth_;
        const int index = in[bit / 8] >> (8 - depth_ - bit % 8) & most;
        const png_color& color = colors_[static_cast<std::size_t>(index)];
        out[0] = color.red;
        out[1] = color.green;
        out[2] = color.blue;
      }
    }
  }

 private:
  int depth_;
  bool color_, indexed_;
  int step_;  // samples of a pixel
  std::array<png_color, 256> colors_{};
};

Image png_decode(Bytes file, const Header& header, const Limits&) {
  PngReader reader(file, header);
  const ToRgb to_rgb(reader);
  Rows rows(header);
  const std::size_t row_bytes = reader.row_bytes();
  // An interlaced picture is there as a whole at its end. Pages are taken as rows come.
  const std::int64_t held = reader.passes() == 1 ? 1 : header.height;
  const auto stored =
      std::make_unique_for_overwrite<std::uint8_t[]>(row_bytes * static_cast<std::size_t>(held));
  const auto row = [&](std::int64_t y) {
    return stored.get() + row_bytes * static_cast<std::size_t>(y % held);
  };
  for (int pass = 1; pass < reader.passes(); ++pass) {
    for (std::int64_t y = 0; y < header.height; ++y) reader.read_row(row(y));
  }
  for (std::int64_t y = 0; y < header.height; ++y) {
    reader.read_row(row(y));
    to_rgb.row(row(y), rows.next(), header.width);
  }
  reader.finish();
  return rows.take();
}

}  // namespace

const Decoder kPng = {"PNG", png_begins, png_header, png_decode};

}  // namespace resnet::images
