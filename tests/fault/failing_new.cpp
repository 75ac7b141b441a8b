// Replaces operator new and delete of the test program. By themselves in a file, so that no compiler sees
// both ends of a pair at once.
#include "fault/failing_new.h"

#include <cstdlib>
#include <new>
#include <utility>

namespace {
thread_local std::int64_t t_left = 0;
}  // namespace

void* operator new(std::size_t size) {
  if (t_left > 0 && --t_left == 0) throw std::bad_alloc();
  void* p = std::malloc(size == 0 ? 1 : size);
  if (p == nullptr) throw std::bad_alloc();
  return p;
}
void operator delete(void* p) noexcept {
  std::free(p);
}
void operator delete(void* p, std::size_t) noexcept {
  std::free(p);
}

namespace resnet::test {

bool fail_allocation(std::int64_t number) {
  return std::exchange(t_left, number) > 0;
}

}  // namespace resnet::test
