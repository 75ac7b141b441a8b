#include "train/memory.h"

#include <fmt/core.h>

#include <algorithm>
#include <limits>
#include <new>
#include <optional>
#include <set>
#include <vector>

#include "base/memory.h"
#include "compiler/optimizer.h"
#include "data/cache.h"
#include "train/average.h"
#include "train/batches.h"
#include "train/feed.h"

namespace resnet::train {
namespace {

constexpr std::int64_t kMiB = 1 << 20;

std::int64_t bytes_of(const nn::Module& net, bool unset_alone = false) {
  std::int64_t bytes = 0;
  nn::for_each_parameter(net, [&](const std::string&, const nn::Parameter& parameter) {
    if (!unset_alone || !parameter.set) bytes += parameter.shape.elements() * std::int64_t{sizeof(float)};
  });
  return bytes;
}

// The sizes of the batches of an epoch: the full one, and a shorter last one.
std::vector<std::int64_t> batch_sizes(std::int64_t examples, std::int64_t batch_size,
                                      bool drop_last = false) {
  std::vector<std::int64_t> sizes = {std::min(batch_size, examples)};
  if (examples > batch_size && examples % batch_size != 0 && !drop_last)
    sizes.push_back(examples % batch_size);
  return sizes;
}

// Of the batches of a loader that makes some ahead.
std::int64_t ring_bytes(const data::Dataset& set, std::int64_t batch_size, bool drop_last, int prefetch) {
  constexpr std::int64_t kTargets = 12;  // two labels and a weight
  const std::vector<std::int64_t> sizes = batch_sizes(set.size(), batch_size, drop_last);
  const std::int64_t full =
      std::min<std::int64_t>(prefetch + 1, std::max<std::int64_t>(1, set.size() / batch_size));
  const std::int64_t examples = full * sizes.front() + (sizes.size() > 1 ? sizes.back() : 0);
  return examples * (set.example_shape().elements() * std::int64_t{sizeof(float)} + kTargets);
}

// What a loader's thread holds of the largest picture that it decodes.
std::int64_t decoding_bytes(const data::Dataset& set) {
  if (set.source().in_memory()) return 0;
  // Bytes: RGB as read and as held, a progressive JPEG's coefficients, the file.
  constexpr std::int64_t kOfAPixel = 16;
  std::int64_t pixels = 0;
  for (std::int64_t i = 0; i < set.size(); ++i) {
    if (const auto facts = set.source().facts(i)) pixels = std::max(pixels, facts->height * facts->width);
  }
  return kOfAPixel * pixels;
}

Shape images_of(const data::Dataset& set, std::int64_t count) {
  const Shape& example = set.example_shape();
  return {count, example[0], example[1], example[2]};
}

// Free bytes of a device with a memory of its own; none: the engine works in the process's.
std::optional<std::int64_t> left_on_device(const Engine& engine) {
  const auto* const planned = dynamic_cast<const PlannedEngine*>(&engine);
  return planned == nullptr ? std::nullopt : planned->device_memory_left();
}

// What the arena grows by for this work, on batches of these sizes.
class ArenaNeed {
 public:
  explicit ArenaNeed(Engine& engine)
      : engine_(dynamic_cast<PlannedEngine*>(&engine)), on_device_(left_on_device(engine).has_value()) {
    if (const engine::AheadEngine* const ahead = ahead_of(engine)) depth_ = ahead->depth();
  }
  void add(const data::Dataset& set, const std::vector<std::int64_t>& sizes, Work work, bool mixed) {
    if (engine_ == nullptr) return;
    for (const std::int64_t size : sizes) {
      const Shape images = images_of(set, size);
      const ArenaBytes bytes = engine_->planned_bytes(images, work, mixed);
      most_.state = std::max(most_.state, bytes.state);
      most_.work = std::max(most_.work, bytes.work);
      // Of a processor for all plans in turn, beside a device's arena for each by itself.
      most_.scratch = on_device_ ? most_.scratch + bytes.scratch : std::max(most_.scratch, bytes.scratch);
      images_ = std::max(images_, images.elements() * std::int64_t{sizeof(float)});
    }
  }
  /// Of the process: where a device has the arena, a mirror of its state, and images on their way to it.
  std::int64_t process() const { return on_device_ ? most_.state + depth_ * images_ : growth(); }
  /// Of a device's own memory.
  std::int64_t device() const {
    if (!on_device_) return 0;
    return std::max<std::int64_t>(0, most_.state + most_.work - engine_->arena_bytes()) + most_.scratch +
           depth_ * images_;
  }

 private:
  std::int64_t growth() const {
    return engine_ == nullptr ? 0 : std::max<std::int64_t>(0, most_.total() - engine_->arena_bytes());
  }

  PlannedEngine* engine_;
  bool on_device_;
  ArenaBytes most_;
  std::int64_t images_ = 0;  // bytes of the largest batch
  std::int64_t depth_ = 1;   // batches that may be under way
};

std::int64_t rest_of(std::int64_t threads, std::int64_t train, std::int64_t test) {
  // Pages of the program and of the libraries that were not touched yet, and what malloc keeps: measured.
  constexpr std::int64_t kCode = 6 * kMiB, kOfAThread = kMiB / 4;
  constexpr std::int64_t kOfATrained = 24, kOfATested = 64;  // orders; answers, as their list grows
  return kCode + kOfAThread * threads + kOfATrained * train + kOfATested * test;
}

std::string text_of(const MemoryNeed& need) {
  return fmt::format("engine {}, batches {}, copies for checkpoints {}, other copies {}, rest {}",
                     bytes_text(need.engine), bytes_text(need.batches), bytes_text(need.checkpoint),
                     bytes_text(need.copies), bytes_text(need.rest));
}

std::string left_text(std::int64_t left, std::int64_t most) {
  return most > 0 ? fmt::format("{} are left of {}", bytes_text(left), bytes_text(most))
                  : fmt::format("{} are free", bytes_text(left));
}

// Bytes that are left of both.
struct Left {
  std::int64_t process, device;
  bool holds(const MemoryNeed& need) const { return need.total() <= process && need.device <= device; }
};

// What would fit: a step of the same examples in smaller batches, or a run without checkpoints.
std::string hint_for(const FitOptions& options, Engine& engine, const nn::Module& net,
                     const data::Dataset& train, const data::Dataset& test, const MemoryNeed& need,
                     const Left& left) {
  const bool of_device = need.device > left.device;
  if (!of_device && need.total() - need.checkpoint <= left.process) {
    return fmt::format("without checkpoints (CheckpointOptions::every_seconds 0) it needs {}",
                       bytes_text(need.total() - need.checkpoint));
  }
  FitOptions less = options;
  std::int64_t parts = 2;
  while (parts < options.batch_size && need.total() / (2 * parts) > left.process) parts *= 2;
  for (; options.batch_size / parts >= 1; parts *= 2) {
    less.batch_size = options.batch_size / parts;
    if (__builtin_mul_overflow(options.accumulate, parts, &less.accumulate))
      less.accumulate = options.accumulate;
    const MemoryNeed smaller = need_of(less, engine, net, train, test, 1);
    if (!left.holds(smaller)) continue;
    return fmt::format("FitOptions::batch_size {} with FitOptions::accumulate {} needs {}", less.batch_size,
                       less.accumulate, bytes_text(of_device ? smaller.device : smaller.total()));
  }
  return "no batch is small enough: a smaller network or smaller images need less";
}

// Pictures are kept where there is room besides.
void limit_caches(const std::vector<const data::Dataset*>& sets, std::int64_t left) {
  std::set<const void*> budgets;
  for (const data::Dataset* set : sets) {
    if (set->cache() != nullptr) budgets.insert(set->cache()->budget());
  }
  const auto shares = std::max<std::int64_t>(1, std::ssize(budgets));
  for (const data::Dataset* set : sets) {
    if (set->cache() != nullptr) set->cache()->limit(left / shares);
  }
}

// What a run evaluates.
std::vector<const data::Dataset*> evaluated(const FitOptions& options, const data::Dataset& test) {
  std::vector<const data::Dataset*> sets = {&test};
  if (options.validation) sets.push_back(&*options.validation);
  return sets;
}

}  // namespace

MemoryNeed need_of(const FitOptions& options, Engine& engine, const nn::Module& net,
                   const data::Dataset& train, const data::Dataset& test, int prefetch) {
  ArenaNeed arena(engine);
  const std::vector<const data::Dataset*> evaluations = evaluated(options, test);
  std::set<std::int64_t> sizes;  // one plan for each
  for (const data::Dataset* set : evaluations) {
    const std::vector<std::int64_t> of_set = batch_sizes(set->size(), options.batch_size);
    sizes.insert(of_set.begin(), of_set.end());
  }
  arena.add(test, {sizes.begin(), sizes.end()}, Work::infer, false);
  arena.add(train, batch_sizes(train.size(), options.batch_size, options.drop_last), work_of(options),
            mixes(options, train));

  const data::LoaderOptions loading = loader_options(options);
  const std::int64_t evaluating = answering_threads(engine.device().threads, options.loader_threads);
  const std::int64_t values = bytes_of(net);
  const auto slots = static_cast<std::int64_t>(compiler::slots_of(options.optimizer).size());
  const std::int64_t averages = keeps_average(options) ? 1 : 0, best = options.patience > 0 ? 1 : 0;
  const std::int64_t all = values * (1 + slots + averages);
  const bool checkpoints = !options.checkpoints.folder.empty();
  const bool measured = options.seconds > 0 || options.estimate;

  MemoryNeed need;
  need.engine = arena.process();
  need.device = arena.device();
  std::int64_t evaluation = 0, tested = 0;  // of the larger set
  for (const data::Dataset* set : evaluations) {
    std::int64_t bytes =
        ring_bytes(*set, options.batch_size, false, prefetch) + evaluating * decoding_bytes(*set);
    if (options.views != Views::one) bytes += ring_bytes(*set, options.batch_size, false, 0);
    evaluation = std::max(evaluation, bytes);
    tested = std::max(tested, set->size());
  }
  need.batches = ring_bytes(train, options.batch_size, options.drop_last, prefetch) +
                 loading.threads * decoding_bytes(train) + evaluation;
  need.checkpoint = std::max(checkpoints ? all + best * values : 0, measured ? all : 0);
  // The state some steps ago; what is best and its successor; at the end a copy of what the network gets.
  need.copies = all + (2 * best + 1) * values;
  need.rest = rest_of(engine.device().threads + loading.threads + evaluating + 1, train.size(), tested);
  // What a resumed run reads, 2 * all + (1 + best) * values, is no more than these before its first step.
  return need;
}

int fit_into_memory(const FitOptions& options, Engine& engine, const nn::Module& net,
                    const data::Dataset& train, const data::Dataset& test) {
  int prefetch = loader_options(options).ahead();
  MemoryNeed need = need_of(options, engine, net, train, test, prefetch);
  const std::int64_t most = options.engine.memory;
  const std::int64_t left = memory_left(most);  // the plans have theirs
  const Left both{left, left_on_device(engine).value_or(std::numeric_limits<std::int64_t>::max())};
  if (need.device > both.device) {
    throw MemoryError(fmt::format("the run needs {} more of the memory of {}, of which {} are free",
                                  bytes_text(need.device), engine.device().kind, bytes_text(both.device)),
                      hint_for(options, engine, net, train, test, need, both));
  }
  while (need.total() > left && prefetch > 1) need = need_of(options, engine, net, train, test, --prefetch);
  if (need.total() > left) {
    throw MemoryError(fmt::format("the run needs {} more ({}); {}", bytes_text(need.total()), text_of(need),
                                  left_text(left, most)),
                      hint_for(options, engine, net, train, test, need, both));
  }
  std::vector<const data::Dataset*> sets = evaluated(options, test);
  sets.push_back(&train);
  limit_caches(sets, left - need.total());
  return prefetch;
}

int fit_into_memory(Engine& engine, const data::Dataset& test, const EvaluateOptions& options) {
  const std::int64_t batch_size = options.batch_size;
  const int threads = answering_threads(engine.device().threads, options.loader_threads);
  int prefetch = data::LoaderOptions{.threads = threads}.ahead();
  const auto* const planned = dynamic_cast<const PlannedEngine*>(&engine);
  if (planned == nullptr || test.size() == 0 || batch_size < 1) return prefetch;
  ArenaNeed arena(engine);
  arena.add(test, batch_sizes(test.size(), batch_size), Work::infer, false);
  const std::string hint = "a smaller EvaluateOptions::batch_size gives the same figures";
  if (const auto on_device = left_on_device(engine); on_device && arena.device() > *on_device) {
    throw MemoryError(fmt::format("the evaluation needs {} more of the memory of {}, of which {} are free",
                                  bytes_text(arena.device()), engine.device().kind, bytes_text(*on_device)),
                      hint);
  }
  const std::int64_t fixed = arena.process() + threads * decoding_bytes(test) +
                             (options.views != Views::one ? ring_bytes(test, batch_size, false, 0) : 0) +
                             rest_of(engine.device().threads + threads, 0, test.size());
  const std::int64_t left = memory_left(planned->memory());
  const auto need = [&] { return fixed + ring_bytes(test, batch_size, false, prefetch); };
  while (need() > left && prefetch > 1) --prefetch;
  if (need() <= left) return prefetch;
  throw MemoryError(
      fmt::format("the evaluation needs {} more; {}", bytes_text(need()), left_text(left, planned->memory())),
      hint);
}

void check_parameters(const nn::Module& net, std::int64_t most) {
  constexpr std::int64_t kCopies = 2;  // the engine's, and the one that it is made of
  const std::int64_t bytes = kCopies * bytes_of(net) + bytes_of(net, true);
  if (bytes > kMiB)
    require_memory(bytes, most, fmt::format("a network of {} of parameters", bytes_text(bytes_of(net))),
                   "a smaller network needs less");
}

void keep_trained(nn::Module& net, const std::function<State()>& trained) {
  try {
    set_state(net, trained());
  } catch (const std::bad_alloc&) {
    throw NotKept();
  } catch (const MemoryError&) {  // of a device
    throw NotKept();
  }
}

void keep_trained(nn::Module& net, const State& trained) {
  try {
    set_state(net, trained);
  } catch (const std::bad_alloc&) {
    throw NotKept();
  }
}

}  // namespace resnet::train
