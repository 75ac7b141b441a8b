// How much memory this process has, may have, and asks for.
#pragma once

#include <cstdint>
#include <exception>
#include <string>

namespace resnet {

/// Bytes of this process that are resident now; 0 where the system does not say.
std::int64_t resident_bytes();

/// Bytes that this process can still take: what the system can give, swap included, within the limits of its
/// control groups; where `most` is not 0, no more than until `most` are resident.
std::int64_t memory_left(std::int64_t most = 0);

/// What is smaller is taken without asking whether it is left.
inline constexpr std::int64_t kSmallMemory = 16 << 20;

/// Throws MemoryError where `what` needs `bytes` more and they are not left: "a step of [256,3,224,224]
/// needs 40.1 GiB more, of which 7.8 GiB are left".
void require_memory(std::int64_t bytes, std::int64_t most, const std::string& what,
                    const std::string& hint = {});

/// What an error says, in words where it is std::bad_alloc.
const char* reason(const std::exception& error) noexcept;

/// "3.21 GiB", "812 MiB".
std::string bytes_text(std::int64_t bytes);

}  // namespace resnet
