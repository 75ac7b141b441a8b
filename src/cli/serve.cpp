// `resnet serve`: a page and answers over HTTP.
#include "resnet/serve.h"

#include <fmt/core.h>

#include <csignal>

#include "base/text.h"
#include "cli/command.h"
#include "cli/stop_signals.h"
#include "settings/options.h"
#include "settings/values.h"

namespace resnet::cli {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t kMost = 1 << 20;

class Serve final : public Command {
 public:
  Serve()
      : Command("serve",
                "A trained network behind HTTP: a page to drop pictures on, POST /predict for programs.") {
    add_run(run_);
    add({.name = "host",
         .placeholder = "ADDRESS",
         .help = "where to listen: 127.0.0.1 is this machine alone, 0.0.0.0 or :: all of its networks",
         .default_text = options_.host,
         .target = &options_.host});
    add({.name = "port",
         .placeholder = "N",
         .help = "0: one that is free, which is said",
         .default_text = std::to_string(options_.port),
         .target = [this](const std::string& text) {
           options_.port = static_cast<int>(settings::parse_count("port", text, 0, 65535));
         }});
    add({.name = "name",
         .placeholder = "HOST,...",
         .help = "names by which a reverse proxy in front is known, such as photos.example",
         .target = [this](const std::string& text) {
           for (const std::string_view name : settings::split_at_commas(text))
             options_.names.emplace_back(name);
         }});
    add({.name = "top",
         .placeholder = "K",
         .help = "classes of an answer, where a request asks for no other number",
         .default_text = std::to_string(options_.top),
         .target = count("top", options_.top, kMost)});
    accept({"batch-size", "tta", "loader-threads", "device", "threads", "precision", "isa", "memory"});
    help_of_answers();
    argument("batch-size").help = "pictures that go through the network together, where so many wait";
    argument("batch-size").default_text = std::to_string(options_.batch_size);
    argument("loader-threads").help = "threads that decode; as many as --threads where it is not given";
    add({.name = "connections",
         .placeholder = "N",
         .help = "open at once; where more come, the one that has been idle longest is closed",
         .default_text = std::to_string(options_.connections),
         .target = [this](const std::string& text) {
           options_.connections = static_cast<int>(settings::parse_count("connections", text, 1, 10000));
         }});
    add({.name = "waiting",
         .placeholder = "N",
         .help = "pictures that wait at once; more are refused with status 503",
         .default_text = std::to_string(options_.waiting),
         .target = count("waiting", options_.waiting, kMost)});
    add({.name = "max-body",
         .placeholder = "SIZE",
         .help = "bytes of a request at most: 512K, 32M",
         .default_text = "32M",
         .target = [this](const std::string& text) {
           options_.body = settings::parse_size("max-body", text);
         }});
    add({.name = "timeout",
         .placeholder = "TIME",
         .help = "for a request to arrive and for its answer to be taken: 90s, 2m",
         .default_text = "60s",
         .target = [this](const std::string& text) {
           options_.seconds = settings::parse_time("timeout", text);
         }});
  }

  int run() override {
    settings::Settings base;
    base.batch_size = options_.batch_size;
    const settings::Settings chosen = from_flags(base);
    auto [file, read] = model_of_run(run_);
    options_.batch_size = chosen.batch_size;
    options_.threads = chosen.loader_threads;
    options_.views = chosen.views;
    options_.title = title_of(file);
    Model model(std::move(read), settings::engine_options(chosen));
    say_other_device(model.engine().device(), chosen, false);
    std::signal(SIGPIPE, SIG_IGN);  // who read where it serves may leave
    stop_at_signals(std::chrono::milliseconds(500),
                    "\nresnet: answering what was asked; once more to end at once\n");
    try {
      Server server(model, options_);
      say(fmt::format("serving {} at {}; Ctrl-C ends it", file.string(), server.address()));
      server.run(stop_requested());
    } catch (
        const ShapeError& error) {  // the network comes from a file: what does not fit is the file's error
      throw FormatError(fmt::format("{}: {}", file.string(), error.what()), error.hint());
    } catch (const ConfigError& error) {
      throw ConfigError(with_flags(error.what()), error.hint());
    }
    return kSignalBase + stop_signal();
  }

 private:
  // Fields of ServeOptions by their flags.
  static std::string with_flags(std::string message) {
    constexpr std::pair<std::string_view, std::string_view> kFlags[] = {
        {"ServeOptions::host", "--host"},       {"ServeOptions::port", "--port"},
        {"ServeOptions::names", "--name"},      {"ServeOptions::top", "--top"},
        {"ServeOptions::body", "--max-body"},   {"ServeOptions::connections", "--connections"},
        {"ServeOptions::seconds", "--timeout"}, {"ServeOptions::batch_size", "--batch-size"},
        {"ServeOptions::waiting", "--waiting"}, {"ServeOptions::threads", "--loader-threads"}};
    for (const auto& [field, flag] : kFlags) settings::name_flag(message, field, flag);
    return message;
  }

  // A run is called as its folder, a file as itself.
  static std::string title_of(const fs::path& file) {
    const fs::path folder = fs::absolute(file).parent_path().filename();
    return file.filename() == "model.safetensors" && !folder.empty() ? folder.string() : file.stem().string();
  }

  std::string run_;
  ServeOptions options_;
};

}  // namespace

std::unique_ptr<Command> make_serve() {
  return std::make_unique<Serve>();
}

}  // namespace resnet::cli
