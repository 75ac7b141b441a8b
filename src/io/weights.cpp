#include "resnet/weights.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <set>

#include "base/files.h"
#include "base/json.h"
#include "base/text.h"
#include "io/file_kind.h"
#include "io/model_metadata.h"
#include "io/pth/pth.h"
#include "io/safetensors.h"
#include "io/safetensors_limits.h"
#include "io/state_names.h"

namespace resnet {
namespace {

namespace fs = std::filesystem;

std::string first_bytes(const fs::path& path) {
  io::refuse_pipe(path);
  InputFile file(path);
  std::string head(io::kKindBytes, '\0');
  head.resize(file.read(std::as_writable_bytes(std::span(head))));
  return head;
}

// A safetensors file has zeros there, in its header's length.
bool is_json(std::string_view head) {
  constexpr std::size_t kLength = 8;
  return head.starts_with('{') && head.substr(0, kLength).find('\0') == std::string_view::npos;
}

void note_widened(Weights& weights, const std::map<std::string, std::int64_t>& widened) {
  for (const auto& [type, count] : widened) {
    const bool whole = type.front() == 'i' || type.front() == 'I';
    weights.notes.push_back(
        fmt::format("{} tensors of {} became {}, exactly", count, type, whole ? "i32" : "f32"));
  }
}

// ---- a safetensors file in parts

// The parts' names by tensor, as the index says.
std::map<std::string, std::string> weight_map_of(const fs::path& path) {
  const auto refuse = [&](const std::string& what) {
    throw FormatError(fmt::format("{}: {}", path.string(), what),
                      "an index has \"weight_map\", with the file of each tensor's name");
  };
  Json index;
  try {
    index = parse_json(read_text(path));
  } catch (const FormatError& error) {
    refuse(error.what());
  }
  const Json* map = index.find("weight_map");
  if (map == nullptr || !map->is_object() || map->size() == 0) refuse("it has no \"weight_map\"");
  if (map->size() > io::kMostTensors) refuse(fmt::format("more than {} tensors", io::kMostTensors));
  std::map<std::string, std::string> parts;
  for (const auto& [name, part] : map->members()) {
    if (!part.is_text()) refuse(fmt::format("the file of {} is no text", in_quotes(name)));
    const fs::path file(part.text());
    const bool is_name = file == file.filename() && part.text().find('\0') == std::string::npos;
    if (part.text().empty() || !is_name || part.text() == "." || part.text() == "..")
      refuse(fmt::format("the file {} is not beside it", in_quotes(part.text())));
    parts.emplace(name, part.text());
  }
  return parts;
}

void read_parts(const fs::path& path, Weights& weights) {
  const std::map<std::string, std::string> parts = weight_map_of(path);
  std::map<std::string, std::set<std::string>> tensors_of;  // by file
  for (const auto& [name, file] : parts) tensors_of[file].insert(name);
  std::map<std::string, std::int64_t> widened;
  for (auto& [file, missing] : tensors_of) {
    const fs::path part = path.parent_path() / file;
    weights.parts.push_back(part);
    const auto refuse = [&](const std::string& what) {
      throw FormatError(fmt::format("{}: {}", part.string(), what), "index and parts are of different files");
    };
    if (is_json(first_bytes(part))) refuse("it is an index itself");
    io::Safetensors content = io::read_safetensors(part, io::StoredTypes::all);
    for (auto& [name, tensor] : content.tensors) {
      if (missing.erase(name) == 0)
        refuse(fmt::format("it has {}, which {} does not say", in_quotes(name), path.filename().string()));
      weights.tensors.emplace_back(name, std::move(tensor));
    }
    // At once: an index may name a large file without tensors thousands of times.
    if (!missing.empty()) refuse(fmt::format("it has no {}", in_quotes(*missing.begin())));
    for (const auto& [type, count] : content.widened) widened[type] += count;
  }
  weights.notes.push_back(
      fmt::format("{} tensors in {} files, by their index", parts.size(), tensors_of.size()));
  note_widened(weights, widened);
}

// ---- names and numbers

// What trainings put in front of all names: DataParallel, torch.compile(), Lightning, and nested modules.
constexpr std::array<std::string_view, 9> kPrefixes = {"module.",    "_orig_mod.", "model.",
                                                       "model_ema.", "ema_model.", "state_dict.",
                                                       "net.",       "network.",   "backbone."};

// AveragedModel and torchvision's moving averages count their updates beside "module.".
void drop_count_of_average(Weights& weights) {
  const auto count = std::ranges::find(weights.tensors, "n_averaged", &State::value_type::first);
  if (count == weights.tensors.end() || count->second.shape().elements() != 1 || weights.tensors.size() < 2)
    return;
  weights.tensors.erase(count);
  weights.notes.emplace_back("'n_averaged' was left out: the weights are averages");
}

void take_off_prefixes(Weights& weights) {
  for (bool found = !weights.tensors.empty(); found;) {
    found = false;
    for (const std::string_view prefix : kPrefixes) {
      const auto has_it = [&](const auto& entry) {
        return entry.first.size() > prefix.size() && entry.first.starts_with(prefix);
      };
      if (!std::ranges::all_of(weights.tensors, has_it)) continue;
      for (auto& [name, tensor] : weights.tensors) name.erase(0, prefix.size());
      weights.prefix += prefix;
      found = true;
      break;
    }
  }
  if (!weights.prefix.empty())
    weights.notes.push_back(fmt::format("'{}' was taken off all names", weights.prefix));
}

// f64 rounded to f32; whether that changed a number. Throws FormatError for one that f32 cannot hold, with `who`
// has it.
bool round_to_f32(Tensor& tensor, const std::string& who) {
  Tensor rounded(tensor.shape());
  const auto from = std::as_const(tensor).view<double>().span();
  const auto to = rounded.values();
  bool changed = false;
  for (std::size_t i = 0; i < from.size(); ++i) {
    to[i] = static_cast<float>(from[i]);
    if (std::isinf(to[i]) && !std::isinf(from[i]))
      throw FormatError(fmt::format("{} has {:.6g}, f32 ends at 3.4e38", who, from[i]),
                        "the training that wrote it had diverged: give weights of before");
    changed = changed || (static_cast<double>(to[i]) != from[i] && !std::isnan(from[i]));
  }
  tensor = std::move(rounded);
  return changed;
}

// A count as i64, where it is one whole number of another type; a model that was cast has it in floating
// point.
void make_count(Tensor& tensor) {
  if (tensor.shape().elements() != 1 || tensor.dtype() == DType::i64) return;
  constexpr float kMost = 0x1p62F;
  std::int64_t value = 0;
  if (tensor.dtype() == DType::i32) {
    value = *tensor.view<std::int32_t>().data;
  } else if (const float given = tensor.dtype() == DType::f32 ? tensor.values()[0] : -1;
             given >= 0 && given < kMost && std::floor(given) == given) {
    value = static_cast<std::int64_t>(given);
  } else {
    return;
  }
  Tensor count(tensor.shape(), DType::i64);
  *count.view<std::int64_t>().data = value;
  tensor = std::move(count);
}

void convert_numbers(Weights& weights) {
  std::int64_t doubles = 0, rounded = 0;
  for (auto& [name, tensor] : weights.tensors) {
    if (tensor.dtype() == DType::f64) {
      ++doubles;
      rounded += round_to_f32(tensor, fmt::format("{}: {}", weights.file, in_quotes(name))) ? 1 : 0;
    }
    if (io::is_count(name)) make_count(tensor);
  }
  if (doubles == 0) return;
  weights.notes.push_back(
      rounded == 0 ? fmt::format("{} tensors of f64 became f32, exactly", doubles)
                   : fmt::format("{} tensors of f64 became f32, {} of them with rounding", doubles, rounded));
}

void read_pth_file(const fs::path& path, Weights& weights) {
  const std::vector<std::byte> bytes = read_file(path);
  try {
    io::PthFile content = io::read_pth(bytes);
    weights.tensors = std::move(content.tensors);
    weights.notes = std::move(content.notes);
    note_widened(weights, content.widened);
  } catch (const FormatError& error) {
    throw FormatError(fmt::format("{}: {}", path.string(), error.what()), error.hint());
  }
}

// As read_model() has it.
void take_network_of_checkpoint(Weights& weights) {
  try {
    weights.tensors = io::model_of(std::move(weights.tensors), weights.metadata).state;
  } catch (const Error& error) {
    throw FormatError(fmt::format("{}: {}", weights.file, error.what()), error.hint());
  }
  weights.metadata.erase(io::kCheckpointKey);  // what is left is a model file's
  weights.notes.emplace_back("the network of a checkpoint was taken");
}

}  // namespace

Weights read_weights(const fs::path& path) {
  Weights weights{path.string(), {}};
  const std::string head = first_bytes(path);
  if (io::is_zip(head)) {
    read_pth_file(path, weights);
  } else if (is_json(head)) {
    read_parts(path, weights);
  } else {
    io::Safetensors content = io::read_safetensors(path, io::StoredTypes::all);
    weights.tensors = std::move(content.tensors);
    weights.metadata = std::move(content.metadata);
    note_widened(weights, content.widened);
    if (weights.metadata.contains(io::kCheckpointKey)) take_network_of_checkpoint(weights);
  }
  if (weights.tensors.empty())
    throw FormatError(path.string() + ": it has no tensors", "give a file of weights");
  drop_count_of_average(weights);
  take_off_prefixes(weights);
  convert_numbers(weights);
  return weights;
}

}  // namespace resnet
