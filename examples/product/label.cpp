// Names pictures: label MODEL PICTURE...
#include <resnet/images.h>
#include <resnet/model_file.h>

#include <iostream>

int main(int count, char** arguments) {
  if (count < 3) return std::cerr << "usage: label MODEL PICTURE...\n", 2;
  try {
    const resnet::Model model = resnet::load_model(arguments[1]);
    for (int i = 2; i < count; ++i) {
      const auto [name, probability] = model.classify(resnet::images::read(arguments[i])).front();
      std::cout << arguments[i] << ": " << name << ' ' << probability << '\n';
    }
  } catch (const resnet::Error& error) {
    std::cerr << error.what() << '\n' << error.hint() << '\n';
    return 1;
  }
}
