#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <string>

#include "report/simulated_run.h"

namespace resnet::report {
namespace {

constexpr const char* kLines =
    "epoch 1/3  loss 0.600  train acc 0.800  test acc 0.800  256.0 examples/sec  [00:10]\n"
    "epoch 2/3  loss 0.400  train acc 0.880  test acc 0.840  256.0 examples/sec  [00:20]\n"
    "epoch 3/3  loss 0.300  train acc 0.914  test acc 0.857  256.0 examples/sec  [00:30]\n";

Terminal terminal(int width, int height, int colors = 256, bool utf8 = true) {
  return {.interactive = true, .width = width, .height = height, .colors = colors, .utf8 = utf8};
}

std::string final_plot(const Stage& stage, int height) {
  Series series{.epochs = 3, .points = learning(3)};
  return curves_text(std::span(&series, 1), {.width = std::min(stage.terminal.width, 100),
                                             .height = height,
                                             .colors = 0,
                                             .utf8 = stage.terminal.utf8});
}

TEST(Progress, IsALineAnEpochWhereThereIsNoTerminalAndALineAfterTenSeconds) {
  Stage stage({});
  simulate(stage, {progress({.screen = stage.screen}), curves({.screen = stage.screen})}, small_run());
  std::string lines = kLines;
  lines.insert(lines.find('\n') + 1,
               "epoch 2/3 (1/10)  loss 0.545  train acc 0.824  256.0 examples/sec  [00:11, 00:19 left]\n");
  EXPECT_EQ(stage.raw, lines);
}

TEST(Progress, SaysEveryMinuteThatItTestsWhereThereIsNoTerminal) {
  Stage stage({});
  const auto lines = progress({.screen = stage.screen});
  lines->on_start(small_run());
  const Progress done{0, 10, 2560, 0.6, 0.8, 256, 256};
  for (const std::int64_t tested : {0, 25, 50, 75, 100}) {
    lines->on_evaluation(done, tested, 100);
    stage.now += 30;
  }
  EXPECT_EQ(stage.raw,
            "epoch 1/3 testing 25/100  [00:30]\n"
            "epoch 1/3 testing 75/100  [01:30]\n");
}

TEST(Progress, ShowsTheTestInTheBarAndWhatIsLeftOfTheRun) {
  Stage stage(terminal(100, 24));
  const auto bar = progress({.screen = stage.screen});
  bar->on_start(small_run());
  const Progress done{0, 10, 2560, 0.6, 0.8, 256, 256};
  stage.now = 10;
  bar->on_step(done);
  bar->on_evaluation(done, 0, 100);
  stage.now = 12;
  bar->on_evaluation(done, 50, 100);
  EXPECT_EQ(stage.display.text(),
            "Epoch 1/3 testing:  50%|█████▌     | 50/100 [00:02<00:02, loss=0.600, acc=0.800, 03:30 left, "
            "25.0/s]\n")
      << "20 batches of ten seconds, 2.5 tests of four";
}

TEST(Progress, KnowsThatARunEndsAfterSoManySteps) {
  Stage stage(terminal(100, 24));
  const auto bar = progress({.screen = stage.screen});
  RunInfo run = small_run();
  run.steps = 12;  // of 30
  bar->on_start(run);
  stage.now = 5;
  bar->on_step({.epoch = 0, .batch = 1, .examples = 256, .loss = 0.5, .train_acc = 0.8});
  EXPECT_NE(stage.display.text().find(" 00:55 left"), std::string::npos) << stage.display.text();
}

TEST(Progress, OfARunThatATimeBoundsCountsDownToItsEnd) {
  Stage stage(terminal(100, 24));
  const auto bar = progress({.screen = stage.screen});
  RunInfo run = small_run();
  run.bounded = true;
  run.seconds = 200;
  bar->on_start(run);
  stage.now = 5;
  bar->on_step({.epoch = 0, .batch = 1, .examples = 256, .loss = 0.5, .train_acc = 0.8});
  EXPECT_NE(stage.display.text().find(" 03:15 left"), std::string::npos) << stage.display.text();
  run.epochs = 7;
  run.steps = 64;
  run.seconds = 195;
  bar->on_replan(run);
  stage.now = 10;
  bar->on_step({.epoch = 0, .batch = 2, .examples = 512, .loss = 0.5, .train_acc = 0.8});
  EXPECT_NE(stage.display.text().find("Epoch 1/7"), std::string::npos) << stage.display.text();
  EXPECT_NE(stage.display.text().find(" 03:10 left"), std::string::npos) << stage.display.text();
}

TEST(Screen, LeavesNothingOfAnOldFrameBesideALineOfTwoRows) {
  Stage stage(terminal(20, 6));
  const auto show = [&](Screen::Slot slot, const std::string& line) {
    stage.screen->show(slot, [line](const Terminal&) { return std::vector<std::string>{line}; });
  };
  show(Screen::Slot::plot, "a plot of 20 cells..");
  show(Screen::Slot::bar, "the bar of the run");
  stage.screen->print_above("warning: this line is longer");
  EXPECT_EQ(stage.display.text(),
            "warning: this line i\ns longer\na plot of 20 cells..\nthe bar of the run\n");
}

TEST(Progress, ShowsATestByItself) {
  Stage stage(terminal(80, 24));
  {
    const auto tested = test_progress(100, stage.screen);
    stage.now = 2;
    tested(50);
    EXPECT_EQ(stage.display.text(),
              "Testing:  50%|█████████████▌             | 50/100 [00:02<00:02, 25.0 examples/s]\n");
  }
  EXPECT_EQ(stage.display.text(), "") << "it goes";
  Stage plain({});
  const auto tested = test_progress(100, plain.screen);
  for (const std::int64_t count : {20, 40, 60, 80}) {
    plain.now += 6;
    tested(count);
  }
  EXPECT_EQ(plain.raw, "testing 40/100  [00:12]\n");
}

TEST(Progress, CallsTheLabellingOfPicturesWhatItIs) {
  Stage stage(terminal(80, 24));
  const auto answered = predict_progress(40, stage.screen);
  stage.now = 2;
  answered(10);
  EXPECT_EQ(stage.display.text(),
            "Predicting:  25%|██████▌                   | 10/40 [00:02<00:06, 5.0 pictures/s]\n");
  Stage plain({});
  const auto lines = predict_progress(40, plain.screen);
  plain.now += 11;
  lines(10);
  EXPECT_EQ(plain.raw, "predicting 10/40  [00:11]\n");
}

TEST(Progress, ShowsHowManyPicturesOfAFolderWereLookedAt) {
  Stage stage(terminal(80, 24));
  const auto looked = scan_progress(stage.screen);
  looked(0, 40);
  stage.now = 2;
  looked(10, 40);
  EXPECT_THAT(stage.display.text(),
              testing::AllOf(testing::StartsWith("Looking:  25%|"),
                             testing::EndsWith("10/40 [00:02<00:06, 5.0 pictures/s]\n")));
  looked(40, 40);
  EXPECT_EQ(stage.display.text(), "") << "it goes";
  Stage plain({});
  const auto lines = scan_progress(plain.screen);
  lines(0, 40);
  plain.now += 11;
  lines(10, 40);
  EXPECT_EQ(plain.raw, "looking at pictures 10/40  [00:11]\n");
}

TEST(Progress, ShowsTheBarOfTheEpochBelowTheLinesOfThoseBefore) {
  Stage stage(terminal(100, 24));
  const auto bar = progress({.screen = stage.screen});
  std::string seen;
  simulate(stage, {bar}, small_run(), learning(3), [&](std::int64_t epoch, std::int64_t batch) {
    if (epoch == 1 && batch == 5) seen = stage.display.text();
  });
  EXPECT_EQ(seen,
            "epoch 1/3  loss 0.600  train acc 0.800  test acc 0.800  256.0 examples/sec  [00:10]\n"
            "Epoch 2/3:  40%|████████            | 4/10 [00:04<00:06, loss=0.500, acc=0.842, 00:16 left, "
            "256.0/s]\n");
  EXPECT_EQ(stage.display.text(), kLines) << "the bar goes when all is done";
}

TEST(Progress, BeginsAResumedRunWhereItStopped) {
  Stage stage(terminal(120, 24));
  const auto bar = progress({.screen = stage.screen});
  RunInfo run = small_run();
  run.done = {.epoch = 1, .batch = 4};
  bar->on_start(run);
  EXPECT_EQ(stage.display.text().substr(0, 16), "Epoch 2/3:  40%|");
  stage.now += 2;
  bar->on_step({1, 5, 1280, 0.5, 0.8, 256, 256});
  EXPECT_NE(stage.display.text().find("5/10 [00:02<00:10,  2.00s/it"), std::string::npos)
      << stage.display.text();
}

TEST(Progress, SaysHowFarAnInterruptedRunCame) {
  Stage stage({});
  const auto bar = progress({.screen = stage.screen});
  bar->on_start(small_run());
  stage.now = 4;
  bar->on_step({0, 4, 1024, 0.5, 0.8, 256, 256});
  bar->on_finish({});
  EXPECT_EQ(stage.raw, "epoch 1/3 (4/10)  loss 0.500  train acc 0.800  256.0 examples/sec  [00:04]\n");
}

TEST(Progress, LeavesTheBarWhereAnErrorEndsTheRun) {
  Stage stage(terminal(100, 24));
  {
    const auto bar = progress({.screen = stage.screen});
    bar->on_start(small_run());
    stage.now = 4;
    bar->on_step({0, 1, 256, 0.5, 0.8, 256, 256});
  }
  EXPECT_EQ(stage.display.text(),
            "Epoch 1/3:  10%|██                  | 1/10 [00:04<00:36, loss=0.500, acc=0.800, 01:56 left, "
            "256.0/s]\n");
  stage.display.feed("error");
  EXPECT_NE(stage.display.text().find("]\nerror\n"), std::string::npos) << "the next line begins below";
}

TEST(Screen, LeavesTheFinalPlotBelowTheLinesInBothOrdersOfObservers) {
  for (const bool bar_first : {false, true}) {
    Stage stage(terminal(90, 30));
    auto bar = progress({.screen = stage.screen});
    auto plot = curves({.screen = stage.screen});
    if (!bar_first) std::swap(bar, plot);
    simulate(stage, {bar, plot}, small_run());
    EXPECT_EQ(stage.display.text(), kLines + final_plot(stage, 18));
  }
}

TEST(Screen, PaintsCleanFramesAtEveryWidth) {
  for (int width = 1; width <= 200; ++width) {
    for (const int height : {1, 2, 5, 12, 24, 60}) {
      for (const bool utf8 : {false, true}) {
        Stage stage(terminal(width, height, 256, utf8));
        simulate(stage, {progress({.screen = stage.screen}), curves({.screen = stage.screen})}, small_run());
        SCOPED_TRACE(::testing::Message() << width << " x " << height << (utf8 ? " utf8" : " ascii"));
        ASSERT_EQ(stage.display.wraps, 0);
        ASSERT_EQ(stage.display.clamped, 0) << "the cursor goes up as many lines as were painted";
        ASSERT_EQ(stage.display.unknown, 0);
        ASSERT_TRUE(stage.display.synchronised());
        ASSERT_EQ(stage.display.cursor_x(), 0);
        if (width < 84) continue;  // the lines are shortened there
        const bool plot = height >= 12;
        ASSERT_EQ(stage.display.text(), kLines + (plot ? final_plot(stage, std::min(height - 4, 18)) : ""));
      }
    }
  }
}

TEST(Screen, HonoursNoColor) {
  Stage plain(terminal(90, 30, 0));
  simulate(plain, {progress({.screen = plain.screen}), curves({.screen = plain.screen})}, small_run());
  EXPECT_EQ(plain.display.colors, 0);
  EXPECT_NE(plain.raw.find("⡀"), std::string::npos);

  Stage colored(terminal(90, 30, 16));
  simulate(colored, {progress({.screen = colored.screen}), curves({.screen = colored.screen})}, small_run());
  EXPECT_GT(colored.display.colors, 0);
  EXPECT_EQ(colored.display.text(), plain.display.text());
}

TEST(Screen, FollowsAChangeOfSizeAndLeavesNoOldFrame) {
  for (const int width : {84, 99, 120, 200}) {
    Stage stage(terminal(110, 40));
    simulate(stage, {progress({.screen = stage.screen}), curves({.screen = stage.screen})}, small_run(),
             learning(3), [&](std::int64_t epoch, std::int64_t batch) {
               if (epoch == 0 && batch == 8) {
                 const std::string seen = stage.display.text();
                 EXPECT_EQ(std::count(seen.begin(), seen.end(), '\n'), 18 + 1) << seen;
               }
               if (epoch != 0 || batch != 6) return;
               stage.terminal.width = width;
               stage.display.resize(width);
             });
    EXPECT_EQ(stage.display.text(), kLines + final_plot(stage, 18)) << width;
    EXPECT_EQ(stage.display.wraps + stage.display.clamped, 0) << width;
  }
}

TEST(Screen, LeavesNoOldFrameOnATerminalThatHasBecomeMuchNarrower) {
  for (const int width : {41, 55, 60, 80, 99}) {
    Stage stage(terminal(100, 60));
    simulate(stage, {progress({.screen = stage.screen}), curves({.screen = stage.screen})}, small_run(),
             learning(3), [&](std::int64_t epoch, std::int64_t batch) {
               if (epoch != 1 || batch != 6) return;
               stage.terminal.width = width;
               stage.display.resize(width);
             });
    const std::string seen = stage.display.text();
    EXPECT_EQ(seen.find("train loss"), seen.rfind("train loss")) << seen;
    EXPECT_EQ(stage.display.wraps + stage.display.clamped, 0) << width;
  }
}

TEST(Screen, CountsTheRowsThatOldLinesTakeOnANarrowerTerminal) {
  Stage stage(terminal(40, 10));
  stage.screen->show(Screen::Slot::plot, [](const Terminal& t) {
    return std::vector<std::string>{std::string(static_cast<std::size_t>(t.width), 'x'), "y"};
  });
  stage.screen->show(Screen::Slot::bar, [](const Terminal&) { return std::vector<std::string>{"bar"}; });
  stage.raw.clear();
  stage.terminal.width = 15;  // 40 cells now take three rows
  stage.screen->refresh(true);
  EXPECT_EQ(stage.raw.substr(0, std::string("\x1b[?2026h\r\x1b[4A").size()), "\x1b[?2026h\r\x1b[4A");
}

TEST(Screen, PaintsTenTimesASecondAtMost) {
  Stage stage(terminal(100, 24));
  const auto bar = progress({.screen = stage.screen});
  bar->on_start(small_run(3, 10000));
  const int before = stage.frames;
  for (std::int64_t batch = 1; batch <= 1000; ++batch) {
    stage.now += 0.001;
    bar->on_step({0, batch, batch, 0.5, 0.8, 256, 256});
  }
  EXPECT_GE(stage.frames - before, 9);
  EXPECT_LE(stage.frames - before, 10);
}

TEST(Screen, WritesOnlyTheLinesThatChanged) {
  Stage stage(terminal(100, 24));
  std::string last = "one";
  stage.screen->show(Screen::Slot::plot, [](const Terminal&) {
    return std::vector<std::string>{"plot", "axis"};
  });
  stage.screen->show(Screen::Slot::bar, [&](const Terminal&) { return std::vector<std::string>{last}; });
  stage.raw.clear();
  stage.screen->refresh(true);
  EXPECT_EQ(stage.raw, "");
  last = "two";
  stage.screen->refresh(true);
  EXPECT_EQ(stage.raw, "\x1b[?2026h\rtwo\r\x1b[?2026l");
  EXPECT_EQ(stage.display.text(), "plot\naxis\ntwo\n");

  std::string first = "new";
  stage.screen->show(Screen::Slot::plot, [&](const Terminal&) {
    return std::vector<std::string>{first, "axis"};
  });
  EXPECT_EQ(stage.raw.find("axis"), std::string::npos);
  EXPECT_EQ(stage.display.text(), "new\naxis\ntwo\n");
}

TEST(Screen, ShowsTheLowestLinesWhereThereIsNoRoomForAll) {
  Stage stage(terminal(20, 4));
  int frame = 0;
  stage.screen->show(Screen::Slot::plot, [&](const Terminal&) {
    return std::vector<std::string>{"1", "2", "3", "frame " + std::to_string(frame)};
  });
  for (frame = 1; frame < 4; ++frame) stage.screen->refresh(true);
  EXPECT_EQ(stage.display.text(), "2\n3\nframe 3\n");
  EXPECT_EQ(stage.display.clamped, 0);
}

TEST(Screen, PrintsLinesAboveThatMayBeLongerThanARow) {
  Stage stage(terminal(20, 6));
  stage.screen->show(Screen::Slot::bar,
                     [](const Terminal&) { return std::vector<std::string>{"the bar of the run"}; });
  stage.screen->print_above("warning: this line is longer");
  stage.screen->print_above("");
  stage.screen->print_above("exactly twenty cells");
  EXPECT_EQ(stage.display.text(),
            "warning: this line i\ns longer\n\nexactly twenty cells\nthe bar of the run\n");
}

TEST(Screen, StaysSilentAfterTheStreamFailed) {
  Stage stage(terminal(90, 30));
  stage.broken = true;
  simulate(stage, {progress({.screen = stage.screen}), curves({.screen = stage.screen})}, small_run());
  EXPECT_EQ(stage.frames, 1);
}

TEST(Screen, IsOneForAFileDescriptor) {
  const auto screen = Screen::of(2);
  EXPECT_EQ(screen, Screen::of(2));
  EXPECT_NE(screen, Screen::of(1));
}

TEST(Screen, SurvivesARunThatDiverges) {
  auto points = learning(3);
  for (std::size_t i = 5; i < points.size(); ++i) {
    points[i].loss =
        i % 2 == 0 ? std::numeric_limits<double>::infinity() : -std::numeric_limits<double>::quiet_NaN();
  }
  Stage stage(terminal(90, 30));
  simulate(stage, {progress({.screen = stage.screen}), curves({.screen = stage.screen})}, small_run(), points,
           [](std::int64_t, std::int64_t) {});
  EXPECT_NE(stage.display.text().find("epoch 3/3  loss inf  train acc 0.914"), std::string::npos)
      << stage.display.text();
  EXPECT_EQ(stage.display.wraps + stage.display.clamped + stage.display.unknown, 0);
}

}  // namespace
}  // namespace resnet::report
