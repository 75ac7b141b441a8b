#include "mutate.h"

#include <algorithm>
#include <array>

namespace resnet::fuzz {
namespace {

// A number that programs trip over, of 1, 2, 4 or 8 bytes of either order.
std::string number(Choices& choices) {
  constexpr std::array<std::uint64_t, 10> kNumbers = {
      0, 1, 0x7F, 0xFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 0x7FFFFFFFFFFFFFFF, 0xFFFFFFFFFFFFFFFF, 0x100000000};
  const std::uint64_t value = kNumbers.at(choices.below(kNumbers.size())) + choices.below(3) - 1;
  std::string bytes(std::size_t{1} << choices.below(4), '\0');
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<char>(value >> 8U * i);
  if (choices.one_in(2)) std::ranges::reverse(bytes);
  return bytes;
}

std::string changed(std::string text, Choices& choices, const Target& target) {
  // The end is where targets have their choices.
  const std::size_t last = choices.one_in(4) ? std::min<std::size_t>(text.size(), 16) : text.size();
  const std::size_t at = text.size() - last + choices.below(last + 1);
  const std::size_t rest = text.size() - at;
  const std::size_t length = std::min(rest, choices.below(choices.one_in(4) ? 256 : 9));
  switch (choices.below(9)) {
    case 0:
      if (rest > 0) text[at] = static_cast<char>(text[at] ^ (1 << choices.below(8)));
      break;
    case 1:
      if (rest > 0) text[at] = static_cast<char>(choices.byte());
      break;
    case 2:
      text.insert(at, 1, static_cast<char>(choices.byte()));
      break;
    case 3:
      text.erase(at, length);
      break;
    case 4:
      text.insert(at, text.substr(at, length));
      break;
    case 5: {
      const std::string bytes = number(choices);
      text.replace(at, choices.one_in(4) ? 0 : bytes.size(), bytes);
      break;
    }
    case 6: {  // the end of another one
      const std::string& other = choices.of(target.seeds);
      text.replace(at, rest, other, choices.below(other.size() + 1), std::string::npos);
      break;
    }
    default:
      return with_word(std::move(text), choices, target);
  }
  return text;
}

}  // namespace

std::string with_word(std::string text, Choices& choices, const Target& target) {
  if (target.words.empty()) return text;
  const std::string& word = choices.of(target.words);
  const std::size_t at = choices.below(text.size() + 1);
  return text.replace(at, choices.one_in(2) ? 0 : choices.below(word.size() + 4), word);
}

std::string mutated(Choices& choices, const Target& target) {
  std::string text = choices.of(target.seeds);
  const std::size_t changes = choices.below(9);
  for (std::size_t i = 0; i < changes; ++i) text = changed(std::move(text), choices, target);
  text.resize(std::min(text.size(), kMostBytes));
  return text;
}

}  // namespace resnet::fuzz
