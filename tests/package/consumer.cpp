// What a user's project looks like to the installed package.
#include <resnet/tensor.h>

int main() {
  const resnet::Tensor x = resnet::random_uniform({4, 3, 6, 6}, 1);
  return x.shape() == resnet::Shape{4, 3, 6, 6} ? 0 : 1;
}
