#include "fault/allocation_cases.h"

#include <gtest/gtest.h>
#include <zlib.h>

#include <cstdlib>
#include <fstream>
#include <map>

#include "base/files.h"
#include "base/json.h"
#include "fault/failing_memory.h"
#include "images/decoders.h"
#include "io/model_hash.h"
#include "resnet/data.h"
#include "resnet/folder.h"
#include "resnet/images.h"
#include "resnet/model_file.h"
#include "resnet/train.h"
#include "resnet/weights.h"
#include "support/networks.h"
#include "support/paths.h"
#include "support/scratch_folder.h"
#include "train/checkpoint.h"
#include "train/scripted_engine.h"

namespace resnet::test {
namespace {

namespace fs = std::filesystem;
using Bytes = std::vector<std::uint8_t>;

// A folder in memory where the system has one: most of the time would be fsync().
class FastFolder : ScopedVariable, public ScratchFolder {
 public:
  FastFolder() : ScopedVariable("TMPDIR", is_folder("/dev/shm") ? "/dev/shm" : std::getenv("TMPDIR")) {}
};

// A network of every kind of layer, small.
nn::Sequential small_network() {
  return test::random_network("d2l_resnet18",
                              {.in_channels = 1, .classes = 2, .blocks = {1}, .channels = {4}});
}

ModelFile model_of(int version) {
  const nn::Sequential net = small_network();
  ModelFile model{state_of(net), nn::trace(net, {1, 1, 16, 16}, Mode::eval), {}, {"a", "b"}};
  model.preprocessing.channels = 1;
  for (auto& [name, tensor] : model.state) {
    if (tensor.dtype() != DType::f32) continue;
    for (float& value : tensor.values()) value += static_cast<float>(version);
  }
  return model;
}

}  // namespace

std::int64_t fail_saving(std::int64_t stride) {
  const FastFolder scratch;
  const fs::path path = scratch / "model.safetensors";
  const ModelFile old = model_of(0), next = model_of(1);
  save_model(path, next);
  const auto new_bytes = read_file(path);
  save_model(path, old);
  const auto old_bytes = read_file(path);
  EXPECT_NE(old_bytes, new_bytes);
  const std::int64_t count =
      test::for_each_allocation([&] { save_model(path, old); }, [&] { save_model(path, next); },
                                [&](const test::TriedMemory& tried) {
                                  const auto now = read_file(path);
                                  EXPECT_TRUE(now == new_bytes || (!tried.done && now == old_bytes)) << tried;
                                  EXPECT_EQ(scratch.entries(), 1U) << tried;
                                },
                                stride);
  return count;
}

std::int64_t fail_loading(std::int64_t stride) {
  const FastFolder scratch;
  const fs::path path = scratch / "model.safetensors";
  save_model(path, model_of(0));
  std::size_t values = 0;
  const std::int64_t count = test::for_each_allocation(
      [] {}, [&] { values = 0, values = load_model(path, {.threads = 2}).graph().values().size(); },
      [&](const test::TriedMemory& tried) { EXPECT_EQ(values > 0, tried.done) << tried; }, stride);
  return count;
}

// What does not fit into memory leaves a network as it was, not half of it replaced.
std::int64_t fail_weights(std::int64_t stride) {
  const FastFolder scratch;
  const fs::path path = scratch / "model.safetensors";
  save_model(path, model_of(1));
  nn::Sequential net = small_network();
  const State old = state_of(net);
  const std::string before = io::weights_sha256(old), after = io::weights_sha256(model_of(1).state);
  const std::int64_t count = test::for_each_allocation(
      [&] { set_state(net, old); }, [&] { load_weights(net, path); },
      [&](const test::TriedMemory& tried) {
        EXPECT_EQ(io::weights_sha256(state_of(net)), tried.done ? after : before) << tried;
      },
      stride);
  return count;
}

namespace {

Bytes idx(const std::vector<std::uint32_t>& extents) {
  Bytes bytes = {0, 0, 8, static_cast<std::uint8_t>(extents.size())};
  std::uint32_t count = 1;
  for (const std::uint32_t extent : extents) {
    count *= extent;
    for (int shift = 24; shift >= 0; shift -= 8) bytes.push_back(static_cast<std::uint8_t>(extent >> shift));
  }
  for (std::uint32_t i = 0; i < count; ++i) bytes.push_back(static_cast<std::uint8_t>(i % 2));
  return bytes;
}

}  // namespace

std::int64_t fail_packed_files(std::int64_t stride) {
  const FastFolder scratch;
  for (const char* split : {"train", "t10k"}) {
    const std::string images = std::string(split) + "-images-idx3-ubyte.gz",
                      labels = std::string(split) + "-labels-idx1-ubyte";
    const Bytes bytes = idx({10, 4, 4});
    gzFile file = gzopen((scratch / images).c_str(), "wb");
    EXPECT_EQ(gzwrite(file, bytes.data(), static_cast<unsigned>(bytes.size())),
              static_cast<int>(bytes.size()));
    gzclose(file);
    scratch.put(labels, idx({10}));
  }
  std::int64_t size = 0;
  const std::int64_t count = test::for_each_allocation(
      [] {},
      [&] {
        size = 0;
        const data::TrainTest sets = data::open("idx:" + scratch.path().string(), {.resize = 8});
        data::Loader loader(sets.train, {.batch_size = 4, .threads = 2});
        loader.start(data::Order::shuffled(1));
        while (const data::Batch* batch = loader.next()) size += batch->size();
      },
      [&](const test::TriedMemory& tried) { EXPECT_TRUE(!tried.done || size == 10) << tried; }, stride);
  return count;
}

namespace {

// Pictures of every format, from the golden ones.
std::map<std::string, Bytes> pictures() {
  std::ifstream files(test::golden_folder() / "pictures.bin", std::ios::binary);
  const Json golden = parse_json(read_text(test::golden_folder() / "pictures.json"), {.bytes = 1 << 24});
  std::map<std::string, Bytes> result;
  std::map<std::string, int> taken;
  for (const Json& c : golden.find("cases")->elements()) {
    Bytes file(static_cast<std::size_t>(c.find("bytes")->whole()));
    files.read(reinterpret_cast<char*>(file.data()), static_cast<std::streamsize>(file.size()));
    const std::string begin(file.begin(), file.begin() + 2);
    constexpr std::size_t kShort = 4096;
    const std::string name = c.find("name")->text();
    const bool special =
        name.find("exif") != std::string::npos || name.find("interlace") != std::string::npos ||
        name.find("progressive") != std::string::npos || name.find("rle") != std::string::npos;
    if (file.size() > kShort || (taken[begin]++ % 16 != 0 && !special)) continue;
    result[name] = std::move(file);
  }
  return result;
}

}  // namespace

// A picture for which there is no memory is not a damaged one, which a training may be told to do without.
std::int64_t fail_pictures(std::int64_t stride) {
  std::int64_t count = 0;
  for (const auto& picture : pictures()) {
    const auto& name = picture.first;
    const auto& file = picture.second;
    if (images::kWebp.begins(file)) continue;  // libwebp 1.2 itself frees what it has not set yet
    const images::Image whole = images::decode(file);
    images::Image image;
    count += test::for_each_allocation(
        [] {}, [&] { image = images::decode(file); },
        [&](const test::TriedMemory& tried) {
          EXPECT_TRUE(tried.done || tried.what == "bad_alloc") << name << ": " << tried;
          EXPECT_TRUE(!tried.done || image.pixels == whole.pixels) << name << ": " << tried;
        },
        stride);
    if (testing::Test::HasFailure()) break;
  }
  return count;
}

std::int64_t fail_folder(std::int64_t stride) {
  const FastFolder scratch;
  const ScopedVariable no_cache("XDG_CACHE_HOME", (scratch / "cache").c_str());
  const images::Image gray{2, 2, 3, Bytes(12, 100)};
  int number = 0;
  for (const char* name : {"a", "b"}) {
    make_directories(scratch / "photos" / name);
    for (int i = 0; i < 3; ++i) {
      images::Image image = gray;
      image.pixels[0] = static_cast<std::uint8_t>(++number);
      scratch.put("photos/" + std::string(name) + "/" + std::to_string(i) + ".png",
                  images::encode_png(image));
    }
  }
  std::int64_t size = 0;
  const std::int64_t count = test::for_each_allocation(
      [&] {
        std::error_code ignored;
        fs::remove_all(scratch / "cache", ignored);
      },
      [&] {
        size = 0;
        const data::TrainTest sets =
            data::open((scratch / "photos").string(),
                       {.resize = {4, 4}, .val_split = 0.5, .on_bad_file = data::BadFiles::skip});
        const data::Dataset train =
            data::cached(sets.train, {.kind = data::CacheKind::memory, .bytes = 1 << 20});
        data::Loader loader(train, {.batch_size = 2, .threads = 2});
        for (int epoch = 0; epoch < 2; ++epoch) {
          loader.start(data::Order::shuffled(1), epoch);
          while (loader.next() != nullptr) {
          }
        }
        size = sets.train.size() + sets.test.size();
      },
      [&](const test::TriedMemory& tried) { EXPECT_TRUE(!tried.done || size == 6) << tried << ": " << size; },
      stride);
  return count;
}

// An engine for which memory ends is as it was, and goes on where there is some again.
std::int64_t fail_engine(std::int64_t stride) {
  const Shape shape{2, 1, 16, 16};
  const test::Examples examples = test::examples(shape, 2);
  const Network network = network_of(small_network(), shape);
  const EngineOptions options = {.threads = 2, .optimizer = {.method = AdamWOptions{}}};
  const auto step = [&](Engine& engine) {
    engine.step(examples.images.view<float>(), examples.labels.view<std::int32_t>(), {.lr = 0.1F});
  };
  const auto all = [&](Engine& engine) {
    step(engine);
    engine.gradients(examples.images.view<float>(), examples.labels.view<std::int32_t>());
    engine.apply({.lr = 0.1F});
    return io::weights_sha256(engine.state(StateScope::all)) +
           io::weights_sha256({{"output", engine.infer(examples.images.view<float>())}});
  };
  const std::string expected = all(*make_native_engine(network, options));
  const std::string begin = io::weights_sha256(make_native_engine(network, options)->state(StateScope::all));
  std::unique_ptr<Engine> engine;
  std::string result;
  const std::int64_t count = test::for_each_allocation(
      [&] { engine = make_native_engine(network, options), result.clear(); },
      [&] { step(*engine), result = "done"; },
      [&](const test::TriedMemory& tried) {
        if (tried.done) return;
        ASSERT_EQ(io::weights_sha256(engine->state(StateScope::all)), begin) << tried;
        ASSERT_EQ(all(*engine), expected) << tried;
      },
      stride);
  return count;
}

namespace {

// A run with checkpoints ends in an error, or well; what it had reported saved is there, and with memory
// again it goes on to the same weights.
std::int64_t try_runs(bool resumed, std::int64_t stride) {
  const FastFolder scratch;
  const fs::path folder = scratch / "checkpoints";
  const data::Dataset train = test::counted(8), test = test::counted(4);
  const auto run = [&](std::int64_t steps, bool resume) {
    nn::Sequential net(nn::Flatten{}, nn::Linear{16, 2});
    FitOptions options{.epochs = 2, .batch_size = 2, .steps = steps};
    options.engine.threads = 2;
    options.average.decay = 0.5;
    options.average.every = 1;
    options.checkpoints = {.folder = folder, .every_steps = 1, .resume = resume};
    return fit(net, train, test, options).weights_sha256;
  };
  const std::string expected = run(6, false);
  const auto clean = [&] {
    std::error_code ignored;
    fs::remove_all(folder, ignored);
    if (resumed) run(2, false);
  };
  return test::for_each_allocation(
      clean, [&] { EXPECT_EQ(run(6, resumed), expected); },
      [&](const test::TriedMemory& tried) {
        std::error_code error;
        for (const fs::path& name : list_names(folder, error)) {
          EXPECT_EQ(name.extension(), ".safetensors") << tried << ": " << name;
          if (name.extension() == ".safetensors") train::read_checkpoint(folder / name);
        }
        EXPECT_EQ(run(6, true), expected) << tried;
      },
      stride);
}

}  // namespace

std::int64_t fail_run(std::int64_t stride) {
  return try_runs(false, stride) + try_runs(true, stride);
}

}  // namespace resnet::test
