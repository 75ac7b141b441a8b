// Checkpoints: whatever ends a run, it goes on bit for bit, with the run that it was and no other, and no
// file that is damaged is taken for a whole one.
#include "train/checkpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <limits>
#include <optional>
#include <set>

#include "images/libraries.h"
#include "io/model_hash.h"
#include "io/model_metadata.h"
#include "resnet/version.h"
#include "support/message_of.h"
#include "support/scratch_folder.h"
#include "train/checkpoint_case.h"
#include "train/scripted_engine.h"

namespace resnet {
namespace {

namespace fs = std::filesystem;
using test::kSide;
using test::message_of;
using test::network;
using test::noise;
using test::outcome;
using test::plain;
using test::run_until;
using test::Stopper;
using test::test_set;
using test::training_set;
using testing::ContainsRegex;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

class Checkpoints : public testing::Test {
 protected:
  ScratchFolder scratch_;
};

TEST_F(Checkpoints, GoOnBitForBitFromEveryStepWithEveryKindOfRun) {
  for (const test::Kind& kind : test::kinds()) {
    const test::Run run(kind, {});
    std::size_t turn = 0;  // of the numbers of threads, on which bits do not depend
    for (const fs::path& path : run.stepped_in(scratch_ / kind.name))
      run.expect_same_from(path, test::kThreads[turn++ % std::size(test::kThreads)]);
  }
}

TEST_F(Checkpoints, OfMoreTensorsThanAFileHoldsAreRefusedBeforeTheFirstStep) {
  nn::Sequential net;
  for (int i = 0; i < 1200; ++i) net.push_back(nn::BatchNorm2d{1});
  const test::IdleEngine engine(
      State(1200 * 5 + 1200 * 2 * 2));  // AdamW has two values beside each parameter
  FitOptions options;
  options.optimizer.method = AdamWOptions{};
  EXPECT_NO_THROW(train::check_count(options, net, engine));
  options.average.decay = 0.9;
  EXPECT_THAT(message_of<ConfigError>([&] { train::check_count(options, net, engine); }),
              HasSubstr("a checkpoint of this run would have 16801 tensors; at most 16384 fit a file"));
}

TEST_F(Checkpoints, OfARunThatIsStoppedAgainAndAgainEndAsIfItHadNotBeen) {
  for (const std::int64_t between : {1, 2, 3, 5}) {
    FitOptions options = plain(3);
    options.accumulate = 2;
    options.optimizer.method = SgdOptions{.momentum = 0.9};
    const std::string undisturbed = outcome(options);
    options.checkpoints = {.folder = scratch_ / std::to_string(between), .resume = true};
    bool complete = false;
    int stops = 0;
    while (!complete && stops < 50) {
      const auto stopper = std::make_shared<Stopper>(between);
      complete = run_until(stopper, options).complete;
      ++stops;
    }
    EXPECT_GT(stops, 2);
    EXPECT_EQ(outcome(options), undisturbed) << "a finished run says again what it found; every " << between;
  }
}

// Of a part that training leaves out there is no average: what is kept for it is the part's own.
class WithIdlePart final : public nn::Module {
 public:
  WithIdlePart() : used_(&add("used", network())), idle_(&add("idle", nn::Linear{20, 3})) {}
  Value operator()(Value x) const override { return (*used_)(x); }

 private:
  nn::Sequential* used_;
  nn::Linear* idle_;
};

TEST_F(Checkpoints, OfANetworkWithAPartThatIsNotTrainedGoOnWithItsAverage) {
  const auto trained = [](const FitOptions& options) {
    WithIdlePart net;
    return fit(net, training_set(), test_set(), options).weights_sha256;
  };
  FitOptions options = plain(3);
  options.average = {.decay = 0.9, .every = 2};
  const std::string undisturbed = trained(options);
  options.checkpoints = {.folder = scratch_ / "run", .every_steps = 1, .resume = true};
  FitOptions stopped = options;
  const auto stopper = std::make_shared<Stopper>(5);
  stopped.observers = {stopper};
  stopped.stop = &stopper->stop;
  trained(stopped);
  EXPECT_EQ(trained(options), undisturbed);
}

TEST_F(Checkpoints, HaveTheWeightsOfTheMostClasses) {
  FitOptions options = plain(1);
  options.checkpoints = {.folder = scratch_ / "run"};
  outcome(options);
  train::Checkpoint made = train::read_checkpoint(checkpoints_in(scratch_ / "run").front());
  std::string weights;
  for (int k = 0; k < 1 << 16; ++k) weights += "0.8372093023255814 ";
  made.facts = {{"LossOptions::class_weights", weights}};
  train::write_checkpoint(scratch_ / "made", made);
  EXPECT_EQ(train::read_checkpoint(scratch_ / "made").facts, made.facts);
}

// There a point would be one too many: the evaluation behind the last step has one.
TEST_F(Checkpoints, OfARunThatIsStoppedInItsLastStepHaveItsPoints) {
  FitOptions options = plain(3);
  options.steps = 6;
  const std::string undisturbed = outcome(options);
  options.checkpoints = {.folder = scratch_ / "run", .resume = true};
  EXPECT_FALSE(run_until(std::make_shared<Stopper>(6), options).complete);
  EXPECT_EQ(outcome(options), undisturbed);
}

// Stops at the n-th time that it is told of an evaluation.
class EvaluationStopper final : public Observer {
 public:
  explicit EvaluationStopper(int times) : left_(times) {}
  void on_evaluation(const Progress&, std::int64_t, std::int64_t) override {
    if (--left_ == 0) stop = true;
  }
  std::atomic<bool> stop{false};

 private:
  int left_;
};

TEST_F(Checkpoints, OfARunThatIsStoppedInAnEvaluationEndAsIfItHadNotBeen) {
  FitOptions options = plain(3);
  options.average = {.decay = 0.9, .every = 2};
  options.patience = 5;
  const std::string undisturbed = outcome(options);
  for (int time = 1; time <= 9; ++time) {  // three times an epoch: before it and after each of two batches
    options.checkpoints = {.folder = scratch_ / std::to_string(time), .resume = true};
    const auto stopper = std::make_shared<EvaluationStopper>(time);
    run_until(stopper, options);
    EXPECT_EQ(outcome(options), undisturbed) << time;
  }
}

TEST_F(Checkpoints, SkipAndRepeatNoExample) {
  const auto log = std::make_shared<test::EngineLog>();
  FitOptions options{.epochs = 3, .batch_size = 4};
  options.engine_factory = [&](Network network, const EngineOptions&) {
    return std::make_unique<test::ScriptedEngine>(std::move(network), log);
  };
  options.checkpoints = {.folder = scratch_ / "run", .resume = true};
  bool complete = false;
  for (int i = 0; !complete && i < 20; ++i) {
    const auto stopper = std::make_shared<Stopper>(2);
    options.observers = {stopper};
    options.stop = &stopper->stop;
    nn::Sequential net = test::tiny_network();
    complete = fit(net, test::counted(10), test::counted(6), options).complete;
  }
  ASSERT_EQ(log->batches.size(), 9U);
  for (std::size_t epoch = 0; epoch < 3; ++epoch) {
    std::multiset<int> seen;
    for (std::size_t batch = 0; batch < 3; ++batch)
      seen.insert(log->batches[3 * epoch + batch].begin(), log->batches[3 * epoch + batch].end());
    EXPECT_THAT(seen, ElementsAre(0, 1, 2, 3, 4, 5, 6, 7, 8, 9)) << epoch;
  }
}

TEST_F(Checkpoints, OfAFinishedRunLetItGrow) {
  FitOptions options = plain(4);
  const std::string four = outcome(options);
  options = plain(2);
  options.checkpoints = {.folder = scratch_ / "run"};
  outcome(options);
  options.epochs = 4;
  options.checkpoints.resume = true;
  EXPECT_EQ(outcome(options), four);
}

std::string bytes_of(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

void put(const fs::path& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}

// Two checkpoints of a run of three epochs: after steps 4 and 5.
FitOptions two_checkpoints(const fs::path& folder) {
  FitOptions options = plain(3);
  options.checkpoints = {.folder = folder, .every_steps = 1};
  const auto stopper = std::make_shared<Stopper>(5);
  run_until(stopper, options);
  options.checkpoints.resume = true;
  return options;
}

TEST_F(Checkpoints, ThatAreDamagedArePassedOverAndNamed) {
  const std::string undisturbed = outcome(plain(3));
  const fs::path folder = scratch_ / "run";
  FitOptions options = two_checkpoints(folder);
  const std::vector<fs::path> paths = checkpoints_in(folder);
  ASSERT_GE(paths.size(), 2U);
  const std::string whole = bytes_of(paths[0]);
  std::vector<std::string> damaged = {"", whole.substr(0, 7), whole.substr(0, whole.size() / 2),
                                      whole.substr(0, whole.size() - 1), std::string(whole.size(), '\0')};
  for (std::size_t i = 0; i < whole.size(); i += 1 + whole.size() / 16) {  // a bit here and there
    damaged.push_back(whole);
    damaged.back()[i] = static_cast<char>(damaged.back()[i] ^ 4);
  }
  for (const std::string& bytes : damaged) {
    fs::remove_all(scratch_ / "again");
    fs::copy(folder, scratch_ / "again", fs::copy_options::recursive);
    options.checkpoints.folder = scratch_ / "again";
    put(options.checkpoints.folder / paths[0].filename(), bytes);
    std::string notes;
    options.checkpoints.note = [&](const std::string& line) { notes += line; };
    EXPECT_EQ(outcome(options), undisturbed);
    EXPECT_THAT(notes, HasSubstr("passed over: ")) << bytes.size();
    EXPECT_THAT(notes, HasSubstr(paths[0].filename().string()));
  }
}

TEST_F(Checkpoints, ThatAreAllDamagedAreAnErrorAndNotANewBeginning) {
  const fs::path folder = scratch_ / "run";
  FitOptions options = two_checkpoints(folder);
  for (const fs::path& path : checkpoints_in(folder)) put(path, "nothing");
  nn::Sequential net = network();
  EXPECT_THAT(message_of<FormatError>([&] { fit(net, training_set(), test_set(), options); }),
              HasSubstr("no checkpoint that is whole"));
}

// One that is whole by its hash, but not what a run writes: somebody made it.
TEST_F(Checkpoints, ThatWereMadeByHandArePassedOver) {
  const std::string undisturbed = outcome(plain(3));
  const fs::path folder = scratch_ / "run";
  FitOptions options = two_checkpoints(folder);
  const fs::path newest = checkpoints_in(folder)[0];
  const train::Checkpoint good = train::read_checkpoint(newest);
  const std::vector<std::function<void(train::Checkpoint&)>> changes = {
      [](train::Checkpoint& c) { c.state.pop_back(); },
      [](train::Checkpoint& c) { c.state[0].second = Tensor(Shape{1}); },
      [](train::Checkpoint& c) { c.state[0].second = Tensor(c.state[0].second.shape(), DType::i32); },
      [](train::Checkpoint& c) { c.state[0].first += "x"; },
      [](train::Checkpoint& c) {
        c.average = {{"0.weight", Tensor(Shape{1})}};
      },
      [](train::Checkpoint& c) {
        c.best = {{"0.weight", Tensor(Shape{1})}};
      },
      [](train::Checkpoint& c) { c.run.best_epoch = 1; },
      [](train::Checkpoint& c) { c.run.progress.epoch = std::numeric_limits<std::int64_t>::max(); },
      [](train::Checkpoint& c) { c.run.progress.batch = -1; },
      [](train::Checkpoint& c) { c.run.progress.batch = 5; },  // of 4: the epoch would never end
      [](train::Checkpoint& c) { c.run.progress.batch = 2; },  // and the step says another place
      [](train::Checkpoint& c) { c.run.progress.epoch = 0; },
      [](train::Checkpoint& c) { c.run.steps += 4; },
      [](train::Checkpoint& c) { c.run.averages = -1; },
      [](train::Checkpoint& c) { c.run.averages = 1; },  // of which there is nothing
      [](train::Checkpoint& c) {
        c.run.step_changes = {{-5, 3}};
      },
      [](train::Checkpoint& c) { c.run.steps = 0; },
      [](train::Checkpoint& c) { c.run.steps = 2, c.run.progress.batch = 3; },
  };
  for (std::size_t i = 0; i < changes.size(); ++i) {
    fs::remove_all(scratch_ / "again");
    fs::copy(folder, scratch_ / "again", fs::copy_options::recursive);
    options.checkpoints.folder = scratch_ / "again";
    train::Checkpoint made = good;
    changes[i](made);
    train::write_checkpoint(options.checkpoints.folder / newest.filename(), made);
    std::string notes;
    options.checkpoints.note = [&](const std::string& line) { notes += line; };
    EXPECT_EQ(outcome(options), undisturbed) << i;
    EXPECT_THAT(notes, HasSubstr("passed over: ")) << i;
  }
}

// Whole by their hash, with metadata or tensors that no run writes.
TEST_F(Checkpoints, SayWhatIsWrongInThem) {
  two_checkpoints(scratch_ / "run");
  const fs::path newest = checkpoints_in(scratch_ / "run")[0];
  using Change = std::function<void(io::Safetensors&)>;
  const auto refusal = [&](const Change& change) -> std::string {
    io::Safetensors file = io::read_safetensors(newest);
    change(file);
    if (file.metadata.contains(io::kCheckpointHashKey))
      file.metadata[io::kCheckpointHashKey] = io::checkpoint_hash(file.tensors, file.metadata);
    const fs::path made = scratch_ / "made";
    io::write_safetensors(made, file.tensors, file.metadata);
    try {
      train::read_checkpoint(made);
    } catch (const FormatError& error) {
      EXPECT_THAT(error.what(), testing::StartsWith(made.string() + ": "));
      EXPECT_NE(error.hint(), "");
      return error.what();
    }
    return "read";
  };
  // The number of a member of "resnet.run", as another text.
  const auto with = [&](const std::string& member, const std::string& text) {
    return refusal([&](io::Safetensors& file) {
      std::string& run = file.metadata["resnet.run"];
      const std::string key = "\"" + member + "\":";
      const std::size_t at = run.find(key);
      ASSERT_NE(at, std::string::npos) << member;
      const bool list = run[at + key.size()] == '[';
      const std::size_t end = list ? run.find("]", at) + 1 : run.find_first_of(",}", at);
      run.replace(at, end - at, text.empty() ? "\"other\":0" : key + text);
    });
  };
  EXPECT_EQ(refusal([](io::Safetensors&) {}), "read");
  EXPECT_EQ(with("loss", "1"), "read") << "a whole number is one too";
  EXPECT_EQ(with("evaluated_at", "-1"), "read") << "none";
  EXPECT_EQ(with("top_steps", "-1"), "read") << "none";
  for (const char* later : {"skipped", "skipped_in_row", "rollbacks", "bad_at", "back_to"}) {
    EXPECT_EQ(with(later, ""), "read") << "an earlier version's";
    EXPECT_THAT(with(later, "null"), HasSubstr(std::string("no whole number '") + later + "'"));
  }
  for (const char* text : {"", "1.5", "null", "\"4\""})
    EXPECT_THAT(with("steps", text), HasSubstr("no whole number 'steps'")) << text;
  for (const char* text : {"", "null", "\"4\""})
    EXPECT_THAT(with("loss", text), HasSubstr("no number 'loss'")) << text;
  for (const char* text : {"-1", "9007199254740993"})
    EXPECT_THAT(with("steps", text), HasSubstr("'steps' is out of range")) << text;
  EXPECT_THAT(with("evaluated_at", "-2"), HasSubstr("'evaluated_at' is out of range"));
  EXPECT_EQ(with("rollbacks", "5"), "read");
  for (const char* text : {"6", "2147483648", "4294967291"})  // of which the rate's power would overflow
    EXPECT_THAT(with("rollbacks", text), HasSubstr("'rollbacks' is out of range")) << text;
  for (const char* text : {"", "{}", "7"})
    EXPECT_THAT(with("step_changes", text), HasSubstr("no list 'step_changes'")) << text;
  EXPECT_EQ(with("step_changes", "[[4,5]]"), "read");
  for (const char* text : {"[7]", "[[1]]", "[[1,2,3]]", "[[\"1\",2]]", "[[1,2.5]]"})
    EXPECT_THAT(with("step_changes", text), HasSubstr("a change of steps that is none")) << text;
  for (const char* text : {"[[-1,2]]", "[[1,-2]]", "[[9007199254740993,2]]", "[[1,9007199254740993]]"})
    EXPECT_THAT(with("step_changes", text), HasSubstr("a change of steps that is out of range")) << text;

  const auto without = [&](const std::string& key) {
    return refusal([&](io::Safetensors& file) { file.metadata.erase(key); });
  };
  for (const std::string key :
       {"resnet.checkpoint", "resnet.run", "resnet.facts", "resnet.version", io::kCheckpointHashKey})
    EXPECT_THAT(without(key), HasSubstr("no '" + key + "' in its metadata"));
  for (const std::string key : {"resnet.libraries", "resnet.plan_sha256"})
    EXPECT_EQ(without(key), "read") << "not known: " << key;
  EXPECT_THAT(refusal([](io::Safetensors& file) { file.metadata["resnet.facts"] = "[]"; }),
              HasSubstr("resnet.facts is no object"));
  EXPECT_THAT(refusal([](io::Safetensors& file) { file.metadata["resnet.facts"] = "{\"a\":1}"; }),
              HasSubstr("'a' is not a text"));

  const auto curve = [&](const std::optional<Tensor>& tensor) {
    return refusal([&](io::Safetensors& file) {
      std::erase_if(file.tensors, [](const auto& value) { return value.first == "curve"; });
      if (tensor) file.tensors.emplace_back("curve", *tensor);
    });
  };
  EXPECT_THAT(curve(std::nullopt), HasSubstr("it has no curve"));
  EXPECT_EQ(curve(Tensor(Shape{2, 4}, DType::f64)), "read");
  for (const Tensor& tensor :
       {Tensor(Shape{2, 4}, DType::f32), Tensor(Shape{8}, DType::f64), Tensor(Shape{2, 3}, DType::f64)})
    EXPECT_THAT(curve(tensor), HasSubstr("its curve is not F64 [points,4]"));
  EXPECT_THAT(refusal([](io::Safetensors& file) { file.tensors.emplace_back("stray", Tensor(Shape{1})); }),
              HasSubstr("tensor 'stray' belongs to nothing"));
  put(scratch_ / "none", "no file of tensors");
  EXPECT_THAT(message_of<FormatError>([&] { train::read_checkpoint(scratch_ / "none"); }),
              testing::StartsWith((scratch_ / "none").string() + ": "));
}

TEST_F(Checkpoints, AreTheFilesOfTheirNameAlone) {
  const fs::path folder = scratch_ / "run";
  EXPECT_THAT(checkpoints_in(folder), testing::IsEmpty()) << "there is no such folder";
  fs::create_directories(folder);
  for (const char* name : {"step-000000012.safetensors", "step-7.safetensors", "step-.safetensors", "step-12",
                           "step-1x.safetensors", "step--3.safetensors", "model.safetensors",
                           "step-99999999999999999999.safetensors"})
    put(folder / name, "x");
  EXPECT_EQ(checkpoints_in(folder).size(), 2U);
  EXPECT_EQ(checkpoints_in(folder)[0], folder / "step-000000012.safetensors");
}

// A fact that a run had and this one has not at all.
TEST(Facts, OfThenCountWhereThereIsNoneNow) {
  const auto says = [](const train::Facts& then, const train::Facts& now) {
    return message_of<ConfigError>([&] { train::check_facts("run", then, now); });
  };
  EXPECT_EQ(says({{"a", "1"}, {"b", "2"}}, {{"a", "1"}}), "the run of run has b 2, this one none");
  EXPECT_EQ(says({{"a", "1"}}, {{"a", "1"}, {"b", "2"}}), "the run of run has b none, this one 2");
  EXPECT_EQ(says({{"a", std::string(61, 'x')}}, {{"a", "1"}}), "the run of run has other a");
  EXPECT_NO_THROW(train::check_facts("run", {{"b", "2"}, {"a", "1"}}, {{"a", "1"}, {"b", "2"}}));
}

TEST_F(Checkpoints, OfAnotherFormatAreRefusedByName) {
  const fs::path folder = scratch_ / "run";
  FitOptions options = two_checkpoints(folder);
  const fs::path newest = checkpoints_in(folder)[0];
  std::string bytes = bytes_of(newest);
  const std::string key = "\"resnet.checkpoint\":\"";
  bytes[bytes.find(key) + key.size()] = '7';
  put(newest, bytes);
  nn::Sequential net = network();
  EXPECT_THAT(message_of<ConfigError>([&] { fit(net, training_set(), test_set(), options); }),
              HasSubstr(newest.string() + " is a checkpoint of format 7"));
}

// What may change last bits, and what a resume says of it.
TEST_F(Checkpoints, OfOtherLibrariesOrAnotherVersionAreTold) {
  const std::string undisturbed = outcome(plain(3));
  const fs::path folder = scratch_ / "run";
  FitOptions options = two_checkpoints(folder);
  const fs::path newest = checkpoints_in(folder)[0];
  EXPECT_THAT(train::read_checkpoint(newest).libraries, HasSubstr(", glibc "));
  const auto notes_with = [&](const char* key, const char* text) {
    io::Safetensors file = io::read_safetensors(newest);
    EXPECT_EQ(file.metadata.count(key), 1U);
    file.metadata[key] = text;
    file.metadata[io::kCheckpointHashKey] = io::checkpoint_hash(file.tensors, file.metadata);
    fs::remove_all(scratch_ / "again");
    fs::copy(folder, scratch_ / "again", fs::copy_options::recursive);
    options.checkpoints.folder = scratch_ / "again";
    io::write_safetensors(options.checkpoints.folder / newest.filename(), file.tensors, file.metadata);
    std::string notes;
    options.checkpoints.note = [&](const std::string& line) { notes += line + "\n"; };
    EXPECT_EQ(outcome(options), undisturbed);
    return notes;
  };
  EXPECT_THAT(notes_with("resnet.libraries", "g++ 1.0.0"),
              HasSubstr("was written with g++ 1.0.0; this is " + images::libraries() + ":"));
  EXPECT_THAT(notes_with("resnet.plan_sha256", "0123456789abcdef0123"),
              ContainsRegex("was written with plan 0123456789ab; this is plan [0-9a-f]{12}:"));
  EXPECT_THAT(notes_with("resnet.plan_sha256", ""), Not(HasSubstr("was written with")))
      << "of an engine without plans";
  EXPECT_THAT(notes_with("resnet.libraries", ""), Not(HasSubstr("was written with"))) << "not known";
  EXPECT_THAT(notes_with("resnet.version", "0.0.1"),
              HasSubstr(std::string("was written with resnet 0.0.1; this is resnet ") + kVersion + ":"));
}

TEST_F(Checkpoints, OfAnotherRunAreNotWrittenBeside) {
  FitOptions options = two_checkpoints(scratch_ / "run");
  options.checkpoints.resume = false;
  nn::Sequential net = network();
  EXPECT_THAT(message_of<ConfigError>([&] { fit(net, training_set(), test_set(), options); }),
              HasSubstr("holds the checkpoints of another run"));
}

TEST_F(Checkpoints, RefuseAnotherRunAndNameTheDifference) {
  const fs::path folder = scratch_ / "run";
  const FitOptions options = two_checkpoints(folder);
  const auto refusal = [&](const std::function<void(FitOptions&)>& change) {
    FitOptions other = options;
    change(other);
    nn::Sequential net = network();
    return message_of<ConfigError>([&] { fit(net, training_set(), test_set(), other); });
  };
  EXPECT_THAT(refusal([](FitOptions& o) { o.lr = 0.2F; }), HasSubstr("has FitOptions::lr 0.1, this one 0.2"));
  EXPECT_THAT(refusal([](FitOptions& o) { o.seed = 8; }), HasSubstr("FitOptions::seed 7, this one 8"));
  EXPECT_THAT(refusal([](FitOptions& o) { o.optimizer.method = AdamWOptions{}; }),
              HasSubstr("FitOptions::optimizer sgd, this one adamw"));
  EXPECT_THAT(refusal([](FitOptions& o) { o.engine.precision = Precision::bf16; }),
              HasSubstr("EngineOptions::precision f32, this one bf16"));
  EXPECT_THAT(refusal([](FitOptions& o) { o.engine.fuse = false; }),
              HasSubstr("has fusion yes, this one no"));

  nn::Sequential net = network();
  EXPECT_THAT(message_of<ConfigError>([&] { fit(net, noise(22, 3), test_set(), options); }),
              HasSubstr("has other training examples"));
  EXPECT_THAT(message_of<ConfigError>([&] { fit(net, training_set(), noise(9, 3), options); }),
              HasSubstr("has other test examples"));
  nn::Sequential other(nn::Flatten{}, nn::Linear{3 * kSide * kSide, 3});
  EXPECT_THAT(message_of<ConfigError>([&] { fit(other, training_set(), test_set(), options); }),
              HasSubstr("has other network"));
}

// Every option that changes what a run computes is among its facts; one that a person forgets to add is one
// with which a run would go on as another.
TEST(Facts, DifferForEveryOptionThatChangesARun) {
  const std::vector<std::pair<std::string, std::function<void(FitOptions&)>>> changes = {
      {"batch_size", [](FitOptions& o) { o.batch_size = 5; }},
      {"lr", [](FitOptions& o) { o.lr = 0.3F; }},
      {"seed", [](FitOptions& o) { o.seed = 1; }},
      {"precision", [](FitOptions& o) { o.engine.precision = Precision::bf16; }},
      {"tf32", [](FitOptions& o) { o.engine.precision = Precision::tf32; }},
      {"fuse", [](FitOptions& o) { o.engine.fuse = false; }},
      {"method", [](FitOptions& o) { o.optimizer.method = AdamWOptions{}; }},
      {"momentum", [](FitOptions& o) { o.optimizer.method = SgdOptions{.momentum = 0.5}; }},
      {"dampening", [](FitOptions& o) { o.optimizer.method = SgdOptions{.dampening = 0.5}; }},
      {"nesterov", [](FitOptions& o) { o.optimizer.method = SgdOptions{.nesterov = true}; }},
      {"weight_decay", [](FitOptions& o) { o.optimizer.method = SgdOptions{.weight_decay = 0.5}; }},
      {"decay_norms_and_biases", [](FitOptions& o) { o.optimizer.decay_norms_and_biases = false; }},
      {"groups", [](FitOptions& o) { o.optimizer.groups = {{.names = "*", .lr_factor = 2}}; }},
      {"frozen", [](FitOptions& o) { o.optimizer.groups = {{.names = "*", .frozen = true}}; }},
      {"label_smoothing", [](FitOptions& o) { o.loss.label_smoothing = 0.1; }},
      {"class_weights",
       [](FitOptions& o) {
         o.loss.class_weights = {1, 2, 3};
       }},
      {"kind", [](FitOptions& o) { o.schedule.kind = ScheduleKind::cosine; }},
      {"warmup_epochs", [](FitOptions& o) { o.schedule.warmup_epochs = 1; }},
      {"start", [](FitOptions& o) { o.schedule.start = 0.5; }},
      {"final", [](FitOptions& o) { o.schedule.final = 0.5; }},
      {"peak", [](FitOptions& o) { o.schedule.peak = 0.5; }},
      {"power", [](FitOptions& o) { o.schedule.power = 2; }},
      {"gamma", [](FitOptions& o) { o.schedule.gamma = 0.5; }},
      {"every_epochs", [](FitOptions& o) { o.schedule.every_epochs = 5; }},
      {"low_momentum", [](FitOptions& o) { o.schedule.low_momentum = 0.5; }},
      {"average", [](FitOptions& o) { o.average.decay = 0.5; }},
      {"every", [](FitOptions& o) { o.average.every = 3; }},
      {"views", [](FitOptions& o) { o.views = Views::flip; }},
      {"accumulate", [](FitOptions& o) { o.accumulate = 2; }},
      {"clip_norm", [](FitOptions& o) { o.clip_norm = 1; }},
      {"balanced", [](FitOptions& o) { o.balanced = true; }},
      {"patience", [](FitOptions& o) { o.patience = 1; }},
      {"drop_last", [](FitOptions& o) { o.drop_last = true; }},
      {"augment", [](FitOptions& o) { o.augment = {data::Flip{}}; }},
      {"validation", [](FitOptions& o) { o.validation = test::counted(3); }},
  };
  nn::Sequential net = test::tiny_network();
  nn::init(net, net.scheme(), 0);
  const data::Dataset set = test::counted(4);
  const Network network = network_of(net, Shape{4, 1, 4, 4});
  const test::ScriptedEngine engine(network, std::make_shared<test::EngineLog>());
  const auto facts = [&](const FitOptions& options) {
    return train::facts_of(options, network, engine, set, set);
  };
  const train::Facts base = facts({});
  for (const auto& [name, change] : changes) {
    FitOptions options;
    change(options);
    EXPECT_NE(facts(options), base) << name;
    EXPECT_THAT(message_of<ConfigError>([&] { train::check_facts("run", base, facts(options)); }),
                testing::StartsWith("the run of run has "))
        << name;
  }
  FitOptions longer{.epochs = 20, .steps = 7};
  longer.engine.threads = 5;
  longer.loader_threads = 3;
  EXPECT_EQ(facts(longer), base) << "may change";
}

TEST_F(Checkpoints, KeepTheNewestAndTheBest) {
  // Class 0 is answered for all but in the second epoch's evaluation... the best epoch is the first: all are
  // equal.
  FitOptions options = plain(6);
  options.checkpoints = {.folder = scratch_ / "run", .every_steps = 2, .keep = 2};
  const auto stopper = std::make_shared<Stopper>(19);
  run_until(stopper, options);
  std::vector<fs::path> left = checkpoints_in(scratch_ / "run");
  const train::Checkpoint last = train::read_checkpoint(left.at(0));
  EXPECT_EQ(last.run.steps, 19);
  EXPECT_EQ(last.version, kVersion);
  ASSERT_LE(left.size(), 3U);
  ASSERT_GE(left.size(), 2U);
  std::vector<std::int64_t> steps;
  for (const fs::path& path : left) steps.push_back(train::read_checkpoint(path).run.steps);
  EXPECT_THAT(steps, testing::Contains(last.run.top_steps));
}

// The checkpoints that are left, by their steps, of a run of one step an epoch whose evaluations have so many
// right answers.
std::vector<std::int64_t> left_of(FitOptions options, const std::vector<int>& correct) {
  nn::Sequential net = test::tiny_network();
  nn::init(net, nn::Scheme::chapter, 1);
  options.batch_size = 4;
  options.checkpoints.every_steps = 1;
  options.checkpoints.keep = 1;
  options.engine_factory = [&](Network network, const EngineOptions&) {
    return std::make_unique<test::Judged>(std::move(network), correct);
  };
  fit(net, test::counted(4), test::counted(4), options);
  std::vector<std::int64_t> steps;
  for (const fs::path& path : checkpoints_in(options.checkpoints.folder))
    steps.push_back(train::read_checkpoint(path).run.steps);
  return steps;
}

TEST_F(Checkpoints, KeepTheFirstOfTheBest) {
  EXPECT_THAT(left_of({.epochs = 4, .checkpoints = {.folder = scratch_ / "run"}}, {1, 3, 3, 2}),
              ElementsAre(4, 2));
}

// A last evaluation of several views is no match for those between epochs.
TEST_F(Checkpoints, KeepTheBestOfEvaluationsThatAreAlike) {
  FitOptions options{.epochs = 3, .views = Views::flip, .checkpoints = {.folder = scratch_ / "run"}};
  EXPECT_THAT(left_of(options, {1, 2, 4, 4}), ElementsAre(3, 2));
  options.epochs = 6;
  options.checkpoints.resume = true;
  EXPECT_THAT(left_of(options, {3, 1, 4, 4}), ElementsAre(6, 4, 3)) << "3: it went on from that";
}

TEST_F(Checkpoints, LeaveNothingUnfinishedBehind) {
  const fs::path folder = scratch_ / "run";
  FitOptions options = two_checkpoints(folder);
  put(folder / ".resnet-0123456789abcdef.tmp", "half of a checkpoint, of a process that was killed");
  outcome(options);
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) names.push_back(entry.path().filename().string());
  EXPECT_THAT(names, testing::Each(testing::StartsWith("step-")));
}

// Puts a file in the place of a folder.
class Spoiler final : public Observer {
 public:
  explicit Spoiler(fs::path folder) : folder_(std::move(folder)) {}
  void on_start(const RunInfo&) override {
    fs::remove_all(folder_);
    put(folder_, "in the way");
  }

 private:
  fs::path folder_;
};

TEST_F(Checkpoints, ThatCannotBeWrittenDoNotEndTheRun) {
  FitOptions options = plain(2);
  const std::string undisturbed = outcome(options);
  options.observers = {std::make_shared<Spoiler>(scratch_ / "run")};
  options.checkpoints = {.folder = scratch_ / "run", .every_steps = 2};
  std::string notes;
  options.checkpoints.note = [&](const std::string& line) { notes += line + "\n"; };
  EXPECT_EQ(outcome(options), undisturbed);
  EXPECT_THAT(notes, HasSubstr("no checkpoint at step 2: cannot write"));
}

TEST_F(Checkpoints, RefuseOptionsThatCannotBe) {
  const auto refusal = [](const CheckpointOptions& options) {
    return message_of<ConfigError>([&] { check(options); });
  };
  EXPECT_THAT(refusal({.every_steps = -1}), HasSubstr("CheckpointOptions::every_steps"));
  EXPECT_THAT(refusal({.every_seconds = -1}), HasSubstr("CheckpointOptions::every_seconds"));
  EXPECT_THAT(refusal({.every_seconds = std::numeric_limits<double>::quiet_NaN()}),
              HasSubstr("a finite number"));
  EXPECT_THAT(refusal({.keep = 0}), HasSubstr("CheckpointOptions::keep"));
  EXPECT_THAT(refusal({.resume = true}), HasSubstr("CheckpointOptions::folder"));
}

}  // namespace
}  // namespace resnet
