// The texts of flags as values. What a flag cannot take is a ConfigError that names the flag and says what
// it takes.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "resnet/data.h"
#include "resnet/schedule.h"

namespace resnet::settings {

/// Far beyond any rate, factor or number of epochs.
inline constexpr double kMostReal = 1e9;

std::int64_t parse_count(std::string_view flag, const std::string& text, std::int64_t least,
                         std::int64_t most);
std::uint64_t parse_seed(std::string_view flag, const std::string& text);
/// A finite number from `least` to `most`, and the shortest text that reads back as it.
double parse_real(std::string_view flag, const std::string& text, double least, double most);
std::string shortest(double value);
/// Seconds: "90s", "8m", "1.5h", or "0".
double parse_time(std::string_view flag, const std::string& text);
/// Bytes: "512M", "4G", "1.5T", in powers of 1024.
std::int64_t parse_size(std::string_view flag, const std::string& text);
float parse_rate(std::string_view flag, const std::string& text);
/// At least 0 and below 1.
double parse_share(std::string_view flag, const std::string& text);
/// A number for each stage, with commas between: "2,2,2,2".
std::vector<std::int64_t> parse_stages(std::string_view flag, const std::string& text);
/// "500", or as step_plan_text().
std::pair<std::int64_t, std::vector<StepChange>> parse_steps(std::string_view flag, const std::string& text);
/// 64 hexadecimal digits.
std::string parse_sha256(std::string_view flag, const std::string& text);
/// "96" or "96x128".
data::Resize parse_resize(std::string_view flag, const std::string& text);
std::string to_text(const data::Resize& resize);
/// "none", "imagenet", or "0.5/0.25", "0.4,0.5,0.6/0.2,0.2,0.3".
data::Normalization parse_normalization(std::string_view flag, const std::string& text);
std::string to_text(const data::Normalization& normalization);
/// Numbers from `least` to `most`, at least one, with commas between.
std::vector<double> parse_numbers(std::string_view flag, const std::string& text, double least, double most);
/// The parts of "a,b,c"; one, which is empty, of "".
std::vector<std::string> split_at_commas(std::string_view text);
/// Names with factors from 0 to kMostReal: "layer1=0.1,layer2=0.5"; none for "".
std::vector<std::pair<std::string, double>> parse_factors(std::string_view flag, const std::string& text);
/// "1x3x224x224".
Shape parse_input(std::string_view flag, const std::string& text);
/// `text`, which must be one of `names`.
std::string parse_choice(std::string_view flag, const std::string& text,
                         const std::vector<std::string>& names);

}  // namespace resnet::settings
