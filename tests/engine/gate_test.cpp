#include "engine/gate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "resnet/error.h"
#include "support/in_child.h"
#include "support/message_of.h"

namespace resnet::engine {
namespace {

using testing::HasSubstr;

TEST(Gate, LetsReadersWaitAndASecondChangeThrow) {
  Gate gate;
  int value = 0;
  std::thread reader;
  {
    const Gate::Pass pass = gate.change("one()");
    reader = std::thread([&] {
      const Gate::Pass waiting = gate.read();
      EXPECT_EQ(value, 1);
    });
    EXPECT_THAT(test::message_of<Error>([&] { const Gate::Pass second = gate.change("two()"); }),
                HasSubstr("two(): another"));
    value = 1;
  }
  reader.join();
  const Gate::Pass again = gate.change("two()");
}

TEST(Gate, OfAChildIsShutWhereACallWasUnderWay) {
  Gate gate;
  const auto shut = [&](auto call) {
    try {
      call();
    } catch (const Error& error) {
      return std::string(error.what()).find("when the process was forked") != std::string::npos;
    }
    return false;
  };
  const auto both_shut = [&] {
    return shut([&] { const Gate::Pass pass = gate.read(); }) &&
           shut([&] { const Gate::Pass pass = gate.change("step()"); });
  };
  {
    const Gate::Pass pass = gate.read();
    EXPECT_EQ(test::in_child(both_shut), test::Child::held);
  }
  {
    const Gate::Pass pass = gate.change("step()");
    EXPECT_EQ(test::in_child(both_shut), test::Child::held);
  }
  EXPECT_EQ(test::in_child([&] {
              const Gate::Pass pass = gate.change("step()");
              return true;
            }),
            test::Child::held);
}

}  // namespace
}  // namespace resnet::engine
