// What must be the same when a run goes on. A new option of a run that changes its numbers is one line here;
// the test Facts.DifferForEveryOptionThatChangesARun says so.
#include <fmt/core.h>

#include <type_traits>

#include "base/sha256.h"
#include "compiler/optimizer.h"
#include "io/model_metadata.h"
#include "resnet/model_file.h"
#include "train/batches.h"
#include "train/checkpoint.h"

namespace resnet::train {
namespace {

// What the bits of this precision follow from: one instruction more changes none in f32
// (tests/golden/hashes).
std::string bits_of(const std::string& target, Precision precision) {
  return target == "avx512_bf16" && precision == Precision::f32 ? "avx512" : target;
}

class List {
 public:
  template <class T>
  void add(const std::string& name, const T& value) {
    if constexpr (std::is_enum_v<T>) {
      facts.emplace_back(name, std::to_string(static_cast<int>(value)));
    } else if constexpr (std::is_same_v<T, bool>) {
      facts.emplace_back(name, value ? "yes" : "no");
    } else {
      facts.emplace_back(name, fmt::format("{}", value));
    }
  }

  Facts facts;
};

void add_optimizer(List& list, const OptimizerOptions& optimizer) {
  list.add("FitOptions::optimizer", compiler::name_of(optimizer));
  for (const auto& [name, value] : compiler::facts_of(optimizer)) list.add(name, value);
  list.add("OptimizerOptions::decay_norms_and_biases", optimizer.decay_norms_and_biases);
  std::string groups;
  for (const ParameterGroup& group : optimizer.groups) {
    groups += fmt::format("{}: lr x {}, decay x {}{}\n", group.names, group.lr_factor, group.decay_factor,
                          group.frozen ? ", frozen" : "");
  }
  list.add("rates, decays and frozen parts of parameters", groups);
}

void add_schedule(List& list, const ScheduleOptions& schedule) {
  list.add("ScheduleOptions::kind", schedule.kind);
  list.add("ScheduleOptions::warmup_epochs", schedule.warmup_epochs);
  list.add("ScheduleOptions::start", schedule.start);
  list.add("ScheduleOptions::final", schedule.final);
  list.add("ScheduleOptions::peak", schedule.peak);
  list.add("ScheduleOptions::power", schedule.power);
  list.add("ScheduleOptions::gamma", schedule.gamma);
  list.add("ScheduleOptions::every_epochs", schedule.every_epochs);
  list.add("ScheduleOptions::low_momentum",
           schedule.low_momentum ? fmt::format("{}", *schedule.low_momentum) : "none");
}

void add_data(List& list, const data::Dataset& train, const data::Dataset& test) {
  list.add("training examples", train.content_sha256());
  list.add("test examples", test.content_sha256());
  std::string classes;
  for (const std::string& name : train.classes()) classes += name + '\0';
  list.add("class names", sha256_of(classes));
  list.add("preprocessing", to_json(train.preprocessing()));
}

}  // namespace

Facts facts_of(const FitOptions& options, const Network& network, const Engine& engine,
               const data::Dataset& train, const data::Dataset& test) {
  List list;
  const DeviceInfo device = engine.device();
  const std::string kind = device.kind.substr(0, device.kind.find(':'));  // whichever GPU of them
  list.add("device", kind);
  list.add("EngineOptions::precision", name_of(options.engine.precision));  // before what follows from it
  list.add(kind == device.kind ? "EngineOptions::isa" : "the architecture",
           bits_of(device.target, options.engine.precision));
  list.add("fusion", options.engine.fuse);
  list.add("FitOptions::seed", options.seed);
  list.add("FitOptions::batch_size", options.batch_size);
  list.add("FitOptions::accumulate", options.accumulate);
  list.add("FitOptions::drop_last", options.drop_last);
  list.add("FitOptions::balanced", options.balanced);
  list.add("random changes of training images", to_json(options.augment));
  list.add("FitOptions::lr", options.lr);
  list.add("FitOptions::clip_norm", options.clip_norm);
  list.add("FitOptions::patience", options.patience);
  list.add("FitOptions::views", options.views);
  add_optimizer(list, options.optimizer);
  add_schedule(list, options.schedule);
  list.add("LossOptions::label_smoothing", options.loss.label_smoothing);
  std::string weights;
  for (const double weight : options.loss.class_weights) weights += fmt::format("{} ", weight);
  list.add("LossOptions::class_weights", weights);
  list.add("AverageOptions::decay", options.average.decay);
  list.add("steps between updates of the average", options.average.every);
  add_data(list, train, test);
  list.add("validation examples", options.validation ? options.validation->content_sha256() : "none");
  list.add("network", sha256_of(to_json(network.train ? *network.train : network.eval)));
  return list.facts;
}

Checkpoint blank_checkpoint(const FitOptions& options, const nn::Module& net, const Engine& engine,
                            const data::Dataset& train, const data::Dataset& test) {
  Checkpoint checkpoint;
  checkpoint.libraries = libraries_of(engine.device());
  checkpoint.facts = facts_of(options, network_of(net, batch_shape(options, train)), engine, train, test);
  checkpoint.network = io::metadata_of(model_of(net, train), options.checkpoints.folder);
  return checkpoint;
}

}  // namespace resnet::train
