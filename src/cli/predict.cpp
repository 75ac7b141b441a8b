#include "resnet/predict.h"

#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>

#include "base/files.h"
#include "base/text.h"
#include "cli/command.h"
#include "data/listing.h"
#include "resnet/folder.h"
#include "resnet/images.h"
#include "resnet/report.h"
#include "train/prediction.h"

namespace resnet::cli {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t kTogether = 32;  // pictures that go through the network together

class Predict final : public Command {
 public:
  Predict() : Command("predict", "Labels for pictures, by a trained network.") {
    add_run(run_, "runs/resnet18-1 photo.jpg");
    add({.name = "FILE",
         .help = "pictures, folders of pictures, or - for a picture from standard input",
         .target = &files_,
         .positional = true,
         .example = "runs/resnet18-1 photo.jpg"});
    add({.name = "top",
         .placeholder = "K",
         .help = "classes of an answer, the likeliest first",
         .default_text = "3",
         .target = count("top", top_, std::int64_t{1} << 16)});
    accept({"batch-size", "tta", "loader-threads", "device", "threads", "precision", "isa", "memory"});
    argument("batch-size").default_text = std::to_string(kTogether);
    help_of_answers();
    add({.name = "json", .help = "print one array of JSON objects", .target = &json_});
    add({.name = "csv", .help = "print CSV, a line for each picture", .target = &csv_});
  }

  int run() override {
    if (json_ && csv_) throw ConfigError("--json and --csv are two forms of one output", "give one of them");
    if (files_.size() > 1 && std::ranges::find(files_, "-") != files_.end())
      throw ConfigError("- is standard input, which cannot be given beside files", "give it alone, or ./-");
    settings::Settings base;
    base.batch_size = kTogether;
    const settings::Settings chosen = from_flags(base);
    auto [file, read] = model_of_run(run_);
    Model model(std::move(read), settings::engine_options(chosen));
    say_other_device(model.engine().device(), chosen, json_ || csv_);
    try {
      answer(model, chosen);
    } catch (
        const ShapeError& error) {  // the network comes from a file: what does not fit is the file's error
      throw FormatError(fmt::format("{}: {}", file.string(), error.what()), error.hint());
    }
    if (failed_ == 0) return kDone;
    report(fmt::format("{} of {} pictures have no answer", failed_, shown_),
           "they are named above; the others have theirs");
    return kFailed;
  }

 private:
  // An array is closed whatever happens in it.
  void answer(Model& model, const settings::Settings& chosen) {
    const bool from_pipe = files_ == std::vector<std::string>{"-"};
    const std::vector<fs::path> files = from_pipe ? std::vector<fs::path>() : pictures();
    const auto end = [this] {
      if (json_) fmt::print("{}]\n", shown_ > 0 ? "\n" : "");
    };
    if (json_) fmt::print("[");
    try {
      answer(model, chosen, files, from_pipe);
    } catch (...) {
      end();
      throw;
    }
    end();
  }

  void answer(Model& model, const settings::Settings& chosen, const std::vector<fs::path>& files,
              bool from_pipe) {
    if (csv_) {
      fmt::print("file,error");
      for (std::int64_t k = 1; k <= top_; ++k) fmt::print(",label_{0},probability_{0}", k);
      fmt::print("\n");
    }
    for (const Prediction& unlisted : unlisted_) show(unlisted);
    if (from_pipe) {
      show(from_stdin(model, chosen.views));
    } else if (!files.empty()) {
      // Where the answers themselves are seen no bar stands among them.
      const std::function<void(std::int64_t)> seen =
          ::isatty(STDOUT_FILENO) == 1 ? [](std::int64_t) {}
                                       : predict_progress(static_cast<std::int64_t>(files.size()));
      predict(model, files,
              {.top = top_,
               .batch_size = chosen.batch_size,
               .threads = chosen.loader_threads,
               .views = chosen.views},
              [&](const Prediction& prediction) {
                show(prediction);
                seen(shown_ - std::ssize(unlisted_));
              });
    }
  }

  Prediction from_stdin(Model& model, Views views) const {
    Prediction prediction;
    try {
      InputFile input("standard input", STDIN_FILENO);
      const std::vector<std::byte> bytes = read_file(input, images::Limits{}.file_bytes);
      prediction = resnet::predict(model, {reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()},
                                   {.top = top_, .views = views});
    } catch (const ShapeError&) {
      throw;  // of the network
    } catch (const Error& error) {
      prediction.error = error.what();
    }
    prediction.file = "-";
    return prediction;
  }

  // What the arguments name, folders by the pictures in them. A file that is named is taken for a picture
  // whatever it is called.
  std::vector<fs::path> pictures() {
    std::vector<fs::path> result;
    for (const fs::path name : files_) {
      if (!is_folder(name)) {
        result.push_back(name);
        continue;
      }
      data::Listing inside;
      try {
        inside = data::list_folder(name);
        if (inside.files.empty() && inside.bad.empty())
          throw IoError(fmt::format("{} holds no pictures", name.string()), "JPEG, PNG, WebP, BMP or PPM");
      } catch (const IoError& error) {
        if (files_.size() == 1) throw;
        unlisted_.push_back({name, error.what(), {}});
        continue;
      }
      data::FolderScan left_out;  // what has no answer
      left_out.others = inside.others;
      left_out.links = inside.links;
      for (const std::string& note : notes_of(left_out))
        say(fmt::format("note: {}: {}", name.string(), note));
      for (const data::BadFile& bad : inside.bad)
        unlisted_.push_back(
            {name / bad.path, fmt::format("{}: {}", (name / bad.path).string(), bad.why), {}});
      for (const data::ListedFile& file : inside.files) result.push_back(name / file.path);
    }
    return result;
  }

  void show(const Prediction& prediction) {
    ++shown_;
    if (!prediction.error.empty()) ++failed_;
    if (json_) {
      show_json(prediction);
    } else if (csv_) {
      show_csv(prediction);
    } else {
      show_line(prediction);
    }
    if (!prediction.error.empty()) say("resnet: " + prediction.error);
  }

  void show_json(const Prediction& prediction) const {
    fmt::print("{}\n{}", shown_ > 1 ? "," : "", train::json_of(prediction).dump({.replace = true}));
  }

  void show_csv(const Prediction& prediction) const {
    fmt::print("{},{}", printable_field(prediction.file.string()), printable_field(prediction.error));
    for (std::size_t k = 0; k < static_cast<std::size_t>(top_); ++k) {
      if (k < prediction.top.size()) {
        fmt::print(",{},{}", printable_field(prediction.top[k].first), prediction.top[k].second);
      } else {
        fmt::print(",,");
      }
    }
    fmt::print("\n");
  }

  static void show_line(const Prediction& prediction) {
    if (!prediction.error.empty()) return;
    constexpr std::size_t kMostBytes = 60;  // of a class's name, which a file chose
    std::string line = printable(prediction.file.string()) + ":";
    for (std::size_t k = 0; k < prediction.top.size(); ++k) {
      line += fmt::format("{} {} {:.1f} %", k > 0 ? "," : "", shown(prediction.top[k].first, kMostBytes),
                          100 * static_cast<double>(prediction.top[k].second));
    }
    fmt::print("{}\n", line);
  }

  std::string run_;
  std::vector<std::string> files_;
  std::vector<Prediction> unlisted_;  // folders, and what is in them, that could not be looked at
  std::int64_t top_ = 3;
  bool json_ = false, csv_ = false;
  std::int64_t failed_ = 0, shown_ = 0;
};

}  // namespace

std::unique_ptr<Command> make_predict() {
  return std::make_unique<Predict>();
}

}  // namespace resnet::cli
