// What the tests of native kernels share: running a kernel as the contract allows and no better, and
// comparing its results.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/machine.h"
#include "base/random.h"
#include "kernels/kernel.h"
#include "resnet/tensor.h"
#include "support/isas.h"
#include "tensor/thread_pool.h"

namespace resnet::kernels::testing {

using Index = std::int64_t;
using Values = std::vector<double>;

inline constexpr double kRound = 0x1p-24;  // relative error of rounding to f32
inline constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
inline constexpr double kInf = std::numeric_limits<double>::infinity();

/// RESNET_TEST_SEED, or 1.
inline std::uint64_t seed() {
  const char* text = std::getenv("RESNET_TEST_SEED");
  return text != nullptr ? std::strtoull(text, nullptr, 10) : 1;
}

using test::isas;

/// Numbers of the test's seed and a stream of its own.
class Numbers {
 public:
  explicit Numbers(std::string_view stream) : random_(seed(), stream) {}

  Index below(Index bound) {
    return static_cast<Index>(random_.below(next_++, static_cast<std::uint64_t>(bound)));
  }
  Index between(Index low, Index high) { return low + below(high - low + 1); }
  /// Normal, rounded to f32.
  Values normal(Index count, double mean = 0, double deviation = 1) {
    Values values(static_cast<std::size_t>(count));
    for (double& v : values)
      v = static_cast<double>(static_cast<float>(mean + deviation * random_.normal(next_++)));
    return values;
  }
  Values integers(Index count, Index low, Index high) {
    Values values(static_cast<std::size_t>(count));
    for (double& v : values) v = static_cast<double>(between(low, high));
    return values;
  }

 private:
  RandomStream random_;
  std::uint64_t next_ = 0;
};

inline View<const double> view(const Values& values, const Shape& shape) {
  return {values.data(), shape};
}
inline View<double> target(Values& values, const Shape& shape) {
  return {values.data(), shape};
}
inline View<const double> view(const Values& values) {
  return {values.data(), Shape{Index(values.size())}};
}
inline View<double> target(Values& values) {
  return {values.data(), Shape{Index(values.size())}};
}

/// [n][c][pixels] to [n][pixels][c]; the way back with c and pixels exchanged.
template <class T>
std::vector<T> transposed(const std::vector<T>& values, Index n, Index c, Index pixels) {
  std::vector<T> result(values.size());
  for (Index image = 0; image < n; ++image) {
    for (Index i = 0; i < c; ++i) {
      for (Index p = 0; p < pixels; ++p) {
        result[static_cast<std::size_t>((image * pixels + p) * c + i)] =
            values[static_cast<std::size_t>((image * c + i) * pixels + p)];
      }
    }
  }
  return result;
}

template <class T>
std::vector<T> rounded(const Values& values) {
  std::vector<T> result;
  for (const double v : values) result.push_back(static_cast<T>(v));
  return result;
}

/// One operand of a kernel: content for an input, a size for an output, null, or the memory of another.
struct Operand {
  std::vector<std::byte> content;  // outputs: poisoned
  bool output = false;
  bool absent = false;
  int shares = -1;
};

template <class T>
Operand input(const std::vector<T>& values) {
  Operand operand;
  operand.content.resize(values.size() * sizeof(T));
  if (!values.empty()) std::memcpy(operand.content.data(), values.data(), operand.content.size());
  return operand;
}
inline Operand input(const Values& values) {
  return input(rounded<float>(values));
}
template <class T = float>
Operand output(Index count) {
  return {.content = std::vector<std::byte>(static_cast<std::size_t>(count) * sizeof(T), std::byte{0xFF}),
          .output = true,
          .absent = false,
          .shares = -1};
}
/// Activations, stored as f32 or rounded to bf16.
inline Operand activations(const Values& values, DType storage) {
  if (storage == DType::f32) return input(values);
  std::vector<BFloat16> stored;
  for (const double v : values) stored.emplace_back(static_cast<float>(v));
  return input(stored);
}
/// Activations as they are stored.
inline Values values_of(const std::vector<std::byte>& bytes, DType storage) {
  Values values(bytes.size() / size_of(storage));
  for (std::size_t i = 0; i < values.size(); ++i) {
    values[i] =
        storage == DType::bf16
            ? static_cast<double>(static_cast<float>(reinterpret_cast<const BFloat16*>(bytes.data())[i]))
            : static_cast<double>(reinterpret_cast<const float*>(bytes.data())[i]);
  }
  return values;
}
inline Operand activations_output(Index count, DType storage) {
  return storage == DType::bf16 ? output<BFloat16>(count) : output(count);
}
inline Operand absent() {
  return {.content = {}, .output = true, .absent = true, .shares = -1};
}
inline Operand same_as(int other) {
  return {.content = {}, .output = true, .absent = false, .shares = other};
}

/// Memory with a guard behind it.
class Guarded {
 public:
  explicit Guarded(std::size_t bytes) : buffer_(bytes + kGuard), bytes_(bytes) {
    std::memset(buffer_.data(), 0xFF, bytes);  // a NaN in f32 and f64, -1 in integers
    std::memset(buffer_.data() + bytes, 0x5A, kGuard);
  }
  std::byte* data() const { return buffer_.data(); }
  std::size_t size() const { return bytes_; }
  void poison() { std::memset(buffer_.data(), 0xFF, bytes_); }
  bool intact() const {
    return std::all_of(data() + bytes_, data() + bytes_ + kGuard,
                       [](std::byte b) { return b == std::byte{0x5A}; });
  }

 private:
  static constexpr std::size_t kGuard = 64;
  AlignedBuffer buffer_;
  std::size_t bytes_;
};

/// The operands of a kernel after its run.
class Result {
 public:
  explicit Result(std::vector<std::vector<std::byte>> operands) : operands_(std::move(operands)) {}
  template <class T = float>
  std::vector<T> get(std::size_t i) const {
    std::vector<T> values(operands_.at(i).size() / sizeof(T));
    if (!values.empty()) std::memcpy(values.data(), operands_[i].data(), operands_[i].size());
    return values;
  }
  const std::vector<std::byte>& bytes(std::size_t i) const { return operands_.at(i); }
  bool operator==(const Result&) const = default;

 private:
  std::vector<std::vector<std::byte>> operands_;
};

/// Runs a kernel with `threads` threads. Workspace, scratch (before every task) and outputs hold NaN;
/// inputs must stay as they are and nothing may be written behind a buffer.
inline Result run_with(const Kernel& kernel, const std::vector<Operand>& operands, int threads) {
  std::vector<std::unique_ptr<Guarded>> memory;
  std::vector<void*> pointers;
  for (const Operand& operand : operands) {
    memory.push_back(std::make_unique<Guarded>(operand.content.size()));
    if (!operand.content.empty()) {
      std::memcpy(memory.back()->data(), operand.content.data(), operand.content.size());
    }
    void* const own = operand.absent ? nullptr : memory.back()->data();
    pointers.push_back(operand.shares >= 0 ? pointers[static_cast<std::size_t>(operand.shares)] : own);
  }
  Guarded workspace(static_cast<std::size_t>(kernel.workspace_bytes()));
  Guarded prepared(static_cast<std::size_t>(kernel.prepared_bytes()));
  std::vector<std::unique_ptr<Guarded>> scratch;
  for (int i = 0; i < threads; ++i) {
    scratch.push_back(std::make_unique<Guarded>(static_cast<std::size_t>(kernel.scratch_bytes())));
  }
  ThreadPool pool(threads);
  const auto run_tasks = [&](const std::vector<void*>& found, int phase, Index begin, Index end) {
    pool.parallel_for(end - begin, [&](Index task, int thread) {
      Guarded& own = *scratch[static_cast<std::size_t>(thread)];
      own.poison();
      kernel.run({.operands = found.data(),
                  .prepared = prepared.data(),
                  .workspace = workspace.data(),
                  .scratch = own.data()},
                 phase, begin + task);
    });
  };
  // What is prepared needs none but its own operands, and stays as it is.
  std::vector<void*> constants = pointers;
  for (std::size_t i = 0; i < constants.size(); ++i) {
    if (!kernel.prepares_from(i)) constants[i] = nullptr;
  }
  run_tasks(constants, 0, 0, kernel.prepare_tasks());
  const std::vector<std::byte> kept(prepared.data(), prepared.data() + prepared.size());
  for (int phase = 0; phase < kernel.phases(); ++phase)
    run_tasks(pointers, phase, phase == 0 ? kernel.prepare_tasks() : 0, kernel.tasks(phase));
  EXPECT_TRUE(kept.empty() || std::memcmp(kept.data(), prepared.data(), kept.size()) == 0)
      << kernel.name() << ": what is prepared was changed";
  EXPECT_TRUE(prepared.intact()) << kernel.name() << ": written behind what is prepared";
  EXPECT_TRUE(workspace.intact()) << kernel.name() << ": written behind the workspace";
  for (const auto& s : scratch) EXPECT_TRUE(s->intact()) << kernel.name() << ": written behind the scratch";
  std::vector<std::vector<std::byte>> after;
  for (std::size_t i = 0; i < operands.size(); ++i) {
    EXPECT_TRUE(memory[i]->intact()) << kernel.name() << ": written behind operand " << i;
    const bool taken_over = std::any_of(operands.begin(), operands.end(),
                                        [&](const Operand& o) { return o.shares == static_cast<int>(i); });
    if (!operands[i].output && !taken_over && !operands[i].content.empty()) {
      EXPECT_EQ(std::memcmp(memory[i]->data(), operands[i].content.data(), operands[i].content.size()), 0)
          << kernel.name() << ": input " << i << " was changed";
    }
    const Guarded& own =
        operands[i].shares >= 0 ? *memory[static_cast<std::size_t>(operands[i].shares)] : *memory[i];
    after.emplace_back(own.data(), own.data() + own.size());
  }
  return Result(std::move(after));
}

/// Runs a kernel with one to four threads, which must agree in every bit.
inline Result run(const Kernel& kernel, const std::vector<Operand>& operands) {
  Result first = run_with(kernel, operands, 1);
  for (int threads = 2; threads <= 4; ++threads) {
    EXPECT_TRUE(run_with(kernel, operands, threads) == first)
        << kernel.name() << ": " << threads << " threads give other bits than one";
  }
  return first;
}

/// Whether every value is within its tolerance; NaN wants NaN. The message names the worst place.
template <class T>
::testing::AssertionResult close(const std::vector<T>& actual, const Values& expected,
                                 const std::function<double(std::size_t)>& tolerance) {
  if (actual.size() != expected.size()) {
    return ::testing::AssertionFailure() << actual.size() << " values, expected " << expected.size();
  }
  std::size_t wrong = 0;
  std::size_t worst = 0;
  double worst_excess = -1;
  for (std::size_t i = 0; i < actual.size(); ++i) {
    const auto value = static_cast<double>(actual[i]);
    if (std::isnan(value) && std::isnan(expected[i])) continue;
    if (value == expected[i]) continue;
    const double excess = std::abs(value - expected[i]) / std::max(tolerance(i), 1e-300);
    if (excess <= 1) continue;
    ++wrong;
    const double rank = std::isnan(excess) ? kInf : excess;
    if (rank > worst_excess) {
      worst_excess = rank;
      worst = i;
    }
  }
  if (wrong == 0) return ::testing::AssertionSuccess();
  const auto* test = ::testing::UnitTest::GetInstance()->current_test_info();
  const std::string name = std::string(test->test_suite_name()) + "." + test->name();
  return ::testing::AssertionFailure()
         << wrong << " of " << actual.size() << " values are off, worst at [" << worst << "]: got "
         << static_cast<double>(actual[worst]) << ", expected " << expected[worst] << ", tolerance "
         << tolerance(worst) << "; seed " << seed() << "; repeat with RESNET_TEST_SEED=" << seed()
         << " and --gtest_filter=" << name;
}
template <class T>
::testing::AssertionResult close(const std::vector<T>& actual, const Values& expected, double tolerance) {
  return close(actual, expected, [tolerance](std::size_t) { return tolerance; });
}
template <class T>
::testing::AssertionResult equal(const std::vector<T>& actual, const Values& expected) {
  return close(actual, expected, 0.0);
}

inline double largest(const Values& values) {
  double m = 0;
  for (const double v : values) m = std::max(m, std::abs(v));
  return m;
}

/// Central differences of `loss` with respect to `x`.
inline Values differences(Values& x, const std::function<double()>& loss, double step = 1e-5) {
  Values gradient;
  for (double& v : x) {
    const double at = v;
    v = at + step;
    const double above = loss();
    v = at - step;
    const double below = loss();
    v = at;
    gradient.push_back((above - below) / (2 * step));
  }
  return gradient;
}

inline double dot(const Values& a, const Values& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

}  // namespace resnet::kernels::testing
