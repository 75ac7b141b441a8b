// Replaces operator new and delete, malloc and its kin of the test program. By themselves in a file, so that
// no compiler sees both ends of a pair at once.
#include "fault/failing_memory.h"

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <new>

#include "resnet/error.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
[[maybe_unused]] constexpr bool kOwnMalloc = false;
#else
[[maybe_unused]] constexpr bool kOwnMalloc = true;
#endif

namespace {

std::atomic<std::int64_t> g_number{0}, g_count{0};  // the one that fails, 0: none; those so far
std::atomic<bool> g_for_good{false};

bool fails() noexcept {
  const std::int64_t number = g_number.load(std::memory_order_relaxed);
  if (number == 0) return false;
  const std::int64_t count = g_count.fetch_add(1) + 1;
  return count == number || (count > number && g_for_good.load(std::memory_order_relaxed));
}

}  // namespace

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)

// What the C library has below its own.
extern "C" {
void* __libc_malloc(std::size_t size);
void* __libc_calloc(std::size_t count, std::size_t size);
void* __libc_realloc(void* p, std::size_t size);
void* __libc_memalign(std::size_t alignment, std::size_t size);

void* malloc(std::size_t size) noexcept {
  if (!fails()) return __libc_malloc(size);
  errno = ENOMEM;
  return nullptr;
}
void* calloc(std::size_t count, std::size_t size) noexcept {
  if (!fails()) return __libc_calloc(count, size);
  errno = ENOMEM;
  return nullptr;
}
void* realloc(void* p, std::size_t size) noexcept {
  if (!fails()) return __libc_realloc(p, size);
  errno = ENOMEM;
  return nullptr;
}
void* memalign(std::size_t alignment, std::size_t size) noexcept {
  if (!fails()) return __libc_memalign(alignment, size);
  errno = ENOMEM;
  return nullptr;
}
void* aligned_alloc(std::size_t alignment, std::size_t size) noexcept {
  return memalign(alignment, size);
}
int posix_memalign(void** out, std::size_t alignment, std::size_t size) noexcept {
  void* p = memalign(alignment, size);
  if (p == nullptr) return ENOMEM;
  *out = p;
  return 0;
}
}  // extern "C"

#else

void* operator new(std::size_t size) {
  void* p = fails() ? nullptr : std::malloc(size == 0 ? 1 : size);
  if (p == nullptr) throw std::bad_alloc();
  return p;
}
void* operator new(std::size_t size, const std::nothrow_t&) noexcept {  // std::stable_sort's
  return fails() ? nullptr : std::malloc(size == 0 ? 1 : size);
}
void operator delete(void* p) noexcept {
  std::free(p);
}
void operator delete(void* p, std::size_t) noexcept {
  std::free(p);
}

#endif

namespace resnet::test {
namespace {

std::size_t open_descriptors() {
  const auto all = std::filesystem::directory_iterator("/proc/self/fd");
  return static_cast<std::size_t>(std::distance(begin(all), end(all)));
}

}  // namespace

MemoryEnds::MemoryEnds(std::int64_t number, bool for_good) {
  g_for_good = for_good;
  g_count = 0;
  g_number = number;
}

MemoryEnds::~MemoryEnds() {
  g_number = 0;
}

bool MemoryEnds::reached() const {
  return g_count.load() >= g_number.load();
}

std::int64_t for_each_allocation(const std::function<void()>& prepare, const std::function<void()>& body,
                                 const std::function<void(const TriedMemory&)>& check, std::int64_t stride) {
  std::int64_t failed = 0;
  prepare();
  body();  // what is made once, such as tables and the library's own buffers, is there
  const std::size_t before = open_descriptors();
  for (const bool for_good : {false, true}) {
    for (std::int64_t number = 1;; number += stride) {
      prepare();
      TriedMemory tried{number, for_good, true, ""};
      std::string hint = "none is needed";
      bool reached = false;
      {
        const MemoryEnds ends(number, for_good);
        try {
          body();
          reached = ends.reached();
          g_number = 0;
        } catch (const Error& error) {
          g_number = 0;
          tried.done = false;
          tried.what = error.what();
          hint = error.hint();
        } catch (const std::bad_alloc&) {
          g_number = 0;
          tried.done = false;
          tried.what = "bad_alloc";
        }
      }
      if (tried.done && !reached) break;
      ++failed;
      EXPECT_TRUE(!hint.empty() && tried.what.size() <= 300) << tried;
      EXPECT_EQ(open_descriptors(), before) << tried;
      check(tried);
      if (testing::Test::HasFailure()) return failed;  // the first says it all
    }
  }
  return failed;
}

}  // namespace resnet::test
