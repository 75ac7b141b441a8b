// Dive into Deep Learning, section "Residual Networks (ResNet)", step by step: the block, the network, its
// shapes, its training.
// docs/chapter.md walks through it.
//
// Usage: chapter [EXAMPLES]      (trains and tests on the first so many examples; default: on all)
#include <resnet/resnet.h>

#include <atomic>
#include <csignal>
#include <cstdlib>
#include <iostream>

using namespace resnet;

// The residual block. models::d2l_resnet18 has it built in, as nn::Residual.
class Residual : public nn::Module {
 public:
  Residual(int in, int out, nn::ResidualOptions options = {})
      : conv1(add("conv1", nn::Conv2d{in, out, {.kernel = 3, .stride = options.stride, .padding = 1}})),
        conv2(add("conv2", nn::Conv2d{out, out, {.kernel = 3, .padding = 1}})),
        conv3(options.use_1x1conv
                  ? &add("conv3", nn::Conv2d{in, out, {.kernel = 1, .stride = options.stride}})
                  : nullptr),
        bn1(add("bn1", nn::BatchNorm2d{out})),
        bn2(add("bn2", nn::BatchNorm2d{out})) {}

  Value operator()(Value x) const override {
    const Value y = relu(bn1(conv1(x)));
    return relu(bn2(conv2(y)) + (conv3 ? (*conv3)(x) : x));
  }

 private:
  nn::Conv2d &conv1, &conv2, *conv3;
  nn::BatchNorm2d &bn1, &bn2;
};

// A module of the network. The first keeps the size, which the stem's pool has halved already; each
// later one doubles the channels and halves height and width in its first block.
nn::Sequential resnet_block(int in, int out, int residuals) {
  nn::Sequential blocks;
  for (int i = 0; i < residuals; ++i) {
    if (i == 0 && in != out) {
      blocks.push_back(Residual{in, out, {.use_1x1conv = true, .stride = 2}});
    } else {
      blocks.push_back(Residual{out, out});
    }
  }
  return blocks;
}

// Ctrl-C: the step is finished, the figures so far are shown and the network is saved; once more: the end.
std::atomic<bool> interrupted{false};

int main(int argc, char** argv) try {
  std::signal(SIGINT, [](int) {
    interrupted = true;
    std::signal(SIGINT, SIG_DFL);
  });
  const Tensor x = random_uniform({4, 3, 6, 6});
  Residual same{3, 3};
  std::cout << forward(same, x).shape() << '\n';
  Residual halved{3, 6, {.use_1x1conv = true, .stride = 2}};
  std::cout << forward(halved, x).shape() << '\n';

  nn::Sequential stem{nn::Conv2d{1, 64, {.kernel = 7, .stride = 2, .padding = 3}}, nn::BatchNorm2d{64},
                      nn::ReLU{}, nn::MaxPool2d{{.kernel = 3, .stride = 2, .padding = 1}}};
  nn::Sequential net{std::move(stem),
                     resnet_block(64, 64, 2),
                     resnet_block(64, 128, 2),
                     resnet_block(128, 256, 2),
                     resnet_block(256, 512, 2),
                     nn::GlobalAvgPool2d{},
                     nn::Flatten{},
                     nn::Linear{512, 10}};
  std::cout << summary(net, {1, 1, 224, 224});

  const std::int64_t limit = argc > 1 ? std::atoll(argv[1]) : 0;
  const auto train = data::fashion_mnist(data::Split::train, {.resize = 96, .limit = limit});
  const auto test = data::fashion_mnist(data::Split::test, {.resize = 96, .limit = limit});
  std::cout << fit(net, train, test,
                   {.epochs = 10,
                    .batch_size = 256,
                    .lr = 0.05F,
                    .observers = {progress(), curves()},
                    .stop = &interrupted});
  save_model("chapter.safetensors", net, train);
} catch (const Error& error) {
  std::cerr << error.what() << '\n' << error.hint() << '\n';
  return 1;
}
