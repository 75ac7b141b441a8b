// Which pictures of a folder are tested on. Equal pictures, in whatever files, are on one side.
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <unordered_map>

#include "base/random.h"
#include "resnet/folder.h"

namespace resnet::data {
namespace {

// The files of one picture, and how many of them lie in which class.
struct SamePicture {
  std::vector<std::size_t> files;
  std::map<std::int32_t, std::int64_t> by_class;
};

// In an order that follows from the seed and the pictures' contents alone.
std::vector<SamePicture> groups_of(const FolderScan& scan, std::uint64_t seed) {
  std::unordered_map<std::string, SamePicture> by_digest;
  for (std::size_t i = 0; i < scan.pictures.size(); ++i) {
    const Picture& picture = scan.pictures[i];
    if (picture.part != Part::none && picture.part != Part::train) continue;
    SamePicture& group = by_digest[picture.facts.digest];
    group.files.push_back(i);
    ++group.by_class[picture.label];
  }
  std::vector<std::pair<std::pair<std::uint64_t, std::string>, SamePicture>> keyed;
  for (auto& [digest, group] : by_digest) {
    const RandomStream random(seed, "split/" + digest);
    keyed.emplace_back(std::pair(random.below(0, std::uint64_t{1} << 32U), digest), std::move(group));
  }
  std::sort(keyed.begin(), keyed.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  std::vector<SamePicture> groups;
  for (auto& [key, group] : keyed) groups.push_back(std::move(group));
  return groups;
}

// How many pictures of a class are to be tested on: none or all only where that is asked for.
std::int64_t wanted_of(std::int64_t count, double share) {
  const auto nearest = static_cast<std::int64_t>(std::llround(static_cast<double>(count) * share));
  if (share <= 0 || share >= 1 || count < 2) return nearest;
  return std::clamp<std::int64_t>(nearest, 1, count - 1);
}

}  // namespace

std::vector<Split> split_of(const FolderScan& scan, double val_split, std::uint64_t seed) {
  std::vector<Split> sides(scan.pictures.size(), Split::train);
  const bool given = scan.has(Part::val) || scan.has(Part::test);
  if (given) {
    for (std::size_t i = 0; i < sides.size(); ++i) {
      if (scan.pictures[i].part != Part::train) sides[i] = Split::test;
    }
    return sides;
  }
  std::vector<SamePicture> groups = groups_of(scan, seed);
  std::vector<std::int64_t> counts(scan.classes.size());
  for (const Picture& picture : scan.pictures) ++counts[static_cast<std::size_t>(picture.label)];
  std::vector<std::int64_t> wanted;  // of each class on the side of the tests
  for (const std::int64_t count : counts) wanted.push_back(wanted_of(count, val_split));
  std::vector<std::int64_t> missing = wanted;
  std::vector<std::int64_t>& trained = counts;  // of each class, so far
  // A larger group must leave its classes something to train on.
  const auto leaves = [&](const SamePicture& group) {
    return val_split >= 1 || std::ranges::all_of(group.by_class, [&](const auto& of) {
             return of.second < trained[static_cast<std::size_t>(of.first)];
           });
  };
  const auto test_on = [&](SamePicture& group) {
    for (const auto& [label, files] : group.by_class) {
      missing[static_cast<std::size_t>(label)] -= files;
      trained[static_cast<std::size_t>(label)] -= files;
    }
    for (const std::size_t i : group.files) sides[i] = Split::test;
    group.files.clear();
  };
  // First what fits as a whole; then, where only larger groups are left, what brings the shares nearer.
  for (const bool exactly : {true, false}) {
    for (SamePicture& group : groups) {
      if (group.files.empty()) continue;
      std::int64_t nearer = 0;
      bool fits = true;
      for (const auto& [label, files] : group.by_class) {
        const std::int64_t left = missing[static_cast<std::size_t>(label)];
        fits = fits && files <= left;
        nearer += std::abs(left) - std::abs(left - files);
      }
      if (exactly ? fits : nearer > 0 && leaves(group)) test_on(group);
    }
  }
  // A class whose every picture is there many times has none so far: the one that is there least often.
  std::vector<std::vector<SamePicture*>> left(missing.size());  // by class
  for (SamePicture& group : groups) {
    if (group.files.empty()) continue;
    for (const auto& [label, files] : group.by_class) left[static_cast<std::size_t>(label)].push_back(&group);
  }
  for (std::size_t label = 0; label < missing.size(); ++label) {
    if (missing[label] < 1 || missing[label] != wanted[label]) continue;
    SamePicture* least = nullptr;
    for (SamePicture* const group : left[label]) {
      if (group->files.empty() || !leaves(*group)) continue;
      if (least == nullptr || group->files.size() < least->files.size()) least = group;
    }
    if (least != nullptr) test_on(*least);
  }
  return sides;
}

}  // namespace resnet::data
