// Windows and OS/2 bitmaps: the layouts that Pillow reads.
#include <algorithm>
#include <array>
#include <cstdlib>
#include <memory>

#include "images/decoders.h"

namespace resnet::images {
namespace {

bool bmp_begins(Bytes file) {
  return starts_with(file, "BM");
}

enum class Compression : std::uint32_t { none = 0, rle8 = 1, rle4 = 2, masks = 3 };

struct Rgb {
  std::uint8_t red = 0, green = 0, blue = 0;
};

// Where a pixel's samples are in its little-endian number: the first bit, and how many.
struct Sample {
  int shift, bits;
};

struct Bitmap {
  Header header;
  bool top_down = false;
  std::uint32_t bits = 0;  // of a pixel
  Compression compression = Compression::none;
  std::size_t data = 0;            // where the pixels begin in the file
  std::array<Rgb, 256> palette{};  // of up to 8 bits; what is not there is black
  std::array<Sample, 3> samples{};
};

constexpr std::size_t kFileHeader = 14;  // bytes

// Red, green and blue, and the alpha that may stand beside them (which is dropped).
struct Layout {
  std::uint32_t bits;
  std::array<std::uint32_t, 3> masks;
  std::array<Sample, 3> samples;
};
constexpr Layout kLayouts[] = {
    {32, {0xFF0000, 0xFF00, 0xFF}, {{{16, 8}, {8, 8}, {0, 8}}}},
    {32, {0xFF000000, 0xFF0000, 0xFF00}, {{{24, 8}, {16, 8}, {8, 8}}}},
    {32, {0xFF000000, 0xFF00, 0xFF}, {{{24, 8}, {8, 8}, {0, 8}}}},
    {32, {0xFF, 0xFF00, 0xFF0000}, {{{0, 8}, {8, 8}, {16, 8}}}},
    {32, {0, 0, 0}, {{{16, 8}, {8, 8}, {0, 8}}}},
    {24, {0xFF0000, 0xFF00, 0xFF}, {{{16, 8}, {8, 8}, {0, 8}}}},
    {16, {0xF800, 0x7E0, 0x1F}, {{{11, 5}, {5, 6}, {0, 5}}}},
    {16, {0x7C00, 0x3E0, 0x1F}, {{{10, 5}, {5, 5}, {0, 5}}}},
};

void read_samples(Bytes file, Bitmap& bitmap) {
  std::array<std::uint32_t, 3> masks = {0xFF0000, 0xFF00, 0xFF};
  if (bitmap.bits == 16) masks = {0x7C00, 0x3E0, 0x1F};
  if (bitmap.compression == Compression::masks) {
    constexpr std::size_t kMasks = kFileHeader + 40;  // within the longer headers, behind the shorter one
    if (file.size() < kMasks + 12) refuse_cut_off(kBmp);
    for (std::size_t i = 0; i < 3; ++i) masks[i] = little32(file, kMasks + 4 * i);
  }
  for (const Layout& layout : kLayouts) {
    if (layout.bits != bitmap.bits || layout.masks != masks) continue;
    bitmap.samples = layout.samples;
    return;
  }
  refuse(kBmp, "bits of a pixel in a layout that is not read", "save it with 24 bits, or as PNG");
}

void read_palette(Bytes file, std::size_t at, std::size_t colors, std::size_t color_bytes, Bitmap& bitmap) {
  if (colors > bitmap.palette.size()) refuse(kBmp, "a palette of " + std::to_string(colors) + " colours");
  if (file.size() < at + colors * color_bytes) refuse_cut_off(kBmp);
  bool ramp = true;
  for (std::size_t i = 0; i < colors; ++i) {
    const std::size_t from = at + i * color_bytes;
    bitmap.palette[i] = {file[from + 2], file[from + 1], file[from]};
    for (std::size_t c = 0; c < 3; ++c) ramp = ramp && file[from + c] == i;
  }
  // Colours that are a ramp of gray go on beyond its end, as Pillow takes them.
  for (std::size_t i = colors; ramp && i < bitmap.palette.size(); ++i) {
    const auto level = static_cast<std::uint8_t>(i);
    bitmap.palette[i] = {level, level, level};
  }
}

// The numbers of the headers; the palette and the layout are read with `all`.
Bitmap bitmap_of(Bytes file, bool all) {
  if (file.size() < kFileHeader + 12) refuse_cut_off(kBmp);
  const std::size_t header_size = little32(file, kFileHeader);
  constexpr std::size_t kSizes[] = {12, 40, 52, 56, 64, 108, 124};
  if (std::find(std::begin(kSizes), std::end(kSizes), header_size) == std::end(kSizes)) {
    refuse(kBmp, "a header of " + std::to_string(header_size) + " bytes, which is of no known kind");
  }
  if (file.size() < kFileHeader + header_size) refuse_cut_off(kBmp);
  Bitmap bitmap;
  std::size_t colors = 0, color_bytes = 4;
  if (header_size == 12) {
    bitmap.header.width = little16(file, 18);
    bitmap.header.height = little16(file, 20);
    bitmap.bits = little16(file, 24);
    color_bytes = 3;
  } else {
    const std::int64_t height = static_cast<std::int32_t>(little32(file, 22));
    bitmap.top_down = height < 0;
    bitmap.header.width = static_cast<std::int32_t>(little32(file, 18));
    bitmap.header.height = std::abs(height);
    bitmap.bits = little16(file, 28);
    bitmap.compression = static_cast<Compression>(little32(file, 30));
    colors = little32(file, 46);
  }
  if (!all) return bitmap;
  bitmap.data = little32(file, 10);
  std::size_t palette = kFileHeader + header_size;
  if (header_size == 40 && bitmap.compression == Compression::masks) palette += 12;
  if (bitmap.bits > 8) {
    read_samples(file, bitmap);
    if (bitmap.data == 0) bitmap.data = palette;
    return bitmap;
  }
  if (bitmap.bits != 1 && bitmap.bits != 4 && bitmap.bits != 8) {
    refuse(kBmp, std::to_string(bitmap.bits) + " bits of a pixel", "save it with 24 bits, or as PNG");
  }
  if (colors == 0) colors = std::size_t{1} << bitmap.bits;
  read_palette(file, palette, colors, color_bytes, bitmap);
  // Some programs forget the palette when they say where the pixels begin.
  if (bitmap.data == 0 || bitmap.data == kFileHeader + header_size)
    bitmap.data = palette + colors * color_bytes;
  return bitmap;
}

Header bmp_header(Bytes file) {
  return bitmap_of(file, false).header;
}

// Runs of 4 or 8 bit pixels: bytes [height][width] in the order of the file. Pixels that are passed over are
// 0.
class Runs {
 public:
  Runs(Bytes file, const Bitmap& bitmap)
      : file_(file),
        at_(bitmap.data),
        four_(bitmap.compression == Compression::rle4),
        width_(bitmap.header.width),
        height_(bitmap.header.height),
        // Cleared pages are taken as they are written to.
        pixels_(static_cast<std::uint8_t*>(std::calloc(static_cast<std::size_t>(width_ * height_), 1)),
                &std::free) {
    if (pixels_ == nullptr) throw std::bad_alloc();
    while (y_ < height_ && step()) {
    }
  }
  const std::uint8_t* row(std::int64_t y) const { return pixels_.get() + y * width_; }

 private:
  std::uint8_t next() {
    if (at_ >= file_.size()) refuse_cut_off(kBmp);
    return file_[at_++];
  }

  void put(std::uint8_t pixel) {
    if (x_ < width_ && y_ < height_) pixels_[static_cast<std::size_t>(y_ * width_ + x_)] = pixel;
    ++x_;
  }

  // Two bytes of the file and what belongs to them. False at the bitmap's end.
  bool step() {
    const std::uint8_t count = next(), value = next();
    enum : std::uint8_t { kEndOfLine = 0, kEndOfBitmap = 1, kMove = 2 };
    if (count > 0) {
      for (int i = 0; i < count; ++i) put(!four_ ? value : i % 2 == 0 ? value >> 4 : value & 15);
      x_ = std::min(x_, width_);  // a run ends with its row
      if (x_ == width_ && y_ + 1 == height_) return false;
    } else if (value == kEndOfLine) {
      x_ = 0;
      ++y_;
    } else if (value == kEndOfBitmap) {
      return false;
    } else if (value == kMove) {
      x_ += next();
      y_ += next();
      if (x_ > width_) refuse(kBmp, "its runs go beyond a row");
    } else {
      if (x_ + value > width_) refuse(kBmp, "its runs go beyond a row");
      std::uint8_t byte = 0;
      for (int i = 0; i < value; ++i) {
        if (!four_ || i % 2 == 0) byte = next();
        put(!four_ ? byte : i % 2 == 0 ? byte >> 4 : byte & 15);
      }
      at_ += at_ % 2;
    }
    return true;
  }

  Bytes file_;
  std::size_t at_;
  bool four_;
  std::int64_t width_, height_, x_ = 0, y_ = 0;
  std::unique_ptr<std::uint8_t[], decltype(&std::free)> pixels_;
};

void put_row(const Bitmap& bitmap, const std::uint8_t* in, std::uint8_t* out) {
  const std::int64_t width = bitmap.header.width;
  if (bitmap.bits <= 8) {
    const int bits = static_cast<int>(bitmap.bits);
    for (std::int64_t x = 0; x < width; ++x) {
      const int index = in[x * bits / 8] >> (8 - bits - x * bits % 8) & ((1 << bits) - 1);
      const Rgb color = bitmap.palette[static_cast<std::size_t>(index)];
      out[3 * x] = color.red;
      out[3 * x + 1] = color.green;
      out[3 * x + 2] = color.blue;
    }
    return;
  }
  const std::int64_t bytes = bitmap.bits / 8;
  for (std::int64_t x = 0; x < width; ++x, in += bytes, out += 3) {
    std::uint32_t pixel = 0;
    for (std::int64_t i = 0; i < bytes; ++i) pixel |= std::uint32_t{in[i]} << 8 * i;
    for (std::size_t c = 0; c < 3; ++c) {
      const Sample sample = bitmap.samples[c];
      const std::uint32_t most = (1U << sample.bits) - 1;
      out[c] = static_cast<std::uint8_t>((pixel >> sample.shift & most) * 255 / most);
    }
  }
}

Image bmp_decode(Bytes file, const Header& header, const Limits&) {
  Bitmap bitmap = bitmap_of(file, true);
  const auto stored = [&](std::int64_t y) { return bitmap.top_down ? y : header.height - 1 - y; };
  Rows rows(header);
  if (bitmap.compression == Compression::rle8 || bitmap.compression == Compression::rle4) {
    if (bitmap.bits != (bitmap.compression == Compression::rle8 ? 8 : 4)) {
      refuse(kBmp, "runs of " + std::to_string(bitmap.bits) + " bits of a pixel");
    }
    const Runs runs(file, bitmap);
    bitmap.bits = 8;  // they are unpacked
    for (std::int64_t y = 0; y < header.height; ++y) put_row(bitmap, runs.row(stored(y)), rows.next());
    return rows.take();
  }
  if (bitmap.compression != Compression::none &&
      (bitmap.compression != Compression::masks || bitmap.bits <= 8)) {
    refuse(kBmp, "compression " + std::to_string(static_cast<std::uint32_t>(bitmap.compression)),
           "convert it to PNG or JPEG");
  }
  const std::int64_t row = (header.width * bitmap.bits + 7) / 8;
  const std::int64_t stride = (row + 3) / 4 * 4;
  // The padding of the last row may be missing.
  if (static_cast<std::int64_t>(file.size()) <
      static_cast<std::int64_t>(bitmap.data) + stride * (header.height - 1) + row) {
    refuse_cut_off(kBmp);
  }
  for (std::int64_t y = 0; y < header.height; ++y) {
    put_row(bitmap, file.data() + bitmap.data + static_cast<std::size_t>(stored(y) * stride), rows.next());
  }
  return rows.take();
}

}  // namespace

const Decoder kBmp = {"BMP", bmp_begins, bmp_header, bmp_decode};

}  // namespace resnet::images
