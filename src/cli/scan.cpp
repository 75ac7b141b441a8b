// What is said of a data set before it is used.
#include <fmt/core.h>

#include "base/joined.h"
#include "base/text.h"
#include "cli/command.h"
#include "data/survey.h"
#include "resnet/folder.h"
#include "resnet/report.h"

namespace resnet::cli {
namespace {

void tell(const data::FolderScan& scan) {
  for (const data::BadFile& bad : scan.bad) {
    say(fmt::format("cannot read {}: {}", (scan.dir / bad.path).string(), bad.why));
  }
  if (scan.pictures.empty()) return;  // which is an error, and says all there is to say
  for (const std::string& line : notes_of(scan)) say("note: " + line);
}

}  // namespace

std::vector<std::string> notes_of(const data::FolderScan& scan) {
  std::vector<std::string> notes;
  const auto note = [&](std::int64_t count, const std::string& line) {
    if (count > 0) notes.push_back(line);
  };
  const data::Duplicates twice = data::duplicates_of(scan);
  note(twice.pictures, counted(twice.pictures, "picture is there already, in another file",
                               "pictures are there already, in other files"));
  note(twice.in_classes,
       counted(twice.in_classes, "picture is in more than one class", "pictures are in more than one class"));
  note(twice.overlaps,
       counted(twice.overlaps, "picture of the test is in train/ too: the test accuracy is too high by that",
               "pictures of the test are in train/ too: the test accuracy is too high by that"));
  note(twice.val_overlaps,
       counted(twice.val_overlaps, "picture of val/ is in train/ or test/ too: what val/ decides, it decides",
               "pictures of val/ are in train/ or test/ too: what val/ decides, they decide"));
  note(scan.loose, counted(scan.loose, "picture lies beside the classes' folders, and is not used",
                           "pictures lie beside the classes' folders, and are not used"));
  if (scan.has(data::Part::test) && scan.has(data::Part::val)) {
    notes.emplace_back("val/ is what a training is watched on, test/ what it is tested on at its end");
  }
  for (const std::string& name : scan.classes) {
    if (data::part_called(name) != data::Part::none && scan.has(data::Part::none))
      notes.push_back(printable(name) +
                      "/ is a class: it is no part without train/ and one of val/ and test/");
  }
  note(scan.links, counted(scan.links, "link to a folder around it is not followed",
                           "links to a folder around them are not followed"));
  for (const std::string& folder : scan.empty) notes.push_back(folder + " has no picture");
  std::int64_t others = 0;
  std::string endings;
  for (const auto& [ending, count] : scan.others) {
    others += count;
    endings +=
        fmt::format("{}{} {}", endings.empty() ? "" : ", ", ending.empty() ? "(no ending)" : ending, count);
  }
  constexpr std::size_t kMostBytes = 120;
  note(others, fmt::format("{}: {}", counted(others, "file is no picture", "files are no pictures"),
                           shown(endings, kMostBytes)));
  return notes;
}

std::string note_of_missing_classes(const data::Dataset& train) {
  const std::vector<std::string> missing = data::classes_without_examples(train);
  if (missing.empty()) return "";
  constexpr std::size_t kMostBytes = 120;
  return fmt::format("{} of {} classes {} no example to train on: {}", missing.size(), train.classes().size(),
                     missing.size() == 1 ? "has" : "have", shown(joined(missing, ", "), kMostBytes));
}

data::DatasetOptions told_scan(bool quiet) {
  data::DatasetOptions watch;
  if (!quiet) watch.scanning = scan_progress();
  watch.scanned = tell;
  return watch;
}

}  // namespace resnet::cli
