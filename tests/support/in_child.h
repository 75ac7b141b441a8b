// What holds in a child of fork().
#pragma once

#include <sys/wait.h>
#include <unistd.h>

#include <ostream>

/// There in a program whose lines are counted (tools/coverage.sh).
extern "C" [[gnu::weak]] int __llvm_profile_write_file();

namespace resnet::test {

/// Ends a child of fork(); the lines that it reached are counted as well.
[[noreturn]] inline void leave_child(int code) {
  if (__llvm_profile_write_file != nullptr) static_cast<void>(__llvm_profile_write_file());
  ::_exit(code);
}

/// How a child ended.
enum class Child { held, did_not_hold, threw, hung, crashed };

inline std::ostream& operator<<(std::ostream& out, Child child) {
  constexpr const char* kNames[] = {"held", "did not hold", "threw", "hung", "crashed"};
  return out << kNames[static_cast<int>(child)];
}

/// Whether `fact()` is true in a child of fork(). It has ten seconds.
template <class Fact>
Child in_child(const Fact& fact) {
  constexpr unsigned kSeconds = 10;
  const pid_t child = ::fork();
  if (child == 0) {
    ::alarm(kSeconds);
    Child end = Child::threw;
    try {
      end = fact() ? Child::held : Child::did_not_hold;
    } catch (...) {
    }
    leave_child(static_cast<int>(end));
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  if (WIFEXITED(status)) return static_cast<Child>(WEXITSTATUS(status));
  return WTERMSIG(status) == SIGALRM ? Child::hung : Child::crashed;
}

}  // namespace resnet::test

/// ThreadSanitizer ends a child that starts threads.
#if defined(__SANITIZE_THREAD__)
#define RESNET_SKIP_WHERE_A_CHILD_HAS_NO_THREADS() \
  GTEST_SKIP() << "ThreadSanitizer ends a child that starts threads"
#else
#define RESNET_SKIP_WHERE_A_CHILD_HAS_NO_THREADS() static_cast<void>(0)
#endif
