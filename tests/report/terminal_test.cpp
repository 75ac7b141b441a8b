#include "report/terminal.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <map>
#include <string>

namespace resnet::report {
namespace {

using Variables = std::map<std::string, std::string>;

Terminal with(const Variables& variables, bool is_terminal = true, int columns = 100, int rows = 30) {
  return describe(is_terminal, columns, rows, [&](const char* name) -> const char* {
    const auto found = variables.find(name);
    return found == variables.end() ? nullptr : found->second.c_str();
  });
}

TEST(TerminalOf, IsInteractiveOnlyWhereTheCursorMoves) {
  EXPECT_TRUE(with({{"TERM", "xterm"}}).interactive);
  EXPECT_FALSE(with({{"TERM", "xterm"}}, false).interactive);
  EXPECT_FALSE(with({{"TERM", "dumb"}}).interactive);
  EXPECT_FALSE(with({}).interactive);
}

TEST(TerminalOf, HonoursNoColor) {
  EXPECT_EQ(with({{"TERM", "xterm"}}).colors, 16);
  EXPECT_EQ(with({{"TERM", "tmux-256color"}}).colors, 256);
  EXPECT_EQ(with({{"TERM", "xterm"}, {"COLORTERM", "truecolor"}}).colors, 256);
  EXPECT_EQ(with({{"TERM", "xterm-256color"}, {"NO_COLOR", "1"}}).colors, 0);
  EXPECT_EQ(with({{"TERM", "xterm"}, {"NO_COLOR", ""}}).colors, 16) << "no-color.org: empty does not count";
  EXPECT_EQ(with({{"TERM", "xterm"}}, false).colors, 0);
  EXPECT_EQ(with({{"TERM", "dumb"}}).colors, 0);
}

TEST(TerminalOf, TakesTheSmallerOfColumnsAndTheRealWidth) {
  EXPECT_EQ(with({{"TERM", "xterm"}}).width, 100);
  EXPECT_EQ(with({{"TERM", "xterm"}, {"COLUMNS", "60"}, {"LINES", "20"}}).width, 60);
  EXPECT_EQ(with({{"TERM", "xterm"}, {"COLUMNS", "60"}, {"LINES", "20"}}).height, 20);
  EXPECT_EQ(with({{"TERM", "xterm"}, {"COLUMNS", "200"}}).width, 100) << "a wider line would wrap";
  EXPECT_EQ(with({{"TERM", "xterm"}, {"COLUMNS", "wide"}}).width, 100);
  EXPECT_EQ(with({{"TERM", "xterm"}, {"COLUMNS", "-5"}}).width, 100);
  EXPECT_EQ(with({{"TERM", "xterm"}, {"COLUMNS", "99999999999999"}}).width, 100);
  EXPECT_EQ(with({{"TERM", "xterm"}}, true, 0, 0).width, 80);
  EXPECT_EQ(with({{"TERM", "xterm"}}, true, 0, 0).height, 24);
  EXPECT_EQ(with({{"COLUMNS", "120"}}, false, 0, 0).width, 120);
  EXPECT_EQ(with({{"COLUMNS", "200000000"}}, false, 0, 0).width, 1000);
  EXPECT_EQ(with({{"LINES", "200000000"}}, false, 0, 0).height, 1000);
}

TEST(TerminalOf, ReadsUtf8FromTheFirstLocaleThatIsSet) {
  EXPECT_TRUE(with({{"LANG", "de_DE.UTF-8"}}).utf8);
  EXPECT_TRUE(with({{"LANG", "C.utf8"}}).utf8);
  EXPECT_FALSE(with({{"LANG", "C"}}).utf8);
  EXPECT_FALSE(with({}).utf8);
  EXPECT_FALSE(with({{"LC_ALL", "C"}, {"LANG", "C.UTF-8"}}).utf8);
  EXPECT_TRUE(with({{"LC_ALL", ""}, {"LC_CTYPE", "C.UTF-8"}, {"LANG", "C"}}).utf8);
}

TEST(TerminalOf, SeesThatAPipeIsNone) {
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  EXPECT_FALSE(terminal_of(ends[1]).interactive);
  close(ends[0]);
  close(ends[1]);
}

TEST(TerminalOf, FollowsTheSizeOfARealTerminal) {
  const int master = posix_openpt(O_RDWR | O_NOCTTY);
  if (master < 0 || grantpt(master) != 0 || unlockpt(master) != 0) GTEST_SKIP() << "no pseudo terminals here";
  const int terminal = open(ptsname(master), O_RDWR | O_NOCTTY);
  ASSERT_GE(terminal, 0);
  setenv("TERM", "xterm", 1);
  unsetenv("COLUMNS");
  unsetenv("LINES");
  for (const int width : {72, 41}) {
    winsize size{};
    size.ws_col = static_cast<unsigned short>(width);
    size.ws_row = 33;
    ASSERT_EQ(ioctl(terminal, TIOCSWINSZ, &size), 0);
    EXPECT_TRUE(terminal_of(terminal).interactive);
    EXPECT_EQ(terminal_of(terminal).width, width);
    EXPECT_EQ(terminal_of(terminal).height, 33);
  }
  close(terminal);
  close(master);
}

}  // namespace
}  // namespace resnet::report
