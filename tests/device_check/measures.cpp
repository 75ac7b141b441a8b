#include <algorithm>
#include <future>
#include <memory>
#include <utility>

#include "bench/check.h"
#include "cuda/cudnn.h"
#include "device_check/asked.h"
#include "gpu/peak.h"
#include "io/model_hash.h"
#include "resnet/error.h"

namespace resnet::device_check {
namespace {

constexpr double kGiB = 1024.0 * 1024.0 * 1024.0;

// cuDNN's version, or why there is none.
std::string library_of(const resnet_device_api& api) {
  std::int32_t version = 0;
  if (api.library(&version) != 0) return std::string("none: ") + api.error();
  return fmt::format("cuDNN {}.{}.{}", version / 10000, version / 100 % 100, version % 100);
}

// The card as cuDNN describes it, of which the table of its engines is made (tools/cudnn_table.cpp).
void print_card() {
  try {
    const cuda::Cudnn cudnn;
    void* const handle = cudnn.make_handle(nullptr);
    std::string json = cudnn.description(handle);
    cudnn.end_handle(handle);
    std::ranges::replace(json, '\n', ' ');
    fmt::print("    card: {}\n", json);
  } catch (const cuda::CudnnError& error) {
    fmt::print("    no description of the card: {}\n", error.what());
  }
}

}  // namespace

Json machine(const Asked& asked) {
  const gpu::Device device(*asked.api);
  const resnet_device_facts& facts = device.facts();
  const auto gib = [](std::int64_t bytes) { return static_cast<double>(bytes) / kGiB; };
  row("device",
      fmt::format("{}, sm_{}, {} multiprocessors", facts.name, facts.architecture, facts.multiprocessors));
  row("memory", fmt::format("{:.1f} GiB, {:.1f} free", gib(facts.memory_bytes), gib(facts.free_bytes)));
  row("CUDA",
      fmt::format("driver {}, plugin {}", gpu::cuda_version(facts.driver), gpu::cuda_version(facts.runtime)));
  const std::string library = library_of(*asked.api);
  row("cuDNN", library);
  print_card();
  return Json::object({{"device", facts.name},
                       {"library", library},
                       {"architecture", facts.architecture},
                       {"multiprocessors", facts.multiprocessors},
                       {"memory_bytes", facts.memory_bytes},
                       {"free_bytes", facts.free_bytes},
                       {"shared_bytes", facts.shared_bytes},
                       {"driver", facts.driver},
                       {"runtime", facts.runtime}});
}

Json peaks(const Asked& asked) {
  gpu::Device device(*asked.api);
  Json figures = Json::object();
  const auto tell = [&](const char* key, const std::string& what, double value, const char* unit) {
    row(what, fmt::format("{:.4g} {}", value, unit));
    figures.add(key, value);
  };
  tell("copy_gbytes_per_second", "memory, one array copied", gpu::copy_gbytes(device), "GB/s");
  tell("add_gbytes_per_second", "memory, two arrays added into a third", gpu::memory_gbytes(device), "GB/s");
  const auto teraflops = [&](gpu::Units units) { return gpu::peak_gflops(device, units) / 1e3; };
  tell("f32_tflops", "f32, FFMA", teraflops(gpu::Units::ffma), "TFLOP/s");
  tell("tf32_tflops", "tf32, tensor cores by mma.sync", teraflops(gpu::Units::tf32), "TFLOP/s");
  tell("bf16_tflops", "bf16, tensor cores by mma.sync", teraflops(gpu::Units::bf16), "TFLOP/s");
  return figures;
}

Json parity(const Asked& asked) {
  std::vector<Json> networks(asked.forms.size(), Json::list());  // of each form
  std::string failed;
  struct Tested {
    Asked asked;
    Network network;
    std::future<bench::Oracle> oracle;
  };
  std::vector<std::unique_ptr<Tested>> all;
  for (const std::string model : {"d2l_resnet18", "resnet50", "seresnet18", "resnetv2_18"}) {
    Asked of = asked;
    of.model = model;
    all.push_back(std::make_unique<Tested>(of, network_for(of, true)));
  }
  // The oracles are slow, and have the processor for themselves; the engines take turns.
  for (const auto& tested : all) {
    tested->oracle = std::async(std::launch::async, [&of = *tested] {
      return bench::Oracle(of.network, of.asked.images, of.asked.classes, bench::Work::train, of.asked.forms,
                           true);
    });
  }
  for (const auto& tested : all) {
    const Asked& of = tested->asked;
    const bench::Oracle oracle = tested->oracle.get();
    for (std::size_t i = 0; i < of.forms.size(); ++i) {
      const Precision form = of.forms[i];
      const auto engine = engine_for(of, tested->network, form);
      const bench::Check check = oracle.check(*engine, form);
      const std::string what = fmt::format("{} {}", title(of), name_of(form));
      row(what, fmt::format("{:.1e} ({})", check.difference, check.tensor),
          fmt::format("{:.1e} allowed", check.tolerance));
      networks[i].push_back(Json::object({{"model", of.model},
                                          {"tensor", check.tensor},
                                          {"l2_difference", check.difference},
                                          {"tolerance", check.tolerance}}));
      if (!check.passed() && failed.empty()) failed = what;
    }
  }
  if (!failed.empty())
    throw Error("the gradients of " + failed + " differ from the reference's",
                "the rows above say in which tensor, and by how much");
  Json figures = Json::object();
  for (std::size_t i = 0; i < networks.size(); ++i)
    figures.add(std::string(name_of(asked.forms[i])), networks[i]);
  return figures;
}

Json hashes(const Asked& asked) {
  const Network network = network_for(asked);
  std::vector<test::Examples> batches;
  for (std::uint64_t i = 0; i < 4; ++i) batches.push_back(test::examples(asked.images, asked.classes, i));
  const auto run = [&](Engine& engine, std::int64_t first, std::int64_t end) {
    for (std::int64_t i = first; i < end; ++i) step(engine, batches[static_cast<std::size_t>(i) % 4]);
    return io::weights_sha256(engine.state(StateScope::all));
  };
  Json figures = Json::object();
  std::string failed;
  for (const Precision form : asked.forms) {
    const std::string name(name_of(form));
    std::string hash;
    {
      const auto whole = engine_for(asked, network, form);
      hash = run(*whole, 0, asked.steps);
      if (!whole->finite()) throw Error("the steps in " + name + " end in NaN or infinities", "");
    }
    const auto first = engine_for(asked, network, form);
    run(*first, 0, asked.steps / 2);
    const auto second = engine_for(asked, network, form);
    second->set_state(first->state(StateScope::all));
    const bool equal = run(*first, asked.steps / 2, asked.steps) == hash;
    const bool resumed = run(*second, asked.steps / 2, asked.steps) == hash;
    row(fmt::format("{} steps of {} in {}, twice, and resumed in the middle", asked.steps, title(asked),
                    name),
        hash.substr(0, 16),
        equal && resumed ? "equal bits"
        : !equal         ? "OTHER BITS"
                         : "OTHER BITS where resumed");
    figures.add(name, Json::object({{"sha256", hash}, {"equal", equal}, {"resumed", resumed}}));
    if (!equal || !resumed) failed = name;
  }
  if (!failed.empty()) throw Error("two runs in " + failed + " gave other bits", "");
  return figures;
}

}  // namespace resnet::device_check
