// Facts about this machine: processor, instruction sets, usable cores, memory in use.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace resnet {

/// Instruction set levels that the native engine is compiled for, weakest first.
enum class Isa : std::uint8_t { avx2, avx512, avx512_bf16 };

/// "avx2", "avx512" or "avx512_bf16".
std::string_view name_of(Isa isa);

/// The level called `name`, or nothing.
std::optional<Isa> isa_named(std::string_view name);

/// The strongest level that this processor and its operating system run.
/// Throws ConfigError on a processor without AVX2, FMA and BMI2.
Isa best_isa();

/// The processor's model as the operating system names it, or "unknown".
std::string cpu_model();

/// Cores that affinity and cgroup quota leave to this process, at least 1.
int usable_cores();

/// Threads to use unless told otherwise: OMP_NUM_THREADS if it is a number >= 1, else usable_cores().
int default_threads();

/// Bytes of memory that this process can still take without another's: what the system calls available, and
/// no more than its control groups leave. 0 where the system does not say.
std::int64_t available_memory();

/// Highest resident memory of this process so far, bytes.
std::int64_t peak_rss_bytes();

}  // namespace resnet
