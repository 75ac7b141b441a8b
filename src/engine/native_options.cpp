#include "engine/native_options.h"

#include <optional>

#include "engine/choice.h"

namespace resnet::engine {

Isa isa_of(const EngineOptions& options) {
  const Isa best = best_isa();
  if (options.isa.empty()) return best;
  const std::optional<Isa> wanted = isa_named(options.isa);
  if (!wanted)
    throw ConfigError("EngineOptions::isa cannot be '" + options.isa + "'",
                      "use avx2, avx512 or avx512_bf16");
  if (*wanted > best) {
    throw ConfigError("this processor has no " + options.isa + " (" + cpu_model() + ")",
                      "its strongest level is " + std::string(name_of(best)));
  }
  return *wanted;
}

ThreadCount threads_of(const EngineOptions& options) {
  if (options.threads < 0) throw ConfigError("EngineOptions::threads cannot be negative", "use 1 or more");
  return options.threads == 0 ? threads_wanted() : ThreadCount{options.threads, "given"};
}

DeviceInfo cpu_device(Isa isa, const ThreadCount& threads, const std::string& reason) {
  return {.kind = "cpu",
          .name = cpu_model(),
          .target = std::string(name_of(isa)),
          .threads = threads.count,
          .threads_from = threads.from,
          .reason = reason};
}

void check_cpu(const EngineOptions& options, const std::string& reason) {
  check(options.loss);
  const Isa isa = isa_of(options);
  if (options.precision == Precision::tf32) {
    throw ConfigError("EngineOptions::precision tf32 is of GPUs alone" +
                          (reason.empty() ? ", and this is the processor" : ": " + reason),
                      "use EngineOptions::precision f32, which is exact everywhere");
  }
  if (options.precision == Precision::bf16 && isa != Isa::avx512_bf16) {
    const std::string which =
        isa == best_isa() ? "this processor (" + cpu_model() + ")" : "EngineOptions::isa";
    throw ConfigError("EngineOptions::precision bf16 needs avx512_bf16, and " + which + " gives " +
                          std::string(name_of(isa)),
                      "use EngineOptions::precision f32");
  }
  static_cast<void>(threads_of(options));
}

}  // namespace resnet::engine
