// The step call by call, by the device's clock, beside what its bytes and products take at the peaks.
#include <algorithm>
#include <map>

#include "bench/bench.h"
#include "device_check/asked.h"
#include "gpu/peak.h"
#include "train/diagnosis.h"

namespace resnet::device_check {
namespace {

constexpr std::int64_t kWarmUp = 2;  // steps that do not count, behind those of the whole
constexpr std::size_t kLongest = 6;  // kernels that a profiler looks at

struct Peaks {
  double memory = 0, f32 = 0, tf32 = 0, bf16 = 0;  // GB/s, GFLOP/s
  explicit Peaks(const resnet_device_api& api) {
    gpu::Device device(api);
    memory = gpu::memory_gbytes(device);
    f32 = gpu::peak_gflops(device, gpu::Units::ffma);
    tf32 = gpu::peak_gflops(device, gpu::Units::tf32);
    bf16 = gpu::peak_gflops(device, gpu::Units::bf16);
  }
  /// Of a call, in seconds: its products by the units that its kernel's name has, or its sweeps.
  double predicted(const CallTime& call) const {
    const auto has = [&](std::string_view part) { return call.kernel.find(part) != std::string::npos; };
    const double products = has("bf16") ? bf16 : has("tf32") ? tf32 : f32;
    return std::max(call.flops / products, call.bytes / memory) / 1e9;
  }
};

// Each call with the least of its times.
std::vector<CallTime> timed_calls(PlannedEngine& engine, const test::Examples& e, std::int64_t steps) {
  std::vector<CallTime> least;
  for (std::int64_t i = 0; i < kWarmUp + steps; ++i) {
    std::vector<CallTime> calls =
        engine.profile(e.images.view<float>(), e.labels.view<std::int32_t>(), {0.02F});
    if (i <= kWarmUp) {
      least = std::move(calls);
      continue;
    }
    for (std::size_t k = 0; k < calls.size(); ++k)
      least[k].seconds = std::min(least[k].seconds, calls[k].seconds);
  }
  return least;
}

struct Total {
  std::int64_t calls = 0;
  double seconds = 0, predicted = 0;
  void add(const Total& other) {
    calls += other.calls;
    seconds += other.seconds;
    predicted += other.predicted;
  }
};

std::string ms(double seconds) {
  return fmt::format("{:.3f} ms", seconds * 1e3);
}

// Prints the calls and gives them as JSON; what they take in all is added to `all`, and by operation to
// `by_op`.
Json listing(const std::vector<CallTime>& calls, const Peaks& peaks, Total& all,
             std::map<std::string, Total>& by_op) {
  fmt::print("{:<22} {:<28} {:<36} {:>9} {:>10} {:>7} {:>9} {:>8}\n", "node", "operation", "kernel", "us",
             "predicted", "times", "TFLOP/s", "GB/s");
  Json list = Json::list();
  for (const CallTime& call : calls) {
    const double limit = peaks.predicted(call);
    if (call.seconds <= 0) continue;  // what follows from state alone does not run in every step
    fmt::print("{:<22} {:<28} {:<36} {:>9.1f} {:>10.1f} {:>7.1f} {:>9.2f} {:>8.0f}\n", call.node, call.op,
               call.kernel, call.seconds * 1e6, limit * 1e6, call.seconds / limit,
               call.flops / call.seconds / 1e12, call.bytes / call.seconds / 1e9);
    all.add({1, call.seconds, limit});
    by_op[call.op].add({1, call.seconds, limit});
    list.push_back(Json::object({{"node", call.node},
                                 {"op", call.op},
                                 {"kernel", call.kernel},
                                 {"us", call.seconds * 1e6},
                                 {"predicted_us", limit * 1e6},
                                 {"flops", call.flops},
                                 {"bytes", call.bytes}}));
  }
  return list;
}

// A row for each operation that takes a fiftieth of the step, and one for all others.
void print_operations(const std::string& form, const std::map<std::string, Total>& by_op, const Total& all) {
  const auto print = [&](const std::string& what, const Total& total) {
    row(fmt::format("{}, {}, calls: {}", form, what, total.calls), ms(total.seconds),
        ms(total.predicted) + " predicted");
  };
  Total others;
  for (const auto& [op, total] : by_op) {
    if (total.seconds < all.seconds / 50) {
      others.add(total);
    } else {
      print(op, total);
    }
  }
  if (others.calls > 0) print("all others", others);
}

// Our kernels of the longest calls, each once: "gemm_input_gradient_bf16" of "gemm_input_gradient_bf16+add".
// cuDNN's have names of their own.
Json longest(std::vector<CallTime> calls) {
  std::ranges::sort(calls, std::ranges::greater{}, &CallTime::seconds);
  std::vector<std::string> names;
  for (const CallTime& call : calls) {
    const std::string name = call.kernel.substr(0, call.kernel.find('+'));
    if (name.starts_with("cudnn_")) continue;
    if (names.size() < kLongest && std::ranges::find(names, name) == names.end()) names.push_back(name);
  }
  return Json::list(names);
}

// Each convolution's pass in every form: what may be chosen for it.
using Candidates = std::map<std::string, std::vector<std::string>>;

void add_candidates(Candidates& candidates, const std::vector<CallTime>& calls, const std::string& form) {
  for (const CallTime& call : calls) {
    if (call.op.starts_with("conv2d"))
      candidates[fmt::format("{:<22} {}", call.node, call.op)].push_back(
          fmt::format("{} {:.1f} us ({})", form, call.seconds * 1e6, call.kernel));
  }
}

}  // namespace

Json layers(const Asked& asked) {
  const Peaks peaks(*asked.api);
  const Network network = network_for(asked);
  const test::Examples e = test::examples(asked.images, asked.classes);
  Json figures = Json::object();
  Candidates candidates;
  for (const Precision form : asked.forms) {
    const std::string name(name_of(form));
    const auto engine = engine_for(asked, network, form);
    const bench::StepTimes steps =
        bench::time_steps(*engine, asked.images, asked.classes, asked.steps, bench::Work::train);
    const std::vector<CallTime> calls = timed_calls(*engine, e, asked.steps);
    train::check_finite(*engine);  // a speed of NaN is none
    fmt::print("\n{} in {}\n", title(asked), name);
    Total all;
    std::map<std::string, Total> by_op;
    Json list = listing(calls, peaks, all, by_op);
    add_candidates(candidates, calls, name);
    const auto examples = static_cast<double>(asked.images[0]);
    row(fmt::format("step of {} in {}", title(asked), name),
        fmt::format("{}, {:.0f} examples/s", ms(steps.step_seconds), examples / steps.step_seconds),
        fmt::format("{} on the device, {} predicted; steps {}", ms(all.seconds), ms(all.predicted),
                    steps.timed));
    const DeviceInfo device = engine->device();
    row(fmt::format("libraries in {}", name), device.libraries, device.note);
    print_operations(name, by_op, all);
    figures.add(name, Json::object({{"step_ms", steps.step_seconds * 1e3},
                                    {"timed", steps.timed},
                                    {"libraries", device.libraries},
                                    {"note", device.note},
                                    {"device_ms", all.seconds * 1e3},
                                    {"predicted_ms", all.predicted * 1e3},
                                    {"longest", longest(calls)},
                                    {"calls", list}}));
  }
  fmt::print("\nconvolutions, each pass by its candidates\n");
  for (const auto& [pass, times] : candidates) fmt::print("{} {}\n", pass, fmt::join(times, ", "));
  return figures;
}

Json profile(const Asked& asked) {
  const Network network = network_for(asked);
  const test::Examples e = test::examples(asked.images, asked.classes);
  const auto engine = engine_for(asked, network, asked.forms.front());
  engine->profile(e.images.view<float>(), e.labels.view<std::int32_t>(), {0.02F});
  return Json::object();
}

}  // namespace resnet::device_check
