// Names pictures: label MODEL PICTURE...
#include <resnet/model_file.h>
#include <resnet/predict.h>

#include <exception>
#include <filesystem>
#include <iostream>
#include <vector>

int main(int count, char** arguments) {
  if (count < 3) return std::cerr << "usage: label MODEL PICTURE...\n", 2;
  try {
    const resnet::Model model = resnet::load_model(arguments[1]);
    const std::vector<std::filesystem::path> pictures(arguments + 2, arguments + count);
    bool all = true;
    for (const resnet::Prediction& found : resnet::predict(model, pictures)) {
      if (found.error.empty()) {
        std::cout << found.file.string() << ": " << found.top[0].first << ' ' << found.top[0].second << '\n';
      } else {
        std::cerr << found.error << '\n';
        all = false;
      }
    }
    return all ? 0 : 1;
  } catch (const resnet::Error& error) {
    std::cerr << error.what() << '\n' << error.hint() << '\n';
  } catch (const std::exception& error) {  // too little memory
    std::cerr << error.what() << '\n';
  }
  return 1;
}
