#include "data/duplicates.h"

#include <algorithm>
#include <utility>

namespace resnet::data {

void DuplicateCounter::add(const std::string& digest, std::size_t class_number, Part part) {
  Seen& seen = seen_[digest];
  seen.classes.insert(class_number);
  ++seen.files;
  if (part == Part::train) ++seen.trained;
  if (part == Part::val) ++seen.validated;
  if (part == Part::test) ++seen.tested;
}

Duplicates DuplicateCounter::result() const {
  Duplicates result;
  for (const auto& [digest, seen] : seen_) {
    result.pictures += seen.files - 1;
    result.in_classes += seen.classes.size() > 1 ? 1 : 0;
    result.overlaps += seen.trained > 0 ? seen.tested : 0;
    result.val_overlaps += seen.trained + seen.tested > 0 ? seen.validated : 0;
  }
  return result;
}

Duplicates duplicates_of(const FolderScan& scan) {
  const bool tests = scan.has(Part::test);  // else val/ is tested on
  DuplicateCounter counter;
  for (const Picture& picture : scan.pictures) {
    counter.add(picture.facts.digest, static_cast<std::size_t>(picture.label),
                picture.part == Part::val && !tests ? Part::test : picture.part);
  }
  return counter.result();
}

std::vector<std::vector<std::size_t>> same_pictures(const FolderScan& scan) {
  std::unordered_map<std::string, std::vector<std::size_t>> files;
  for (std::size_t i = 0; i < scan.pictures.size(); ++i) files[scan.pictures[i].facts.digest].push_back(i);
  std::vector<std::vector<std::size_t>> result;
  for (auto& [digest, of] : files) {
    if (of.size() > 1) result.push_back(std::move(of));
  }
  std::sort(result.begin(), result.end());
  return result;
}

}  // namespace resnet::data
