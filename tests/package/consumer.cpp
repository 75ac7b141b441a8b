// What a user's project looks like to the installed package.
#include <resnet/engine.h>
#include <resnet/models.h>
#include <resnet/version.h>

#include <string_view>

int main() {
  using namespace resnet;
  nn::Sequential net = models::d2l_resnet18({.in_channels = 1, .classes = 10});
  const Tensor y = forward(net, random_uniform({2, 1, 32, 32}));
  return y.shape() == Shape{2, 10} && std::string_view(kVersion) == PACKAGE_VERSION ? 0 : 1;
}
