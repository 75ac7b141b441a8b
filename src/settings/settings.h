// The settings of a run, declared once: flags, help, config.toml and documentation follow from the
// table in settings/options.h.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "data/sources.h"
#include "resnet/data.h"
#include "resnet/models.h"
#include "resnet/train.h"

namespace resnet::settings {

/// What a person may set, with the chapter's values.
struct Settings {
  std::string data{data::data_sources().front().name};
  std::string data_dir;
  // Of the examples that a run used (data::content_sha256); "" where it is not known. In config.toml alone.
  std::string train_sha256, test_sha256, val_sha256;
  data::Resize resize{96};
  double val_split = data::DatasetOptions{}.val_split;
  std::string on_bad_file = "stop";
  std::string jpeg = "full";  // or "draft"
  std::string cache = "none";
  std::string cache_size;  // "": CacheOptions' own
  std::string resize_filter = "bilinear";
  data::Crop crop;
  std::string normalize = "none";  // "imagenet", or means and deviations
  std::int64_t limit_train = 0, limit_test = 0;

  std::string model = "d2l_resnet18";
  models::ResNetOptions network;  // what is not given: the model's own; channels in and classes: the data's
  Shape input;                    // rank 0: from the data

  std::string recipe = "chapter";
  std::int64_t batch_size = 256, epochs = 10, steps = 0;
  std::vector<StepChange> step_changes;
  double seconds = 0;  // 0: no bound
  bool drop_last = false;
  float lr = 0.05F;
  std::string augment = "none";  // names of transforms, with commas between
  std::string augment_filter = "nearest";
  std::string jitter;  // "": none
  data::RandomErasing erasing{.probability = 0};
  double mixup = 0, cutmix = 0;
  std::int64_t cutout = 0;
  data::RandomResizedCrop resized_crop;
  std::int64_t crop_padding = data::PaddingCrop{}.padding;
  double rotate_degrees = data::Rotation{}.degrees;
  std::int64_t rand_operations = data::RandAugment{}.operations;
  std::int64_t rand_magnitude = data::RandAugment{}.magnitude;
  int loader_threads = 0;  // 0: as FitOptions::loader_threads
  std::uint64_t seed = 0;
  std::int64_t seeds = 1;  // runs, of `seed` and those that follow
  std::string optimizer = "sgd";
  double momentum = 0, beta1 = 0.9, beta2 = 0.999;
  bool nesterov = false;
  std::optional<double> weight_decay;  // none: the optimiser's own
  bool decay_all = true;
  std::string freeze;  // names of parts of the network, with commas between
  double lr_head = 1, lr_norm_bias = 1;
  std::string lr_parts;  // parts with factors of their rates: parse_factors()
  ScheduleOptions schedule;
  double label_smoothing = 0;
  std::string class_weights = "none";
  AverageOptions average;
  std::int64_t accumulate = 1;
  double clip_norm = 0;
  std::string sampler = "shuffled";
  std::string on_nan = "stop";
  std::int64_t patience = 0;
  Views views = Views::one;
  std::string init;         // "": none; a file of weights
  std::string init_sha256;  // weights_sha256 of what it held, in config.toml alone; "": not known
  bool dirac = false, zero_gamma = false, whiten = false;

  int threads = 0;     // 0: as EngineOptions::threads
  std::string isa;     // "": the strongest
  std::string memory;  // "": the machine's
  Precision precision = Precision::f32;
  std::string device = "auto";
  std::string out;
  bool tensorboard = false;
  std::int64_t checkpoint_steps = 0;  // both 0: no checkpoints
  double checkpoint_seconds = CheckpointOptions{}.every_seconds;
  std::int64_t keep = CheckpointOptions{}.keep;
};

/// Options and their texts, as they were given.
using Given = std::vector<std::pair<std::string, std::string>>;
/// Sets `given` in `settings`: its recipe first, wherever it stands, so that all else wins over it. Throws
/// ConfigError for what is no option, or a text that an option cannot take.
void set_all(const Given& given, Settings& settings);

/// How every config.toml of to_toml() begins.
inline constexpr const char* kTomlHeading = "# A run of resnet train;";

/// The settings so that they mean the same from everywhere: folders are absolute, and one that
/// $RESNET_DATA_DIR gave is named. A folder of data whose path is not UTF-8, which TOML cannot hold, is a
/// ConfigError; such an `out`, which nothing depends on, is left out.
Settings with_whole_paths(Settings settings);
/// SHA-256 of the weights in the file of --init.
std::string init_sha256(const Settings& settings);
/// The same as a run's config.toml keeps them: the examples are known by their content too.
Settings recorded(Settings settings, const data::TrainTest& sets);
/// Whether `dataset` has the examples that `run` used of this split; true where `run` does not say.
bool is_data_of(const Settings& run, data::Split split, const data::Dataset& dataset);
/// The same of all that it used.
bool is_data_of(const Settings& run, const data::TrainTest& sets);

/// A complete config.toml, from which `resnet train --config` repeats the run.
std::string to_toml(const Settings& settings);
/// `name = value` lines, and those of the network in a table [model] too, where `name` is the model's. A list
/// of numbers means them with commas between. Throws FormatError for what is not TOML, not an option, or a
/// value that the option cannot take.
Settings from_toml(const std::string& text, const std::string& file);

// What the settings say to the library.
nn::Sequential make_model(const Settings& settings, std::int64_t in_channels, std::int64_t classes);
/// `watch` has the functions that a scan calls, if any. What is read in every epoch has the settings'
/// cache, one split alone has none.
data::TrainTest open_data(const Settings& settings, const data::DatasetOptions& watch = {});
data::Dataset open_data(const Settings& settings, data::Split split, const data::DatasetOptions& watch = {});
/// The pictures as a model takes them, whatever the settings say of that.
data::Dataset open_data(const Settings& settings, data::Split split, const data::DatasetOptions& watch,
                        const data::Preprocessing& of_model);
data::CacheOptions cache_options(const Settings& settings);
data::Augmentation augmentation(const Settings& settings);
/// An option that has no use, and `why`: "without --augment rand".
struct Idle {
  std::string option, why;
};
/// Of changes of the examples that are not chosen.
std::vector<Idle> idle_augment_options(const Settings& settings);
EngineOptions engine_options(const Settings& settings);
using Tell = std::function<void(const std::string& line)>;
/// Gives the parameters of `net` their first values: the model's own scheme and the seed, and what else the
/// settings say. Tells what was decided about the file that they name, and what does not fit, a line each.
/// Throws as load_weights(), and FormatError where the file has other weights than init_sha256 says.
void initialise(nn::Module& net, const Settings& settings, const data::Dataset& train, const Tell& tell);
/// The model and those of training that are not the chapter's, "momentum 0.9, nesterov yes"; "" if there are
/// none.
std::string chosen_text(const Settings& settings);
/// Batches and their order as fit() with fit_options() has them, in NCHW.
data::Loader training_loader(const Settings& settings, const data::Dataset& train);
data::Order training_order(const Settings& settings, const data::Dataset& train);
/// Of training `net` on `train`: groups follow from its parameters, class weights from its labels.
FitOptions fit_options(const Settings& settings, const nn::Module& net, const data::Dataset& train);
/// Of a run in `run`.
CheckpointOptions checkpoint_options(const Settings& settings, const std::filesystem::path& run);

}  // namespace resnet::settings
