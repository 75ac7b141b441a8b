// Pictures that were decoded before.
#pragma once

#include <cstdint>
#include <string>

#include "data/preprocess.h"
#include "resnet/data.h"

namespace resnet::data {

/// Which picture of an example is kept: as it is decoded, or behind what happens to every picture alike
/// before anything random does, Preprocessor::prepared().
enum class Form : std::uint8_t { decoded, prepared };

/// Keeps pictures of a data set up to a number of bytes; none is thrown out again, since an epoch asks for
/// each of them once. Nothing locks: threads may use it, and so may a child of fork().
class PictureCache {
 public:
  virtual ~PictureCache() = default;
  /// The picture of example `i`, in the cache's memory or in `room`; null where it is not there.
  virtual const Image* find(std::int64_t i, Form form, Image& room) const noexcept = 0;
  /// Keeps `picture`, if there is room for it; `decoded` is what it was made of.
  virtual void keep(std::int64_t i, Form form, const Image& decoded, const Image& picture) noexcept = 0;
  /// Bytes that it may keep when it is empty, with those of the data set beside it.
  virtual std::int64_t bytes() const noexcept = 0;
  /// From here on it takes at most so much memory more.
  virtual void limit(std::int64_t bytes) noexcept { static_cast<void>(bytes); }
  /// The same for caches that share their bytes.
  virtual const void* budget() const noexcept = 0;
};

/// Example `i` of a data set, for Preprocessor::changed(): found in the data set's cache, or decoded and kept
/// there. It lies in the cache, in `room` or in `preprocessor`.
const Image& picture_of(const Dataset& dataset, std::int64_t i, Form form, Preprocessor& preprocessor,
                        Image& room);

/// One line about what a cache that was asked for cannot do, where the training set is changed by
/// `augmentation`; "" where everything will be kept.
std::string cache_note(const TrainTest& sets, const CacheOptions& options, const Augmentation& augmentation);

}  // namespace resnet::data
