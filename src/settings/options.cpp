#include "settings/options.h"

#include <cctype>

#include "settings/option_table.h"

namespace resnet::settings {
namespace {

std::vector<Option> make_options() {
  Table table;
  const auto add_group = [&](void (*add)(Table&), const char* group) {
    const std::size_t first = table.lines.size();
    add(table);
    for (std::size_t i = first; i < table.lines.size(); ++i) table.lines[i].group = group;
  };
  add_data(table);
  add_group(add_augment, "augment");
  add_group(add_network, "model");
  add_input(table);
  add_training(table);
  add_machine(table);
  return table.lines;
}

std::vector<std::string> names_of(std::string_view group) {
  std::vector<std::string> names;
  for (const Option& o : options()) {
    if (o.group == group) names.push_back(o.name);
  }
  return names;
}

bool in_name(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_';
}

}  // namespace

const std::vector<Option>& options() {
  static const std::vector<Option> list = make_options();
  return list;
}

const std::vector<std::string>& network_options() {
  static const std::vector<std::string> names = names_of("model");
  return names;
}

const std::vector<std::string>& augment_options() {
  static const std::vector<std::string> names = names_of("augment");
  return names;
}

const Option& option(std::string_view name) {
  for (const Option& candidate : options()) {
    if (candidate.name == name) return candidate;
  }
  throw ConfigError("there is no option '" + std::string(name) + "'");
}

void name_flag(std::string& message, std::string_view field, std::string_view flag) {
  for (std::size_t at = 0; (at = message.find(field, at)) != std::string::npos;) {
    const std::size_t end = at + field.size();
    const bool whole = end == message.size() || !in_name(message[end]);
    if (whole) message.replace(at, field.size(), flag);
    at += whole ? flag.size() : field.size();
  }
}

std::string in_flags(std::string message) {
  for (const Option& o : options()) {
    for (const std::string& field : o.fields) name_flag(message, field, "--" + o.name);
  }
  return message;
}

}  // namespace resnet::settings
