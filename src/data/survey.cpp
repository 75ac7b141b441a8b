#include "data/survey.h"

#include <algorithm>
#include <optional>
#include <unordered_map>

#include "data/duplicates.h"

namespace resnet::data {
namespace {

Survey::Range range_of(std::vector<std::int64_t>& values) {
  if (values.empty()) return {};
  std::sort(values.begin(), values.end());
  return {values.front(), values[values.size() / 2], values.back()};
}

}  // namespace

Survey survey(const TrainTest& data) {
  Survey result;
  result.train = data.train.size();
  result.test = data.test.size();
  result.validation = data.validation ? data.validation->size() : 0;
  std::unordered_map<std::string, std::size_t> places_of_names;
  const auto place_of = [&](const std::string& name) {
    const auto [known, is_new] = places_of_names.emplace(name, result.classes.size());
    if (is_new) result.classes.push_back({name});
    return known->second;
  };
  for (const std::string& name : data.train.classes()) place_of(name);
  DuplicateCounter found;
  std::vector<std::int64_t> heights;
  std::vector<std::int64_t> widths;
  Image image;
  const auto see = [&](const Dataset& set, std::int64_t Survey::Class::*count, Part part) {
    // The other set may have these classes in another order, or more of them.
    std::vector<std::optional<std::size_t>> places(set.classes().size());
    for (std::int64_t i = 0; i < set.size(); ++i) {
      auto facts = set.source().facts(i);
      if (!facts) {
        set.source().image(i, image);
        facts = {image.height, image.width, picture_sha256(image)};
      }
      const auto label = static_cast<std::size_t>(set.label(i));
      if (!places[label]) places[label] = place_of(set.classes()[label]);
      Survey::Class& of = result.classes[*places[label]];
      ++(of.*count);
      heights.push_back(facts->height);
      widths.push_back(facts->width);
      found.add(facts->digest, *places[label], part);
    }
  };
  see(data.train, &Survey::Class::train, Part::train);
  if (data.validation) see(*data.validation, &Survey::Class::validation, Part::val);
  see(data.test, &Survey::Class::test, Part::test);
  result.twice = found.result();
  result.height = range_of(heights);
  result.width = range_of(widths);
  return result;
}

std::vector<std::string> classes_without_examples(const Dataset& dataset) {
  std::vector<bool> has(dataset.classes().size());
  for (std::int64_t i = 0; i < dataset.size(); ++i) has[static_cast<std::size_t>(dataset.label(i))] = true;
  std::vector<std::string> names;
  for (std::size_t k = 0; k < has.size(); ++k) {
    if (!has[k]) names.push_back(dataset.classes()[k]);
  }
  return names;
}

}  // namespace resnet::data
