// A target's corpus: fuzz/corpus/<target>.bin, inputs one after the other, each behind its length in four
// bytes, the low one first.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace resnet::fuzz {

std::filesystem::path corpus_of(const std::string& target);
/// Its inputs; none where there is no such file.
std::vector<std::string> read_corpus(const std::string& target);
/// Makes it of the files in a folder, the shortest first, as long as they fit in 64 KB.
void write_corpus(const std::string& target, const std::filesystem::path& folder);

}  // namespace resnet::fuzz
