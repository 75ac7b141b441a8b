// WebP through libwebp: a still picture, or an animation's first frame on black.
#include <webp/decode.h>
#include <webp/demux.h>

#include <algorithm>
#include <memory>

#include "images/decoders.h"
#include "images/orientation.h"

namespace resnet::images {
namespace {

bool webp_begins(Bytes file) {
  return starts_with(file, "RIFF") && file.size() >= 12 && starts_with(file.subspan(8), "WEBP");
}

Header webp_header(Bytes file) {
  WebPBitstreamFeatures features;
  const VP8StatusCode status = WebPGetFeatures(file.data(), file.size(), &features);
  if (status == VP8_STATUS_NOT_ENOUGH_DATA) refuse_cut_off(kWebp);
  if (status != VP8_STATUS_OK) refuse(kWebp, "its header is damaged");
  Header header;
  header.width = features.width;
  header.height = features.height;
  Bytes exif, xmp;
  for (std::size_t at = 12; at + 8 <= file.size();) {
    const std::size_t length = little32(file, at + 4);
    if (length > file.size() - at - 8) break;
    if (starts_with(file.subspan(at), "EXIF")) exif = file.subspan(at + 8, length);
    if (starts_with(file.subspan(at), "XMP ")) xmp = file.subspan(at + 8, length);
    at += 8 + length + length % 2;
  }
  header.orientation = orientation_of(exif, xmp);
  return header;
}

// The library's message for people is a number.
[[noreturn]] void refuse_webp(VP8StatusCode status) {
  switch (status) {
    case VP8_STATUS_OUT_OF_MEMORY:
      throw std::bad_alloc();
    case VP8_STATUS_NOT_ENOUGH_DATA:
    case VP8_STATUS_SUSPENDED:
      refuse_cut_off(kWebp);
    default:
      refuse(kWebp, "its data are damaged");
  }
}

Image webp_decode(Bytes file, const Header& header, const Limits&) {
  const WebPData data = {file.data(), file.size()};
  WebPDemuxState state = WEBP_DEMUX_DONE;
  const std::unique_ptr<WebPDemuxer, decltype(&WebPDemuxDelete)> demuxer(WebPDemuxPartial(&data, &state),
                                                                         &WebPDemuxDelete);
  if (state == WEBP_DEMUX_PARSING_HEADER || state == WEBP_DEMUX_PARSED_HEADER) refuse_cut_off(kWebp);
  if (demuxer == nullptr || state != WEBP_DEMUX_DONE) refuse(kWebp, "its chunks are damaged");
  if (WebPDemuxGetI(demuxer.get(), WEBP_FF_CANVAS_WIDTH) != header.width ||
      WebPDemuxGetI(demuxer.get(), WEBP_FF_CANVAS_HEIGHT) != header.height) {
    refuse(kWebp, "it has two sizes");
  }
  struct Frame : WebPIterator {
    Frame() : WebPIterator() {}
    ~Frame() { WebPDemuxReleaseIterator(this); }
    Frame(const Frame&) = delete;
    Frame& operator=(const Frame&) = delete;
  } frame;
  if (WebPDemuxGetFrame(demuxer.get(), 1, &frame) == 0) refuse(kWebp, "it has no frame");

  // Not cleared, so that pages are taken as rows come.
  const std::size_t stride = static_cast<std::size_t>(frame.width) * 3;
  const std::size_t size = stride * static_cast<std::size_t>(frame.height);
  const auto pixels = std::make_unique_for_overwrite<std::uint8_t[]>(size);
  WebPDecoderConfig config;
  if (WebPInitDecoderConfig(&config) == 0) refuse(kWebp, "the library is of another version");
  config.output.colorspace = MODE_RGB;
  config.output.is_external_memory = 1;
  config.output.u.RGBA = {pixels.get(), static_cast<int>(stride), size};
  const VP8StatusCode status = WebPDecode(frame.fragment.bytes, frame.fragment.size, &config);
  if (status != VP8_STATUS_OK) refuse_webp(status);

  Rows rows(header);
  for (std::int64_t y = 0; y < header.height; ++y) {
    std::uint8_t* row = rows.next();
    const std::int64_t inside = y - frame.y_offset;
    if (inside < 0 || inside >= frame.height) continue;
    std::copy_n(pixels.get() + static_cast<std::size_t>(inside) * stride, stride,
                row + std::ptrdiff_t{3} * frame.x_offset);
  }
  return rows.take();
}

}  // namespace

const Decoder kWebp = {"WebP", webp_begins, webp_header, webp_decode};

}  // namespace resnet::images
