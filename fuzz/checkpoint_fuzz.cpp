// Checkpoints. The first byte says what the others are: the file (bit 0 clear), or parts of one whose hash is
// made right: the texts of its metadata, in the order of their names and with NUL bytes between, and behind
// them choices of what becomes of its tensors. What is accepted is a state from which a run goes on to its
// end, as long as it should be.
#include <algorithm>

#include "base/random.h"
#include "choices.h"
#include "found.h"
#include "io/model_hash.h"
#include "io/model_metadata.h"
#include "io/safetensors.h"
#include "resnet/model_file.h"
#include "resnet/nn.h"
#include "resnet/train.h"
#include "target.h"
#include "train/checkpoint.h"

namespace resnet::fuzz {
namespace {

namespace fs = std::filesystem;

constexpr const char* kName = "step-000000003.safetensors";

// Gray pictures of 4x4, of two classes.
class Pictures final : public data::Dataset::Source {
 public:
  explicit Pictures(std::int64_t size) : size_(size) {}
  std::int64_t size() const override { return size_; }
  std::int32_t label(std::int64_t i) const override { return static_cast<std::int32_t>(i % 2); }
  void image(std::int64_t i, data::Image& out) const override {
    out = {4, 4, 1, std::vector<std::uint8_t>(16, static_cast<std::uint8_t>(40 * i))};
  }

 private:
  std::int64_t size_;
};

constexpr std::int64_t kSteps = 4;  // two epochs of two

FitResult train(FitOptions options) {
  static const auto pictures = [](std::int64_t size) {
    return data::Dataset(std::make_shared<Pictures>(size), "pictures", {"a", "b"}, {}, Shape{1, 4, 4});
  };
  static const data::Dataset kTrain = pictures(4), kTest = pictures(2);
  options.epochs = 2;
  options.batch_size = 2;
  options.loader_threads = 1;
  options.engine.threads = 1;
  options.optimizer.method = SgdOptions{.momentum = 0.9};
  options.average.decay = 0.5;
  options.patience = 7;
  options.checkpoints.folder = kFolder;
  options.checkpoints.every_seconds = 0;
  options.checkpoints.every_epoch = false;
  nn::Sequential net(nn::Flatten{}, nn::Linear{16, 2}, nn::Dropout{0.5});
  return fit(net, kTrain, kTest, options);
}

// The file of a run within its second epoch.
const std::string& whole() {
  static const std::string kFile = [] {
    test::SimulatedDisk disk(file_system());
    const test::FilesReplaced replaced(disk);
    FitOptions options;
    options.checkpoints.every_steps = 3;
    train(options);
    const auto bytes = read_file(fs::path(kFolder) / kName);
    return std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  }();
  return kFile;
}

io::Safetensors content() {
  static const io::Safetensors kContent = io::parse_safetensors(std::as_bytes(std::span(whole())), kName);
  return kContent;
}

// Puts another number in the place of one of a text's.
void change_number(std::string& text, Choices& choices) {
  static const std::vector<std::string> kNumbers =
      words_of("0 1 2 3 4 5 7 -1 -2 100 0.5 1e308 9007199254740992 9007199254740993 9223372036854775807");
  constexpr const char* kDigits = "0123456789";
  std::size_t begin = text.find_first_of(kDigits);
  for (std::size_t left = choices.byte() % 64; left > 0 && begin != std::string::npos; --left) {
    begin = text.find_first_not_of(kDigits, begin);
    if (begin != std::string::npos) begin = text.find_first_of(kDigits, begin);
  }
  if (begin == std::string::npos) return;
  text.replace(begin, text.find_first_not_of(kDigits, begin) - begin, choices.of(kNumbers));
}

void change(io::Safetensors& file, Choices& choices) {
  if (choices.one_in(2)) {
    return change_number(file.metadata["resnet.run"], choices);
  }
  io::NamedTensors& tensors = file.tensors;
  auto& [name, tensor] = tensors[choices.below(tensors.size())];
  switch (choices.below(6)) {
    case 0:
      tensors.erase(tensors.begin() + static_cast<std::ptrdiff_t>(choices.below(tensors.size())));
      break;
    case 1:
      name += static_cast<char>(choices.between('a', 'z'));
      break;
    case 2:
      tensor = Tensor(Shape{choices.between(0, 3), choices.between(0, 4)},
                      choices.one_in(2) ? DType::f64 : DType::i64);
      break;
    case 3:
      std::swap(tensor, tensors[choices.below(tensors.size())].second);
      break;
    case 4:
      std::swap(name, tensors[choices.below(tensors.size())].first);
      break;
    default:
      if (tensor.bytes() == 0) return;
      tensor.raw()[choices.below(tensor.bytes())] = std::byte{choices.byte()};
  }
}

// A file of the parts, "" if there is none.
std::string made(std::string_view parts) {
  io::Safetensors file = content();
  for (auto& [key, text] : file.metadata) {
    if (key == io::kCheckpointHashKey) continue;
    const std::size_t nul = std::min(parts.find('\0'), parts.size());
    text = parts.substr(0, nul);
    parts.remove_prefix(std::min(parts.size(), nul + 1));
  }
  Choices choices(bytes_of(parts));
  while (!choices.at_end() && !file.tensors.empty()) change(file, choices);
  file.metadata[io::kCheckpointHashKey] = io::checkpoint_hash(file.tensors, file.metadata);
  return with_files({}, [&] {
    const fs::path path = fs::path(kFolder) / kName;
    try {
      io::write_safetensors(path, file.tensors, file.metadata);
    } catch (const FormatError&) {  // which no file can hold
      return std::string();
    }
    const auto bytes = read_file(path);
    return std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  });
}

bool run(std::string_view input) {
  const bool parts = !input.empty() && (input.front() & 1) != 0;
  input.remove_prefix(std::min<std::size_t>(input.size(), 1));
  const std::string file = parts ? made(input) : std::string(input);
  return with_files({{kName, file}}, [&] {
    return accepted<FormatError, ConfigError>(kFolder, [&] {
      const train::Checkpoint checkpoint = train::read_checkpoint(fs::path(kFolder) / kName);
      FitOptions options;
      options.checkpoints.resume = true;
      FitResult result;
      try {
        result = train(options);
      } catch (const FormatError&) {
        throw;
      } catch (const ConfigError&) {
        throw;
      } catch (const Error& error) {  // a run that is no longer finite ends so
        return check_message(error, "");
      }
      demand(result.steps >= checkpoint.run.steps, "steps were lost");
      demand(result.steps <= std::max(kSteps, checkpoint.run.steps), "a run that is too long");
    });
  });
}

}  // namespace

Target checkpoint_target() {
  const std::string nul(1, '\0');
  std::string parts = "\x01";
  for (const auto& [key, text] : content().metadata) {
    if (key != io::kCheckpointHashKey) parts += text + nul;
  }
  Target target{"checkpoint", run, {nul + whole(), parts}, {}};
  for (char c = 0; c < 16; ++c) target.seeds.push_back(parts + std::string(3, static_cast<char>(16 * c + 1)));
  target.words =
      words_of(R"({ } [ ] : , null true "" -1 0 1 2 3 4 5 1e308 -1e308 9007199254740992 9223372036854775807
                             [[1,2]] [[3,100]] [[-1,-1]] "epoch":1 "batch":2 "steps":4 "epochs":2 "best_epoch":1)");
  return target;
}

}  // namespace resnet::fuzz
