// JPEG through libjpeg-turbo, with its defaults, which are Pillow's: the exact integer DCT, smooth
// upsampling.
#include <algorithm>
#include <csetjmp>
#include <cstdio>
#include <new>
#include <string_view>

// Needs FILE and size_t, which it does not include.
// clang-format off
#include <jpeglib.h>
#include <jerror.h>
// clang-format on

#include "images/decoders.h"
#include "images/orientation.h"

namespace resnet::images {
namespace {

bool jpeg_begins(Bytes file) {
  return starts_with(file, "\xFF\xD8\xFF");
}

enum JpegMarker : std::uint8_t { kSoi = 0xD8, kEoi = 0xD9, kSos = 0xDA, kApp1 = 0xE1, kTem = 0x01 };

bool is_frame(std::uint8_t marker) {
  return marker >= 0xC0 && marker <= 0xCF && marker != 0xC4 && marker != 0xC8 && marker != 0xCC;
}

Header jpeg_header(Bytes file) {
  Header header;
  std::vector<std::uint8_t> exif;
  Bytes xmp;
  for (std::size_t at = 2; at + 4 <= file.size();) {
    // Garbage before a marker and more than one 0xFF are passed over, as the library does.
    const std::uint8_t marker = file[at + 1];
    if (file[at] != 0xFF || marker == 0xFF || marker == 0) {
      ++at;
      continue;
    }
    if ((marker >= 0xD0 && marker <= kSoi) || marker == kTem) {
      at += 2;
      continue;
    }
    if (marker == kSos || marker == kEoi) break;
    const std::size_t length = big16(file, at + 2);
    const Bytes segment =
        file.subspan(at + 4, std::min(std::max<std::size_t>(length, 2) - 2, file.size() - at - 4));
    if (is_frame(marker) && header.width == 0 && segment.size() >= 5) {
      header.height = big16(segment, 1);
      header.width = big16(segment, 3);
    } else if (marker == kApp1 && starts_with(segment, {"Exif\0\0", 6})) {
      // What does not fit into one segment goes on in the next.
      const Bytes part = exif.empty() ? segment : segment.subspan(6);
      exif.insert(exif.end(), part.begin(), part.end());
    } else if (constexpr std::string_view kXmp = {"http://ns.adobe.com/xap/1.0/\0", 29};
               marker == kApp1 && starts_with(segment, kXmp)) {
      xmp = segment.subspan(kXmp.size());
    }
    at += 2 + std::max<std::size_t>(length, 2);
  }
  if (header.width == 0) refuse(kJpeg, "no size before its end");
  header.orientation = orientation_of(exif, xmp);
  return header;
}

// The library warns of damage, after which it guesses, and of what harms no pixel: these.
bool is_damage(int warning) {
  switch (warning) {
    case JWRN_ADOBE_XFORM:
    case JWRN_EXTRANEOUS_DATA:
    case JWRN_JFIF_MAJOR:
    case JWRN_NOT_SEQUENTIAL:
      return false;
    default:
      return true;
  }
}

struct JpegLibrary : jpeg_decompress_struct {
  JpegLibrary() : jpeg_decompress_struct() {}
  ~JpegLibrary() { jpeg_destroy_decompress(this); }
  JpegLibrary(const JpegLibrary&) = delete;
  JpegLibrary& operator=(const JpegLibrary&) = delete;
};

// The library's objects. An error jumps out of it to guarded(), past frames of C and of functions without
// destructors.
class JpegReader {
 public:
  JpegReader(Bytes file, const Header& header, const Limits& limits) : limits_(limits) {
    cinfo_.err = jpeg_std_error(&errors_);
    cinfo_.client_data = this;
    errors_.error_exit = [](j_common_ptr cinfo) { self(cinfo).jump(); };
    errors_.emit_message = [](j_common_ptr cinfo, int level) {
      if (level < 0 && is_damage(cinfo->err->msg_code)) self(cinfo).jump();
    };
    errors_.output_message = [](j_common_ptr) {};
    progress_.progress_monitor = [](j_common_ptr cinfo) { self(cinfo).check_scans(); };
    guarded([&] { jpeg_create_decompress(&cinfo_); });
    cinfo_.progress = &progress_;
    source_.next_input_byte = file.data();
    source_.bytes_in_buffer = file.size();
    source_.init_source = [](j_decompress_ptr) {};
    source_.fill_input_buffer = [](j_decompress_ptr cinfo) -> boolean {
      self(reinterpret_cast<j_common_ptr>(cinfo)).fail(Failure::cut_off);
    };
    source_.skip_input_data = [](j_decompress_ptr cinfo, long count) {
      jpeg_source_mgr& source = *cinfo->src;
      if (count <= 0) return;
      if (static_cast<std::size_t>(count) > source.bytes_in_buffer) source.fill_input_buffer(cinfo);
      source.next_input_byte += count;
      source.bytes_in_buffer -= static_cast<std::size_t>(count);
    };
    source_.resync_to_restart = jpeg_resync_to_restart;
    source_.term_source = [](j_decompress_ptr) {};
    cinfo_.src = &source_;
    guarded([&] { jpeg_read_header(&cinfo_, TRUE); });
    if (cinfo_.image_width != header.width || cinfo_.image_height != header.height) {
      refuse(kJpeg, "it has two sizes");
    }
    if (cinfo_.num_components != 1 && cinfo_.num_components != 3 && cinfo_.num_components != 4) {
      refuse(kJpeg, std::to_string(cinfo_.num_components) + " colour components; 1, 3 and 4 are read");
    }
    cinfo_.out_color_space = cinfo_.num_components == 4 ? JCS_CMYK : JCS_RGB;
    cinfo_.scale_num = 1;
    cinfo_.scale_denom = static_cast<unsigned>(header.reduced);
    guarded([&] { jpeg_start_decompress(&cinfo_); });
  }
  JpegReader(const JpegReader&) = delete;
  JpegReader& operator=(const JpegReader&) = delete;

  bool is_cmyk() const { return cinfo_.num_components == 4; }
  void read_row(std::uint8_t* row) {
    guarded([&] { jpeg_read_scanlines(&cinfo_, &row, 1); });
  }
  void finish() {
    guarded([&] { jpeg_finish_decompress(&cinfo_); });
  }

 private:
  enum class Failure { none, library, cut_off, scans };

  static JpegReader& self(j_common_ptr cinfo) { return *static_cast<JpegReader*>(cinfo->client_data); }

  [[noreturn]] void fail(Failure failure) {
    failure_ = failure;
    std::longjmp(jump_, 1);
  }
  [[noreturn]] void jump() {
    errors_.format_message(reinterpret_cast<j_common_ptr>(&cinfo_), message_);
    fail(Failure::library);
  }
  void check_scans() {
    const std::int64_t pixels = std::int64_t{cinfo_.image_width} * cinfo_.image_height;
    if (cinfo_.input_scan_number * pixels > limits_.scan_pixels) fail(Failure::scans);
  }

  template <class Step>
  void guarded(const Step& step) {
    if (setjmp(jump_) != 0) throw_failure();  // NOLINT(cert-err52-cpp): the library is C
    step();
  }
  [[noreturn]] void throw_failure() const {
    if (failure_ == Failure::cut_off) refuse_cut_off(kJpeg);
    if (failure_ == Failure::scans) {
      refuse(kJpeg, "more than " + std::to_string(cinfo_.input_scan_number - 1) + " passes over its pixels",
             "save it anew with another program, or raise Limits::scan_pixels if it is to be trusted");
    }
    if (errors_.msg_code == JERR_OUT_OF_MEMORY) throw std::bad_alloc();
    refuse(kJpeg, message_);
  }

  const Limits limits_;
  jpeg_error_mgr errors_{};
  jpeg_source_mgr source_{};
  jpeg_progress_mgr progress_{};
  std::jmp_buf jump_{};
  Failure failure_ = Failure::none;
  char message_[JMSG_LENGTH_MAX] = {};
  JpegLibrary cinfo_;
};

// a * b / 255, rounded: exact for bytes.
int scaled(int a, int b) {
  const int product = a * b + 128;
  return (product + (product >> 8)) >> 8;
}

// Adobe's programs store CMYK inverted, and everyone does as they do; so Pillow inverts it always.
void cmyk_to_rgb(const std::uint8_t* in, std::uint8_t* out, std::int64_t width) {
  for (std::int64_t x = 0; x < width; ++x, in += 4, out += 3) {
    const int white = in[3];
    for (int c = 0; c < 3; ++c) out[c] = static_cast<std::uint8_t>(white - scaled(255 - in[c], white));
  }
}

Image jpeg_decode(Bytes file, const Header& stored, const Limits& limits) {
  JpegReader reader(file, stored, limits);
  Header header = stored;
  header.height = (stored.height + stored.reduced - 1) / stored.reduced;
  header.width = (stored.width + stored.reduced - 1) / stored.reduced;
  Rows rows(header);
  std::vector<std::uint8_t> cmyk(reader.is_cmyk() ? static_cast<std::size_t>(header.width) * 4 : 0);
  for (std::int64_t y = 0; y < header.height; ++y) {
    if (reader.is_cmyk()) {
      reader.read_row(cmyk.data());
      cmyk_to_rgb(cmyk.data(), rows.next(), header.width);
    } else {
      reader.read_row(rows.next());
    }
  }
  reader.finish();
  return rows.take();
}

}  // namespace

const Decoder kJpeg = {"JPEG", jpeg_begins, jpeg_header, jpeg_decode};

}  // namespace resnet::images
