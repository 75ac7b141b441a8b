// Event files, read back by a reader of their own that shares nothing with the writer;
// reference/tensorboard_events.py reads them with TensorBoard.
#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "base/files.h"
#include "report/event_file.h"
#include "report/simulated_run.h"
#include "resnet/images.h"
#include "support/faulty_files.h"
#include "support/simulated_disk.h"

namespace resnet::report {
namespace {

namespace fs = std::filesystem;

const fs::path kFolder = fs::path(test::kDisk) / "run";

template <class Number>
Number number_at(std::string_view bytes, std::size_t at) {
  Number number{};
  std::memcpy(&number, bytes.data() + at, sizeof number);
  return number;
}

// A protocol buffer's message as its fields.
struct Field {
  int number = 0;
  std::uint64_t whole = 0;
  double real = 0;
  std::string bytes;
};
using Fields = std::vector<Field>;

Fields fields_of(std::string_view bytes) {
  Fields fields;
  const auto varint = [&] {
    std::uint64_t value = 0;
    for (int shift = 0;; shift += 7) {
      const auto byte = static_cast<unsigned char>(bytes.at(0));
      bytes.remove_prefix(1);
      value |= std::uint64_t{byte & 0x7fU} << shift;
      if (byte < 0x80) return value;
    }
  };
  while (!bytes.empty()) {
    const std::uint64_t key = varint();
    Field field;
    field.number = static_cast<int>(key >> 3);
    switch (key & 7U) {
      case 0:
        field.whole = varint();
        break;
      case 1:
        field.real = number_at<double>(bytes, 0);
        bytes.remove_prefix(8);
        break;
      case 2: {
        const std::uint64_t size = varint();
        field.bytes = bytes.substr(0, size);
        bytes.remove_prefix(size);
        break;
      }
      case 5:
        field.real = static_cast<double>(number_at<float>(bytes, 0));
        bytes.remove_prefix(4);
        break;
      default:
        ADD_FAILURE() << "wire type " << (key & 7U);
        return fields;
    }
    fields.push_back(field);
  }
  return fields;
}

Field one(const Fields& fields, int number) {
  for (const Field& field : fields) {
    if (field.number == number) return field;
  }
  return {};
}

std::uint32_t masked(std::string_view bytes) {
  const std::uint32_t crc = crc32c(bytes);  // held to published values below
  return ((crc >> 15) | (crc << 17)) + 0xa282ead8U;
}

struct Event {
  double time = 0;
  std::int64_t step = 0;
  std::string version;
  bool start = false;
  std::map<std::string, double> scalars;
  std::map<std::string, Fields> others;  // values that are no scalars
};

// What a file holds; a record that is not whole is a failure.
std::vector<Event> read_events(const fs::path& path) {
  const std::vector<std::byte> content = read_file(path);
  std::string_view rest(reinterpret_cast<const char*>(content.data()), content.size());
  std::vector<Event> events;
  while (!rest.empty()) {
    if (rest.size() < 12) break;
    const auto size = number_at<std::uint64_t>(rest, 0);
    EXPECT_EQ(number_at<std::uint32_t>(rest, 8), masked(rest.substr(0, 8)));
    if (rest.size() < 16 + size) break;
    const std::string_view bytes = rest.substr(12, size);
    EXPECT_EQ(number_at<std::uint32_t>(rest, 12 + size), masked(bytes));
    rest.remove_prefix(16 + size);
    const Fields fields = fields_of(bytes);
    Event event{one(fields, 1).real,
                static_cast<std::int64_t>(one(fields, 2).whole),
                one(fields, 3).bytes,
                false,
                {},
                {}};
    if (const Field session = one(fields, 7); session.number == 7)
      event.start = one(fields_of(session.bytes), 1).whole == 1;
    for (const Field& value : fields_of(one(fields, 5).bytes)) {
      const Fields parts = fields_of(value.bytes);
      const std::string tag = one(parts, 1).bytes;
      if (one(parts, 2).number == 2) {
        event.scalars[tag] = one(parts, 2).real;
      } else {
        event.others[tag] = parts;
      }
    }
    events.push_back(event);
  }
  EXPECT_TRUE(rest.empty()) << "cut off";
  return events;
}

std::vector<fs::path> event_files() {
  std::error_code ignored;
  std::vector<fs::path> paths;
  for (const fs::path& name : list_names(kFolder, ignored)) {
    if (name.string().find("tfevents") != std::string::npos) paths.push_back(kFolder / name);
  }
  return paths;
}

// As TensorBoard sees a folder: its files one after the other, without what starts but the first one void.
std::vector<Event> seen_events() {
  std::vector<Event> seen;
  bool started = false;
  for (const fs::path& path : event_files()) {
    for (const Event& event : read_events(path)) {
      if (event.start && std::exchange(started, true))
        std::erase_if(seen, [&](const Event& e) { return e.step >= event.step && e.version.empty(); });
      seen.push_back(event);
    }
  }
  return seen;
}

std::vector<std::int64_t> steps_seen() {
  std::vector<std::int64_t> steps;
  for (const Event& event : seen_events()) {
    if (event.scalars.contains("loss/train")) steps.push_back(event.step);
  }
  return steps;
}

class TensorBoardTest : public testing::Test {
 protected:
  static void clear() {
    std::error_code ignored;
    for (const fs::path& name : list_names(kFolder, ignored)) remove_file(kFolder / name);
  }
  test::SimulatedDisk disk_{file_system()};
  test::FilesReplaced replaced_{disk_};
};

// RFC 3720, B.4, and "123456789" (the check value of CRC-32/ISCSI).
TEST(EventFile, HasTheChecksumsOfItsFormat) {
  EXPECT_EQ(crc32c("123456789"), 0xe3069283U);
  EXPECT_EQ(crc32c(std::string(32, '\0')), 0x8a9136aaU);
  EXPECT_EQ(crc32c(std::string(32, '\xff')), 0x62a8ab43U);
  std::string rising(32, '\0');
  for (std::size_t i = 0; i < 32; ++i) rising[i] = static_cast<char>(i);
  EXPECT_EQ(crc32c(rising), 0x46dd794eU);
  // As TensorFlow writes an empty record: the length 0 with its checksum, and that of nothing.
  EXPECT_EQ(record_of(""), std::string("\0\0\0\0\0\0\0\0\x29\x03\x98\x07\xd8\xea\x82\xa2", 16));
}

TEST_F(TensorBoardTest, HasEveryPointAtItsStep) {
  Stage stage({});
  const images::Image sheet{2, 3, 1, std::vector<std::uint8_t>(6, 9)};
  simulate(stage, {tensorboard(kFolder, {.settings = "lr = 0.1\nseed = 3\n", .pictures = sheet})},
           small_run());
  ASSERT_EQ(event_files().size(), 1U);
  EXPECT_TRUE(event_files()[0].filename().string().starts_with("events.out.tfevents.1")) << event_files()[0];
  const std::vector<Event> events = read_events(event_files()[0]);
  const std::vector<CurvePoint> points = learning(3);
  ASSERT_EQ(events.size(), points.size() + 4);
  EXPECT_EQ(events[0].version, "brain.Event:2");
  const double now = static_cast<double>(std::time(nullptr));
  for (std::size_t i = 0; i < points.size(); ++i) {
    const Event& event = events[i + 4];
    EXPECT_EQ(event.step, static_cast<std::int64_t>(2 * (i + 1)));
    EXPECT_NEAR(event.time, now, 60);
    EXPECT_EQ(event.scalars.at("loss/train"), static_cast<double>(static_cast<float>(points[i].loss)));
    EXPECT_EQ(event.scalars.at("accuracy/train"),
              static_cast<double>(static_cast<float>(points[i].train_acc)));
    EXPECT_EQ(event.scalars.contains("accuracy/test"), points[i].test_acc >= 0);
    EXPECT_EQ(event.scalars.at("epoch"), static_cast<double>(static_cast<float>(points[i].x)));
    EXPECT_EQ(event.scalars.at("lr"), static_cast<double>(0.1F));
    EXPECT_EQ(event.scalars.at("examples_per_second"), 256);
  }
  const Fields text = events[2].others.at("settings/text_summary");
  EXPECT_EQ(one(fields_of(one(text, 8).bytes), 8).bytes, "    lr = 0.1\n    seed = 3\n    ");
  EXPECT_EQ(one(fields_of(one(fields_of(one(text, 9).bytes), 1).bytes), 1).bytes, "text");
  const Fields image = fields_of(one(events[3].others.at("pictures"), 4).bytes);
  const std::string png = one(image, 4).bytes;
  EXPECT_EQ(one(image, 1).whole, 2U);
  EXPECT_EQ(one(image, 2).whole, 3U);
  EXPECT_EQ(one(image, 3).whole, 1U);
  EXPECT_EQ(images::probe({reinterpret_cast<const std::uint8_t*>(png.data()), png.size()}).width, 3);
}

TEST_F(TensorBoardTest, GoesOnWithoutDoublingOrRewinding) {
  const auto take = [](Observer& observer, std::int64_t first, std::int64_t last) {
    for (std::int64_t step = first; step <= last; ++step) {
      observer.on_step({.step = step});
      observer.on_point({.loss = 1});
    }
  };
  RunInfo run = small_run();
  const auto first = tensorboard(kFolder);
  first->on_start(run);
  take(*first, 1, 7);  // and killed; the newest checkpoint is that of step 5
  run.done_steps = 5;
  const auto second = tensorboard(kFolder);
  second->on_start(run);
  EXPECT_EQ(event_files().size(), 1U) << "nothing before there is something to say";
  take(*second, 6, 9);
  run.done_steps = 8;  // back to a checkpoint, in the same process
  second->on_start(run);
  take(*second, 9, 10);
  second->on_finish({});
  ASSERT_EQ(event_files().size(), 2U) << "in the same second, too";
  EXPECT_EQ(steps_seen(), (std::vector<std::int64_t>{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}));
}

// It goes on with an evaluation, before any step: a rate of 0 was never there.
TEST_F(TensorBoardTest, HasRatesOfStepsAlone) {
  RunInfo run = small_run();
  run.done_steps = 10;
  const auto observer = tensorboard(kFolder);
  observer->on_start(run);
  observer->on_point({.x = 1, .loss = 1, .test_acc = 0.5});
  observer->on_step({.recent_examples_per_second = 256, .step = 11, .lr = 0.5});
  observer->on_point({.x = 2, .loss = 1});
  run.done_steps = 11;
  observer->on_start(run);  // back to a checkpoint
  observer->on_point({.x = 2, .loss = 1});
  observer->on_finish({});
  std::vector<std::size_t> rates;
  for (const Event& event : read_events(event_files().at(0))) {
    if (event.scalars.contains("loss/train"))
      rates.push_back(event.scalars.count("lr") + event.scalars.count("examples_per_second"));
  }
  EXPECT_EQ(rates, (std::vector<std::size_t>{0, 2, 0}));
}

TEST_F(TensorBoardTest, NamesTheSetThatWasWatched) {
  RunInfo run = small_run();
  run.val_examples = 5;
  const auto observer = tensorboard(kFolder);
  observer->on_start(run);
  observer->on_step({.step = 1});
  observer->on_point({.loss = 1, .test_acc = 0.5});
  observer->on_finish({});
  const Event event = read_events(event_files().at(0)).back();
  EXPECT_TRUE(event.scalars.contains("accuracy/val"));
  EXPECT_FALSE(event.scalars.contains("accuracy/test"));
}

// TensorBoard would read its file first, and what it says of a start would void nothing.
TEST_F(TensorBoardTest, GoesOnInALaterFileWhereTheClockWentBack) {
  make_directories(kFolder);
  const fs::path earlier = kFolder / "events.out.tfevents.9999999990.host";
  EXPECT_TRUE(make_new_file(earlier));
  const auto observer = tensorboard(kFolder);
  observer->on_start(small_run());
  observer->on_step({.step = 1});
  observer->on_point({.loss = 1});
  observer->on_finish({});
  ASSERT_EQ(event_files().size(), 2U);
  EXPECT_EQ(event_files()[0], earlier);
}

TEST_F(TensorBoardTest, LeavesNothingOfARunThatDidNotBegin) {
  const auto observer = tensorboard(kFolder);
  observer->on_start(small_run());
  observer->on_finish({});
  EXPECT_TRUE(event_files().empty());
}

// A disk that fails once loses nothing, and none ends the run before its end.
TEST_F(TensorBoardTest, IsWholeWhereTheRunSucceeds) {
  const std::int64_t count = test::for_each_fault(
      clear,
      [] {
        Stage stage({});
        simulate(stage, {tensorboard(kFolder)}, small_run(1));
      },
      [](const test::Tried& tried) {
        if (tried.done) EXPECT_EQ(steps_seen().size(), learning(1).size()) << tried;
      });
  EXPECT_GT(count, 10);
}

}  // namespace
}  // namespace resnet::report
