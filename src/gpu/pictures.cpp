#include "gpu/pictures.h"

#include <algorithm>
#include <cstring>
#include <span>
#include <utility>

#include "data/preprocess.h"
#include "images/resample.h"
#include "resnet/memory.h"

namespace resnet::gpu {
namespace {

using device::PicturesArgs;
using device::ResizeAxis;
using images::Resampler;

constexpr std::int64_t kBandElements = 4096;  // of the network's input, of a block: three of 96x96
constexpr std::int64_t kChunk = 4 << 20;      // bytes that are copied at a time

// Lists behind each other, for one copy.
class Tables {
 public:
  template <class T>
  std::int64_t add(std::span<const T> list) {
    const auto at = static_cast<std::int64_t>(bytes_.size());
    bytes_.resize((bytes_.size() + list.size_bytes() + 15) / 16 * 16);
    std::memcpy(bytes_.data() + at, list.data(), list.size_bytes());
    return at;
  }
  const std::vector<std::byte>& bytes() const { return bytes_; }

 private:
  std::vector<std::byte> bytes_;
};

// Most rows that `band` neighbouring outputs need.
std::int64_t rows_of(const Resampler::Axis& axis, std::int64_t band) {
  std::int64_t most = 0;
  const auto outputs = static_cast<std::int64_t>(axis.first.size());
  for (std::int64_t i = 0; i < outputs; ++i) {
    const auto last = static_cast<std::size_t>(std::min(i + band, outputs) - 1);
    most = std::max<std::int64_t>(
        most, axis.first[last] + axis.count[last] - axis.first[static_cast<std::size_t>(i)]);
  }
  return most;
}

// Bytes of all pictures in their order; false where one is not of this size.
bool copy_pictures(Device& device, const data::Dataset& set, data::Preprocessor& preprocessor,
                   const data::Image& first, std::byte* to) {
  std::vector<std::uint8_t> chunk;
  data::Image image;
  const auto flush = [&] {
    device.copy(to, chunk.data(), static_cast<std::int64_t>(chunk.size()));
    device.synchronize();  // the chunk is filled again, and has to stay as it is until it was read
    to += chunk.size();
    chunk.clear();
  };
  for (std::int64_t i = 0; i < set.size(); ++i) {
    set.source().image(i, image);
    const data::Image& picture = preprocessor.converted(image);
    if (picture.height != first.height || picture.width != first.width) return false;
    chunk.insert(chunk.end(), picture.pixels.begin(), picture.pixels.end());
    if (static_cast<std::int64_t>(chunk.size()) >= kChunk) flush();
  }
  flush();
  return true;
}

}  // namespace

std::unique_ptr<HeldPictures> HeldPictures::make(Device& device, const data::Dataset& set,
                                                 std::int64_t most) {
  if (set.size() == 0 || !set.source().in_memory()) return nullptr;
  const data::Preprocessing& preprocessing = set.preprocessing();
  const std::int64_t channels = preprocessing.channels;
  if (channels != 1 && channels != 3) return nullptr;
  data::Preprocessor preprocessor(preprocessing);
  const data::Image first = set.image(0);
  const auto [height, width] = data::resized_size(preprocessing, first.height, first.width);
  const Resampler resampler(first.height, first.width, height, width, channels, false, preprocessing.filter);

  const Shape& example = set.example_shape();
  const std::int64_t line = width * channels;
  std::int64_t band = std::clamp<std::int64_t>(kBandElements / (example[2] * channels), 1, example[1]);
  while (band > 1 && rows_of(resampler.rows(), band) * line > device::kSharedUnasked) --band;
  const std::int64_t shared = rows_of(resampler.rows(), band) * line;
  if (shared > device::kSharedUnasked) return nullptr;

  Tables tables;
  const std::int64_t values_at = tables.add<std::array<float, 256>>(preprocessor.values());
  struct Placed {
    std::int64_t first, count, weights;
  };
  const auto placed = [&](const Resampler::Axis& axis) {
    return Placed{tables.add<std::int32_t>(axis.first), tables.add<std::int32_t>(axis.count),
                  tables.add<std::int32_t>(axis.weights)};
  };
  const Placed rows = placed(resampler.rows()), columns = placed(resampler.columns());
  const std::int64_t picture = first.height * first.width * channels;
  if (set.size() * picture + static_cast<std::int64_t>(tables.bytes().size()) > most) return nullptr;
  Memory pictures, constants;
  try {
    pictures = Memory(device, set.size() * picture);
    constants = Memory(device, static_cast<std::int64_t>(tables.bytes().size()));
  } catch (const MemoryError&) {  // somebody else has taken what was free
    return nullptr;
  }
  if (!copy_pictures(device, set, preprocessor, first, pictures.data())) return nullptr;
  device.copy(constants.data(), tables.bytes().data(), constants.bytes());
  device.synchronize();

  const auto on_device = [&](const Placed& at, const Resampler::Axis& axis, std::int64_t in) {
    const auto* base = constants.data();
    const auto out = static_cast<std::int64_t>(axis.first.size());
    return ResizeAxis{.first = reinterpret_cast<const std::int32_t*>(base + at.first),
                      .count = reinterpret_cast<const std::int32_t*>(base + at.count),
                      .weights = reinterpret_cast<const std::int32_t*>(base + at.weights),
                      .in = static_cast<std::int32_t>(in),
                      .out = static_cast<std::int32_t>(out),
                      .taps = in == out ? 0 : static_cast<std::int32_t>(axis.taps)};
  };
  PicturesArgs args{.set = reinterpret_cast<const std::uint8_t*>(pictures.data()),
                    .values = reinterpret_cast<const float*>(constants.data() + values_at),
                    .rows = on_device(rows, resampler.rows(), first.height),
                    .columns = on_device(columns, resampler.columns(), first.width),
                    .height = static_cast<std::int32_t>(example[1]),
                    .width = static_cast<std::int32_t>(example[2]),
                    .channels = static_cast<std::int32_t>(channels),
                    .band_rows = static_cast<std::int32_t>(band),
                    .bands = static_cast<std::int32_t>((example[1] + band - 1) / band)};
  return std::unique_ptr<HeldPictures>(
      new HeldPictures(set, std::move(pictures), std::move(constants), args, shared));
}

std::optional<int> HeldSets::hold(Device& device, const data::Dataset& set, std::int64_t most) {
  const auto same = [&](const auto& held) {
    return &held->set().source() == &set.source() && held->set().size() == set.size() &&
           held->set().preprocessing() == set.preprocessing();
  };
  auto found = std::ranges::find_if(held_, same);
  if (found == held_.end()) {
    auto made = HeldPictures::make(device, set, most);
    if (made == nullptr) return std::nullopt;
    found = held_.insert(held_.end(), std::move(made));
  }
  return static_cast<int>(found - held_.begin());
}

void HeldPictures::write(Device& device, const device::PictureRecord* records, std::int64_t n,
                         images::Border border, float* images, std::int32_t* labels) const {
  PicturesArgs args = args_;
  args.records = records;
  args.images = images;
  args.labels = labels;
  args.reflect = border == images::Border::reflect ? 1 : 0;
  Recorder recorder({});
  recorder.launch(device::KernelId::pictures, n * args.bands, args, shared_bytes_);
  for (const Work& work : recorder.take()) device.launch(work);
}

}  // namespace resnet::gpu
