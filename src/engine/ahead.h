// What an engine may be able to do besides: take work before the last is done, and hold pictures where it
// computes.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <variant>

#include "data/augment.h"
#include "images/geometry.h"
#include "resnet/data.h"
#include "resnet/engine.h"

namespace resnet::engine {

/// Examples of a set that an engine holds.
struct HeldBatch {
  int set = 0;                                   // as AheadEngine::hold() numbers it
  std::span<const data::Placed> examples = {};   // with their labels
  images::Border border = images::Border::zero;  // beyond the edges of what they cut
  bool mirrored = false;                         // all, once more
  std::int64_t shift = 0;                        // then, pixels down and to the right; the edge is repeated
};

/// What came of a submit().
struct Outcome {
  StepResult result = {};  // of a step
  bool finite = true;      // all that the step wrote
  Tensor outputs = {};     // of an answer, as Engine::infer()
};

/// submit() asks for a step or an answer and comes back before it is done; collect() waits for its outcome.
/// What is submitted is done in that order. The bits are those of step() and infer() on the images that a
/// loader makes of the same examples. Other calls may come between: they find all that was submitted done,
/// but for finite(), which tells of what was collected. As with step() and infer(), answers may be asked for
/// by several threads, steps by one.
class AheadEngine : public PlannedEngine {
 public:
  /// So many of one caller may well be under way: with more nothing is gained. Each keeps its images twice,
  /// on the host and on the device.
  virtual std::int64_t depth() const = 0;

  /// Keeps a copy of the pictures of `set` where it computes, until its end, and gives its number: the same
  /// for the same set. None where there is no room for it, or its pictures have to be decoded or are not all
  /// of one size.
  virtual std::optional<int> hold(const data::Dataset& set) = 0;
  struct Size {
    std::int64_t height = 0, width = 0;
  };
  /// Of all pictures of a set that it holds, behind the resize.
  virtual Size resized_size(int set) const = 0;

  using Ticket = std::int64_t;
  /// A step. The memory of all these is free when it comes back.
  virtual Ticket submit(const ImageView& images, const Targets& targets, const StepInputs& inputs) = 0;
  virtual Ticket submit(const HeldBatch& batch, const StepInputs& inputs) = 0;
  /// An answer.
  virtual Ticket submit(const ImageView& images) = 0;
  virtual Ticket submit(const HeldBatch& batch) = 0;
  /// What came of it; once for each. Throws ConfigError for another ticket.
  virtual Outcome collect(Ticket ticket) = 0;
};

}  // namespace resnet::engine
