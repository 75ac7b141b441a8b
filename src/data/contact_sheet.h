// Pictures of a data set as the network sees them, for people.
#pragma once

#include <cstdint>

#include "resnet/data.h"

namespace resnet::data {

struct SheetOptions {
  std::int64_t columns = 8;   // pictures side by side
  Augmentation augment = {};  // of training
  std::uint64_t seed = 0;     // of what it draws
};

/// Under the name of each class a row of its examples after preprocessing, with the normalisation undone; of
/// as many classes as 2^24 pixels hold. With an augmentation each example comes once without it, and beside
/// that as a loader delivers it in the first three epochs; mixing mixes those of the sheet. A name that is
/// not ASCII is "class 3", its place from 0.
Image contact_sheet(const Dataset& dataset, const SheetOptions& options = {});

}  // namespace resnet::data
