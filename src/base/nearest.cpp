#include "base/nearest.h"

#include <algorithm>
#include <numeric>

namespace resnet {
namespace {

// Letters to insert, delete or change to make one name of the other (Levenshtein), a row at a time.
std::size_t edit_distance(std::string_view from, std::string_view to) {
  std::vector<std::size_t> row(to.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 1; i <= from.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i;
    for (std::size_t j = 1; j <= to.size(); ++j) {
      const std::size_t replaced = diagonal + (from[i - 1] == to[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, replaced});
    }
  }
  return row.back();
}

}  // namespace

std::string nearest(std::string_view mistyped, const std::vector<std::string>& names) {
  constexpr std::size_t kTellingLetters = 3;  // "e" begins much
  for (const std::string& name : names) {
    const bool begins = name.starts_with(mistyped) || mistyped.starts_with(name);
    if (begins && std::min(name.size(), mistyped.size()) >= kTellingLetters) return name;
  }
  std::string best;
  // Farther is no likely typo: of "wd" two edits make anything.
  std::size_t least = mistyped.size() <= 3 ? 2 : std::max<std::size_t>(2, mistyped.size() / 3) + 1;
  for (const std::string& name : names) {
    const std::size_t edits = edit_distance(mistyped, name);
    if (edits < least) {
      least = edits;
      best = name;
    }
  }
  return best;
}

}  // namespace resnet
