// `resnet data`: what a data set holds.
#include <fmt/core.h>

#include <algorithm>
#include <iostream>
#include <map>
#include <optional>

#include "base/files.h"
#include "base/joined.h"
#include "base/json.h"
#include "base/text.h"
#include "cli/command.h"
#include "data/contact_sheet.h"
#include "data/survey.h"
#include "io/safetensors.h"
#include "resnet/folder.h"
#include "resnet/images.h"
#include "settings/options.h"

namespace resnet::cli {
namespace {

class Data final : public Command {
 public:
  Data() : Command("data", "What a data set holds: classes, sizes, duplicates, files that cannot be read.") {
    accept_data();
    accept({"data", "data-dir", "resize", "resize-filter", "crop", "normalize", "jpeg", "val-split", "seed",
            "recipe", "augment", "batch-size", "drop-last", "steps", "sampler", "limit-train"});
    add_config(config_);
    argument("steps").help = "batches that --save-batches writes; 0: those of an epoch";
    add({.name = "save-batches",
         .placeholder = "FILE",
         .help = "write the first batches of a training as safetensors: 0.images, 0.labels, ...",
         .target = &batches_});
    add({.name = "epoch",
         .placeholder = "N",
         .help = "epoch of the training that --save-batches begins with",
         .default_text = "1",
         .target = count("epoch", epoch_, std::int64_t{1} << 20)});
    add({.name = "sheet",
         .placeholder = "FILE",
         .help = "write a PNG with pictures of each class as the network sees them in training",
         .target = &sheet_});
    add({.name = "json", .help = "print the figures as JSON", .target = &json_});
  }

  int run() override {
    settings::Settings base = settings_in(config_);
    base.on_bad_file = "skip";
    base.steps = 0;  // those of the run; here it is what is written
    base.step_changes.clear();
    base = with_data(std::move(base));
    const settings::Settings chosen =
        from_flags(config_.empty() ? with_recipe(std::move(base)) : std::move(base));
    check_flags(chosen);
    std::optional<data::FolderScan> scan;
    data::DatasetOptions watch = told_scan(json_);
    watch.scanned = [&](const data::FolderScan& found) { scan = found; };
    const data::TrainTest sets = settings::open_data(chosen, keeping(std::move(watch), outputs()));
    const data::Survey found = data::survey(sets);
    std::vector<std::string> notes = scan ? notes_of(*scan) : std::vector<std::string>();
    if (const std::string note = note_of_missing_classes(sets.train); !note.empty()) notes.push_back(note);
    if (!config_.empty() && !settings::is_data_of(chosen, sets))
      notes.push_back(fmt::format("the run of {} had other examples", config_));
    const std::vector<data::BadFile> bad = scan ? scan->bad : std::vector<data::BadFile>();
    const SameFiles same = scan ? same_files(*scan) : SameFiles();
    if (json_) {
      print_json(sets.train, found, same, bad, scan ? scan->others : std::map<std::string, std::int64_t>(),
                 notes);
    } else {
      print_table(sets.train, found, same, bad, notes);
    }
    if (!sheet_.empty()) {
      const auto png = images::encode_png(
          data::contact_sheet(sets.train, {.augment = settings::augmentation(chosen), .seed = chosen.seed}));
      const std::span<const std::byte> bytes = std::as_bytes(std::span(png));
      write_file(sheet_, std::span(&bytes, 1));
    }
    if (!batches_.empty()) save_batches(chosen, sets.train);
    return kDone;
  }

 private:
  std::vector<Output> outputs() const { return {{"--sheet", sheet_}, {"--save-batches", batches_}}; }

  // Flags of outputs that were not asked for.
  void check_flags(const settings::Settings& chosen) const {
    check_outputs(outputs());
    if (batches_.empty())
      refuse({"epoch", "steps", "batch-size", "drop-last", "sampler"}, "without --save-batches FILE");
    if (batches_.empty() && sheet_.empty()) {
      const char* const without = "without --sheet FILE or --save-batches FILE";
      refuse({"recipe"}, without);
      refuse(settings::augment_options(), without);
    }
    refuse_idle_changes(chosen);
    if (chosen.jpeg != "full" && !data::is_folder_of_pictures(data::full_name(chosen.data)))
      refuse({"jpeg"}, "without a folder of pictures");
    if (!chosen.step_changes.empty()) throw ConfigError("--steps is one number here");
  }

  void save_batches(const settings::Settings& chosen, const data::Dataset& train) const {
    if (train.size() == 0)
      throw ConfigError(fmt::format("--save-batches: {} has no example to train on", train.name()),
                        "give a smaller --val-split, or pictures in train/");
    data::Loader loader = settings::training_loader(chosen, train);
    if (loader.batches() == 0) {
      throw ConfigError(fmt::format("--save-batches: --drop-last leaves no batch of {} of {} examples",
                                    chosen.batch_size, train.size()),
                        "give a smaller --batch-size");
    }
    const data::Order order = settings::training_order(chosen, train);
    const std::int64_t count = chosen.steps > 0 ? chosen.steps : loader.batches();
    constexpr std::int64_t kMostBytes = std::int64_t{1} << 32;  // they are in memory before they are written
    const std::int64_t bytes =
        std::min(chosen.batch_size, train.size()) * train.example_shape().elements() * 4;
    if (count > kMostBytes / bytes) {
      throw ConfigError(
          fmt::format("--save-batches: {} batches of {} bytes are more than 4 GiB", count, bytes),
          bytes > kMostBytes ? "give a smaller --batch-size" : "give fewer --steps");
    }
    io::NamedTensors tensors;
    std::int64_t done = 0;
    for (std::int64_t epoch = epoch_ - 1; done < count; ++epoch) {
      loader.start(order, epoch);
      while (const data::Batch* batch = done < count ? loader.next() : nullptr) {
        const std::string name = std::to_string(done++) + ".";
        tensors.emplace_back(name + "images", batch->images);
        tensors.emplace_back(name + "labels", batch->labels);
        if (batch->mixed_labels.empty()) continue;
        tensors.emplace_back(name + "mixed_labels", batch->mixed_labels);
        tensors.emplace_back(name + "mix", batch->mix);
      }
    }
    io::write_safetensors(batches_, tensors);
  }

  using SameFiles = std::vector<std::vector<std::string>>;  // the files of a picture

  // Pictures that several files hold, first those that lie in more than one class.
  static SameFiles same_files(const data::FolderScan& scan) {
    std::vector<std::vector<std::size_t>> same = data::same_pictures(scan);
    std::stable_partition(same.begin(), same.end(), [&](const std::vector<std::size_t>& files) {
      return std::ranges::any_of(
          files, [&](std::size_t i) { return scan.pictures[i].label != scan.pictures[files.front()].label; });
    });
    SameFiles result;
    for (const std::vector<std::size_t>& files : same) {
      std::vector<std::string>& names = result.emplace_back();
      for (const std::size_t i : files) names.push_back(scan.pictures[i].path.string());
    }
    return result;
  }

  static Json json_of(const data::Survey::Range& range) {
    return Json::object({{"min", range.least}, {"median", range.median}, {"max", range.most}});
  }

  static void print_json(const data::Dataset& train, const data::Survey& found, const SameFiles& same,
                         const std::vector<data::BadFile>& bad,
                         const std::map<std::string, std::int64_t>& others,
                         const std::vector<std::string>& notes) {
    Json classes = Json::list();
    for (const data::Survey::Class& of : found.classes) {
      Json json = Json::object({{"name", of.name}, {"train", of.train}, {"test", of.test}});
      if (found.validation > 0) json.add("validation", of.validation);
      classes.push_back(std::move(json));
    }
    Json same_json = Json::list();
    for (const std::vector<std::string>& files : same) same_json.push_back(files);
    Json bad_files = Json::list();
    for (const data::BadFile& file : bad) {
      bad_files.push_back(Json::object({{"file", file.path.string()}, {"why", file.why}}));
    }
    Json other_files = Json::object();
    for (const auto& [ending, count] : others) other_files.add(ending, count);
    Json object = Json::object({{"data", train.name()},
                                {"train", found.train},
                                {"test", found.test},
                                {"classes", classes},
                                {"height", json_of(found.height)},
                                {"width", json_of(found.width)},
                                {"duplicates", found.twice.pictures},
                                {"in_classes", found.twice.in_classes},
                                {"overlaps", found.twice.overlaps},
                                {"same_pictures", same_json},
                                {"bad_files", bad_files},
                                {"other_files", other_files},
                                {"notes", notes}});
    if (found.validation > 0) {
      object.add("validation", found.validation);
      object.add("val_overlaps", found.twice.val_overlaps);
    }
    std::cout << object.dump({.replace = true}) << '\n';  // paths need not be UTF-8
  }

  static void print_table(const data::Dataset& train, const data::Survey& found, const SameFiles& same,
                          const std::vector<data::BadFile>& bad, const std::vector<std::string>& notes) {
    const bool watched = found.validation > 0;
    fmt::print("{}: {} pictures to train on, {}{} to test on, {} classes\n", printable(train.name()),
               found.train, watched ? fmt::format("{} to validate on, ", found.validation) : "", found.test,
               found.classes.size());
    fmt::print("height {} to {} pixels, median {}; width {} to {}, median {}\n", found.height.least,
               found.height.most, found.height.median, found.width.least, found.width.most,
               found.width.median);
    fmt::print(
        "{}, {} in more than one class, {} of the test in the training set too{}\n\n",
        counted(found.twice.pictures, "duplicate", "duplicates"),
        counted(found.twice.in_classes, "picture", "pictures"), found.twice.overlaps,
        watched ? fmt::format(", {} of the validation set in one of these", found.twice.val_overlaps) : "");
    fmt::print("{:<32} {:>8}{} {:>8}\n", "class", "train", watched ? fmt::format(" {:>8}", "val") : "",
               "test");
    for (const data::Survey::Class& of : found.classes) {
      constexpr std::size_t kMostBytes = 60;
      fmt::print("{:<32} {:>8}{} {:>8}\n", shown(of.name, kMostBytes), of.train,
                 watched ? fmt::format(" {:>8}", of.validation) : "", of.test);
    }
    constexpr std::size_t kMostSame = 20, kMostLine = 200;
    for (std::size_t i = 0; i < std::min(same.size(), kMostSame); ++i)
      fmt::print("{}one picture: {}\n", i == 0 ? "\n" : "", shown(joined(same[i], ", "), kMostLine));
    if (same.size() > kMostSame) fmt::print("and {} more, which --json lists\n", same.size() - kMostSame);
    if (!bad.empty()) fmt::print("\ncannot be read: {}\n", bad.size());
    for (const data::BadFile& file : bad)
      fmt::print("  {}: {}\n", printable(file.path.string()), printable(file.why));
    if (!notes.empty()) fmt::print("\n");
    for (const std::string& note : notes) fmt::print("note: {}\n", printable(note));
  }

  std::string config_, sheet_, batches_;
  std::int64_t epoch_ = 1;
  bool json_ = false;
};

}  // namespace

std::unique_ptr<Command> make_data() {
  return std::make_unique<Data>();
}

}  // namespace resnet::cli
