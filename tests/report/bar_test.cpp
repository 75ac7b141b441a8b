#include "report/bar.h"

#include <gtest/gtest.h>

#include <limits>
#include <string>

#include "report/text.h"

namespace resnet::report {
namespace {

BarState state_at(std::int64_t epoch, std::int64_t batch, double seconds, double loss, double acc,
                  double rate) {
  BarState state;
  state.epochs = 10;
  state.batches = 235;
  state.progress.epoch = epoch;
  state.progress.batch = batch;
  state.progress.loss = loss;
  state.progress.train_acc = acc;
  state.progress.examples_per_second = state.progress.recent_examples_per_second = rate;
  state.seconds = seconds;
  return state;
}

// The expected bars are what tqdm 4.70's format_meter() gives for the same numbers.
TEST(Bar, IsTqdmsAtUsualWidths) {
  const BarState state = state_at(0, 101, 41.2, 0.512, 0.811, 127.3);
  EXPECT_EQ(bar_text(state, 103, true),
            "Epoch 1/10:  43%|████▋      | 101/235 [00:41<00:54,  2.45it/s, loss=0.512, acc=0.811, 127.3 "
            "examples/s]");
  EXPECT_EQ(bar_text(state, 120, true),
            "Epoch 1/10:  43%|████████████                | 101/235 [00:41<00:54,  2.45it/s, loss=0.512, "
            "acc=0.811, "
            "127.3 examples/s]");
}

TEST(Bar, IsTqdmsBeforeTheFirstStep) {
  EXPECT_EQ(bar_text(state_at(0, 0, 0, 0, 0, 0), 80, true),
            "Epoch 1/10:   0%|                                       | 0/235 [00:00<?, ?it/s]");
}

TEST(Bar, IsTqdmsWhereAStepTakesSeconds) {
  EXPECT_EQ(bar_text(state_at(0, 101, 121.2, 0.512, 0.811, 212), 120, true),
            "Epoch 1/10:  43%|████████████                | 101/235 [02:01<02:40,  1.20s/it, loss=0.512, "
            "acc=0.811, "
            "212.0 examples/s]");
}

TEST(Bar, IsTqdmsAfterAnHour) {
  EXPECT_EQ(
      bar_text(state_at(9, 235, 3700.5, 0.014, 0.996, 4680.2), 120, true),
      "Epoch 10/10: 100%|████████████████████████| 235/235 [1:01:40<00:00, 15.75s/it, loss=0.014, acc=0.996, "
      "4680.2 examples/s]");
}

TEST(Bar, SaysHowFarATestHasCome) {
  BarState state = state_at(2, 235, 5, 0.3, 0.9, 512);
  state.examples = 10000;
  state.tested = 4608;
  state.run_left = 3700;
  EXPECT_EQ(
      bar_text(state, 120, true),
      "Epoch 3/10 testing:  46%|██████▍       | 4608/10000 [00:05<00:05, loss=0.300, acc=0.900, 1:01:40 "
      "left, 921.6 examples/s]");
  EXPECT_EQ(test_text(4608, 10000, 5, 80, true),
            "Testing:  46%|██████████▏           | 4608/10000 [00:05<00:05, 921.6 examples/s]");
}

TEST(Bar, SaysWhatIsLeftOfTheRun) {
  BarState state = state_at(9, 117, 60, 0.512, 0.811, 499.2);
  state.run_left = 3700;
  EXPECT_EQ(
      bar_text(state, 120, true),
      "Epoch 10/10:  50%|██████▍      | 117/235 [01:00<01:00,  1.95it/s, loss=0.512, acc=0.811, 1:01:40 "
      "left, 499.2 examples/s]");
  EXPECT_EQ(bar_text(state, 80, true),
            "10/10:  50%|███▉    | 117/235 [01:00<01:00, loss=0.512, acc=0.811, 1:01:40 left]")
      << "and so it does in the usual terminal";
}

TEST(Bar, IsTqdmsInAResumedEpoch) {
  BarState state = state_at(2, 120, 10, 0.3, 0.9, 512);
  state.initial = 100;
  EXPECT_EQ(
      bar_text(state, 110, true),
      "Epoch 3/10:  51%|█████████▏        | 120/235 [00:10<00:57,  2.00it/s, loss=0.300, acc=0.900, 512.0 "
      "examples/s]");
}

TEST(Bar, ShowsALossThatIsNoNumber) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  EXPECT_EQ(
      bar_text(state_at(1, 3, 7300, -nan, 0.1, 0.1), 110, true),
      "Epoch 2/10:   1%|▏               | 3/235 [2:01:40<156:48:53, 2433.33s/it, loss=nan, acc=0.100, 0.1 "
      "examples/s]");
}

TEST(Bar, IsAsciiWithoutUtf8) {
  EXPECT_EQ(bar_text(state_at(0, 101, 41.2, 0.512, 0.811, 127.3), 103, false),
            "Epoch 1/10:  43%|####7      | 101/235 [00:41<00:54,  2.45it/s, loss=0.512, acc=0.811, 127.3 "
            "examples/s]");
}

TEST(Bar, ShortensWordsThenLeavesFiguresOutFromTheRight) {
  const BarState state = state_at(9, 117, 60, 0.512, 0.811, 499.2);
  EXPECT_EQ(bar_text(state, 90, true),
            "Epoch 10/10:  50%|████████▍        | 117/235 [01:00<01:00, loss=0.512, acc=0.811, 499.2/s]");
  EXPECT_EQ(bar_text(state, 80, true),
            "Epoch 10/10:  50%|███▍   | 117/235 [01:00<01:00, loss=0.512, acc=0.811, 499.2/s]");
  EXPECT_EQ(bar_text(state, 70, true),
            "10/10:  50%|█████▉      | 117/235 [01:00<01:00, loss=0.512, acc=0.811]");
  EXPECT_EQ(bar_text(state, 60, true), "10/10:  50%|██████▍      | 117/235 [01:00<01:00, loss=0.512]");
  EXPECT_EQ(bar_text(state, 45, true), "10/10:  50%|████▉     | 117/235 [01:00<01:00]");
  EXPECT_EQ(bar_text(state, 30, true), "10/10:  50%|████▍    | 117/235");
  EXPECT_EQ(bar_text(state, 10, true), "10/10:  50");
  EXPECT_EQ(bar_text(state, 1, true), "1");
}

TEST(Bar, IsNeverWiderThanTheTerminal) {
  const double inf = std::numeric_limits<double>::infinity();
  for (const double loss : {0.5, 123456.7, 1e300, inf, -inf, inf - inf}) {
    for (const std::int64_t batch : {0, 1, 117, 234, 235}) {
      const BarState state = state_at(9, batch, 1e5, loss, 0.811, 4680.2);
      for (int width = 1; width <= 200; ++width) {
        for (const bool utf8 : {false, true}) {
          const int taken = cells(bar_text(state, width, utf8));
          ASSERT_LE(taken, width) << "batch " << batch << ", loss " << loss;
          ASSERT_LE(cells(epoch_text(state.progress, 10, 235, 0.9, 1e5, width)), width);
          if (width >= 30) {
            ASSERT_EQ(taken, width) << "the bar takes what is left";
          }
        }
      }
    }
  }
}

TEST(EpochLine, HasTheFiguresOfAnEpoch) {
  const BarState state = state_at(0, 235, 0, 0.893, 0.72, 127.3);
  EXPECT_EQ(epoch_text(state.progress, 10, 0, 0.801, 372, 0),
            "epoch 1/10  loss 0.893  train acc 0.720  test acc 0.801  127.3 examples/sec  [06:12]");
  EXPECT_EQ(epoch_text(state.progress, 10, 0, -1, 372, 0),
            "epoch 1/10  loss 0.893  train acc 0.720  127.3 examples/sec  [06:12]");
  EXPECT_EQ(epoch_text(state.progress, 10, 0, 0.801, 372, 0, -1, true),
            "epoch 1/10  loss 0.893  train acc 0.720  val acc 0.801  127.3 examples/sec  [06:12]");
  EXPECT_EQ(epoch_text(state.progress, 10, 0, 0.801, 372, 60, -1, true),
            "1/10  loss 0.893  train 0.720  val 0.801  127.3/s  [06:12]");
}

// A run that was stopped in an evaluation goes on there: it has not stepped.
TEST(EpochLine, HasNoRateWhereNoneWasMeasured) {
  const Progress progress = state_at(0, 235, 0, 0.893, 0.72, 0).progress;
  EXPECT_EQ(epoch_text(progress, 10, 0, 0.801, 372, 0),
            "epoch 1/10  loss 0.893  train acc 0.720  test acc 0.801  [06:12]");
  EXPECT_EQ(epoch_text(progress, 10, 0, 0.801, 372, 50),
            "1/10  loss 0.893  train 0.720  test 0.801  [06:12]");
}

TEST(EpochLine, ShortensWordsBeforeItLeavesFiguresOut) {
  const Progress progress = state_at(9, 235, 0, 0.893, 0.72, 127.3).progress;
  EXPECT_EQ(epoch_text(progress, 10, 0, 0.801, 3672, 80),
            "10/10  loss 0.893  train 0.720  test 0.801  127.3/s  [1:01:12]");
  EXPECT_EQ(epoch_text(progress, 10, 0, 0.801, 3672, 60),
            "10/10 loss 0.893 train 0.720 test 0.801 127.3/s [1:01:12]");
  EXPECT_EQ(epoch_text(progress, 10, 0, 0.801, 3672, 50), "10/10 loss 0.893 train 0.720 test 0.801 127.3/s");
  EXPECT_EQ(epoch_text(progress, 10, 0, 0.801, 3672, 40), "10/10 loss 0.893 train 0.720 test 0.801");
}

TEST(EpochLine, SaysHowFarACutEpochWent) {
  EXPECT_EQ(epoch_text(state_at(2, 101, 0, 0.5, 0.8, 100).progress, 10, 235, 0.9, 61, 0),
            "epoch 3/10 (101/235)  loss 0.500  train acc 0.800  test acc 0.900  100.0 examples/sec  [01:01]");
  EXPECT_EQ(epoch_text(state_at(2, 101, 0, 0.5, 0.8, 100).progress, 10, 235, -1, 61, 0, 600),
            "epoch 3/10 (101/235)  loss 0.500  train acc 0.800  100.0 examples/sec  [01:01, 10:00 left]");
}

TEST(Text, CountsCellsNotBytes) {
  EXPECT_EQ(cells("loss"), 4);
  EXPECT_EQ(cells("█▋"), 2);
  EXPECT_EQ(cells("\x1b[38;5;32m──\x1b[0m"), 2);
  EXPECT_EQ(cells("残差"), 4);
  EXPECT_EQ(cells("e\xCC\x81"), 1) << "a combining accent";
}

TEST(Text, ClipsAtCharactersAndClosesColours) {
  EXPECT_EQ(clip("ab█cd", 3), "ab█");
  EXPECT_EQ(clip("残差", 3), "残");
  EXPECT_EQ(clip("\x1b[34mloss\x1b[0m", 2), "\x1b[34mlo\x1b[0m");
  EXPECT_EQ(clip("abc", 0), "");
}

TEST(Text, ShortensAtTheBeginning) {
  EXPECT_EQ(shorten("runs/long-name-1", 16), "runs/long-name-1");
  EXPECT_EQ(shorten("runs/long-name-1", 8), "…-name-1");
  EXPECT_EQ(shorten("runs/long-name-1", 8, false), "~-name-1");
  EXPECT_EQ(shorten("残差残差", 4), "…差");
  EXPECT_EQ(shorten("abc", 0), "");
}

}  // namespace
}  // namespace resnet::report
