// A data set in a device's memory: its bytes as they are stored, and the tables of what becomes of them.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "gpu/device.h"
#include "images/geometry.h"
#include "resnet/data.h"

namespace resnet::gpu {

class HeldPictures {
 public:
  /// Copies them, or gives null: where they are not in memory as they are (they would have to be decoded),
  /// are not all of one size, would be resized from so wide that a row does not fit into a block's shared
  /// memory, or need more than `most` bytes of the device. Throws Error if the device fails.
  static std::unique_ptr<HeldPictures> make(Device& device, const data::Dataset& set, std::int64_t most);

  const data::Dataset& set() const noexcept { return set_; }
  /// Of all pictures, behind the resize.
  std::int64_t resized_height() const noexcept { return args_.rows.out; }
  std::int64_t resized_width() const noexcept { return args_.columns.out; }

  /// Asks for the network's input [n][height][width][channels] of these examples, and their labels unless
  /// that is null.
  void write(Device& device, const device::PictureRecord* records, std::int64_t n, images::Border border,
             float* images, std::int32_t* labels) const;

 private:
  HeldPictures(data::Dataset set, Memory pictures, Memory tables, const device::PicturesArgs& args,
               std::int64_t shared_bytes)
      : set_(std::move(set)),
        pictures_(std::move(pictures)),
        tables_(std::move(tables)),
        args_(args),
        shared_bytes_(shared_bytes) {}

  data::Dataset set_;
  Memory pictures_, tables_;
  device::PicturesArgs args_;  // but for what write() is given
  std::int64_t shared_bytes_;  // of a block
};

/// Those that a device holds, by number.
class HeldSets {
 public:
  /// As HeldPictures::make(), but each set once; none where that gives null.
  std::optional<int> hold(Device& device, const data::Dataset& set, std::int64_t most);
  const HeldPictures& at(int number) const { return *held_.at(static_cast<std::size_t>(number)); }

 private:
  std::vector<std::unique_ptr<HeldPictures>> held_;
};

}  // namespace resnet::gpu
