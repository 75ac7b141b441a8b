// device_check PART [flags]: what tools/device_check.sh asks of a device, one part a process, so that none
// takes another with it. Exit code 1 where something is wrong.
#include <algorithm>
#include <array>
#include <cstdio>
#include <iostream>
#include <map>
#include <stdexcept>

#include "device_check/asked.h"
#include "gpu/plugin.h"
#include "resnet/error.h"

namespace resnet::device_check {
namespace {

constexpr const char* kUsage =
    "usage: device_check machine|peaks|parity|hashes|layers|profile [--small] [--model NAME]\n"
    "                    [--input NxCxHxW] [--classes K] [--steps N] [--forms f32,tf32,bf16]";

const std::map<std::string, Json (*)(const Asked&)> kParts = {{"machine", &machine}, {"peaks", &peaks},
                                                              {"parity", &parity},   {"hashes", &hashes},
                                                              {"layers", &layers},   {"profile", &profile}};

std::vector<std::string> split(const std::string& text, char at) {
  std::vector<std::string> parts(1);
  for (const char c : text) {
    if (c == at) {
      parts.emplace_back();
    } else {
      parts.back() += c;
    }
  }
  return parts;
}

Shape shape_of(const std::string& text) {
  std::vector<std::int64_t> extents;
  for (const std::string& part : split(text, 'x')) extents.push_back(std::stoll(part));
  return Shape(extents);
}

std::vector<Precision> forms_of(const std::string& text) {
  constexpr std::array kAll = {Precision::f32, Precision::tf32, Precision::bf16};
  std::vector<Precision> forms;
  for (const std::string& name : split(text, ',')) {
    const auto found = std::ranges::find(kAll, name, [](Precision precision) { return name_of(precision); });
    if (found == kAll.end()) throw std::invalid_argument("there is no precision " + name);
    forms.push_back(*found);
  }
  return forms;
}

Asked parsed(const std::vector<std::string>& arguments) {
  Asked asked{.forms = forms_of("bf16,tf32,f32")};
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    const std::string& flag = arguments[i];
    const auto value = [&]() -> const std::string& {
      if (i + 1 == arguments.size()) throw std::invalid_argument(flag + " needs a value");
      return arguments[++i];
    };
    if (flag == "--small") {
      asked.small = true;
    } else if (flag == "--model") {
      asked.model = value();
    } else if (flag == "--input") {
      asked.images = shape_of(value());
    } else if (flag == "--classes") {
      asked.classes = std::stoll(value());
    } else if (flag == "--steps") {
      asked.steps = std::stoll(value());
    } else if (flag == "--forms") {
      asked.forms = forms_of(value());
    } else {
      throw std::invalid_argument("there is no flag " + flag);
    }
  }
  const gpu::Plugin plugin = gpu::load_plugin();
  if (plugin.api == nullptr) throw ConfigError(plugin.why, plugin.hint);
  asked.api = plugin.api;
  return asked;
}

int run(const std::vector<std::string>& arguments) {
  const auto part = arguments.empty() ? kParts.end() : kParts.find(arguments.front());
  if (part == kParts.end()) {
    std::cerr << kUsage << '\n';
    return 2;
  }
  const Json figures = part->second(parsed({arguments.begin() + 1, arguments.end()}));
  fmt::print("{}\n", figures.dump());
  return 0;
}

}  // namespace
}  // namespace resnet::device_check

int main(int argc, char** argv) {
  // What was said is in the log where the time ends before the part does.
  static_cast<void>(std::setvbuf(stdout, nullptr, _IOLBF, 0));
  try {
    return resnet::device_check::run({argv + 1, argv + argc});
  } catch (const std::invalid_argument& error) {
    std::cerr << "device_check: " << error.what() << '\n';
    return 2;
  } catch (const resnet::Error& error) {
    std::cerr << "device_check: " << error.what() << '\n';
    if (!error.hint().empty()) std::cerr << "hint: " << error.hint() << '\n';
  } catch (const std::exception& error) {
    std::cerr << "device_check: " << error.what() << '\n';
  }
  return 1;
}
