// What the sources of the table of options share: lines of the usual kinds. The table's order is that of
// make_options() in options.cpp.
#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "base/joined.h"
#include "settings/options.h"
#include "settings/values.h"

namespace resnet::settings {

/// Far beyond any count of examples or steps.
inline constexpr std::int64_t kMostCount = std::int64_t{1} << 40;

/// The table, built line by line: the last line can be completed with fields and choices.
class Table {
 public:
  std::vector<Option> lines;

  Option& number(const std::string& name, const std::string& help, std::int64_t least, std::int64_t most,
                 std::int64_t Settings::*member) {
    return add({name, "N", help, false,
                [=](Settings& s, const std::string& t) { s.*member = parse_count(name, t, least, most); },
                [=](const Settings& s) { return std::to_string(s.*member); }});
  }
  /// `member` is one of Settings, or a function that gives its place.
  template <class Member>
  Option& real(const std::string& name, const std::string& help, double least, double most, Member member) {
    return add({name, "X", help, false,
                [=](Settings& s, const std::string& t) {
                  std::invoke(member, s) = parse_real(name, t, least, most);
                },
                [=](const Settings& s) { return shortest(std::invoke(member, s)); }});
  }
  Option& yes_no(const std::string& name, const std::string& help, bool Settings::*member) {
    const std::vector<std::string> names = {"yes", "no"};
    return add(
        {name,
         "yes|no",
         help,
         true,
         [=](Settings& s, const std::string& t) { s.*member = parse_choice(name, t, names) == names[0]; },
         [=](const Settings& s) { return s.*member ? names[0] : names[1]; },
         {},
         names});
  }
  Option& text(const std::string& name, const std::string& placeholder, const std::string& help,
               std::string Settings::*member) {
    return add({name, placeholder, help, true, [=](Settings& s, const std::string& t) { s.*member = t; },
                [=](const Settings& s) { return s.*member; }});
  }
  Option& choice(const std::string& name, const std::string& placeholder, const std::string& help,
                 const std::vector<std::string>& names, std::string Settings::*member) {
    Option& line = text(name, placeholder, help, member);
    line.set = [=](Settings& s, const std::string& t) { s.*member = parse_choice(name, t, names); };
    line.choices = names;
    return line;
  }
  /// Of a pool; 0 where it is left out: as many as the pool's owner chooses.
  Option& threads(const std::string& name, const std::string& help, int Settings::*member) {
    constexpr std::int64_t kMost = 1024;
    return add({name, "N", help, true,
                [=](Settings& s, const std::string& t) {
                  s.*member = static_cast<int>(parse_count(name, t, 1, kMost));
                },
                [=](const Settings& s) { return s.*member == 0 ? "" : std::to_string(s.*member); }});
  }
  /// On the command line without a value; `name = 'yes'` in config.toml.
  Option& flag(const std::string& name, const std::string& help, bool Settings::*member) {
    Option& line = yes_no(name, help, member);
    line.placeholder = "";
    return line;
  }
  Option& add(Option line) { return lines.emplace_back(std::move(line)); }
};

// The sections, a source each.
void add_data(Table& table);
void add_augment(Table& table);
void add_network(Table& table);
void add_input(Table& table);
void add_training(Table& table);
void add_machine(Table& table);

}  // namespace resnet::settings
