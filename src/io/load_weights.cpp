// A network filled with the weights of a file.
#include <fmt/core.h>

#include <algorithm>
#include <map>

#include "base/joined.h"
#include "io/model_metadata.h"
#include "io/safetensors.h"
#include "io/state_names.h"
#include "resnet/weights.h"

namespace resnet {
namespace {

using io::belongs_to;

// Whether two shapes are the same but for one axis.
bool differ_in(int axis, const Shape& a, const Shape& b) {
  if (a.rank() != b.rank() || axis >= a.rank()) return false;
  for (int i = 0; i < a.rank(); ++i) {
    if (i != axis && a[i] != b[i]) return false;
  }
  return a[axis] != b[axis];
}

// Filters [Co,I,Kh,Kw] for another number of input channels; see LoadOptions::adapt_input. `into` has the
// shape. Source: timm, adapt_input_conv() of timm/models/_manipulate.py.
void adapt_filters(const Tensor& from, Tensor& into) {
  const Shape &f = from.shape(), &t = into.shape();
  const std::int64_t theirs = f[1], ours = t[1], pixels = f[2] * f[3];
  const float* x = from.values().data();
  float* y = into.values().data();
  const float factor = static_cast<float>(theirs) / static_cast<float>(ours);
  for (std::int64_t filter = 0; filter < f[0]; ++filter, x += theirs * pixels, y += ours * pixels) {
    for (std::int64_t p = 0; p < pixels; ++p) {
      if (ours == 1) {
        float sum = 0;
        for (std::int64_t c = 0; c < theirs; ++c) sum += x[c * pixels + p];
        y[p] = sum;
      } else {
        for (std::int64_t c = 0; c < ours; ++c) y[c * pixels + p] = x[c % theirs * pixels + p] * factor;
      }
    }
  }
}

bool can_adapt(const Tensor& from, const Shape& into) {
  const Shape& shape = from.shape();
  return from.dtype() == DType::f32 && shape.rank() == 4 && differ_in(1, shape, into) && into[1] > 0 &&
         (shape[1] == 3 || shape[1] == 1 || (shape[1] == 2 && into[1] == 1));
}

// Goes once through the network's parameters.
class Matcher {
 public:
  Matcher(const nn::Module& net, const Weights& weights, const LoadOptions& options)
      : net_(net), weights_(weights), options_(options), head_(head_of(net)), stem_(stem_of(net)) {
    for (const auto& [name, tensor] : weights.tensors) left_[name] = &tensor;
  }

  void match() {
    const std::string prefix = prefix_of_net();
    if (options_.replace_head && has_other_classes()) {
      new_head = true;
      head_was = "its classes are others in the file";
    }
    nn::for_each_parameter(net_, [&](const std::string& name, const nn::Parameter& parameter) {
      match(name, name.substr(std::min(prefix.size(), name.size())), parameter);
    });
    for (const auto& [name, tensor] : weights_.tensors) {
      if (!left_.contains(name) || io::is_count(name)) continue;
      if (options_.replace_head && belongs_to(prefix + name, head_)) continue;
      differences.push_back({name, io::described(tensor.dtype(), tensor.shape()), ""});
    }
    if (new_head) std::erase_if(taken, [&](const auto& value) { return belongs_to(value.first, head_); });
  }

  State taken;
  std::vector<TensorDifference> differences;
  bool new_head = false, adapted_input = false;
  std::string head_was, input_was, input_is;

  const std::string& head() const noexcept { return head_; }
  const std::string& stem() const noexcept { return stem_; }

 private:
  bool has_other_classes() const {
    if (options_.classes.empty()) return false;
    try {
      const std::vector<std::string> theirs = io::classes_of(weights_.metadata);
      return !theirs.empty() && theirs != options_.classes;
    } catch (const FormatError& error) {
      throw FormatError(fmt::format("{}: {}", weights_.file, error.what()), error.hint());
    }
  }

  // A module of a person's own may have in all its names what was taken off the file's, or the end of it.
  std::string prefix_of_net() const {
    for (std::string_view prefix = weights_.prefix; !prefix.empty();
         prefix.remove_prefix(std::min(prefix.find('.'), prefix.size() - 1) + 1)) {
      bool all = true;
      nn::for_each_parameter(net_, [&](const std::string& name, const nn::Parameter&) {
        all = all && name.starts_with(prefix);
      });
      if (all) return std::string(prefix);
    }
    return "";
  }

  void match(const std::string& name, const std::string& of_file, const nn::Parameter& parameter) {
    const bool count = parameter.kind == nn::ParameterKind::batches_tracked;
    const DType dtype = count ? DType::i64 : DType::f32;
    const bool of_head = options_.replace_head && belongs_to(name, head_);
    const auto found = left_.find(of_file);
    if (found == left_.end()) return miss(name, parameter);
    const Tensor& tensor = *found->second;
    left_.erase(found);
    if (tensor.dtype() == dtype && tensor.shape() == parameter.shape) {
      taken.emplace_back(name, tensor);
    } else if (of_head && tensor.dtype() == dtype && differ_in(0, tensor.shape(), parameter.shape)) {
      new_head = true;
      head_was = fmt::format("{} outputs in the file, {} here", tensor.shape()[0], parameter.shape[0]);
    } else if (options_.adapt_input && name == stem_ + ".weight" && can_adapt(tensor, parameter.shape)) {
      Tensor adapted(parameter.shape);
      adapt_filters(tensor, adapted);
      taken.emplace_back(name, std::move(adapted));
      adapted_input = true;
      input_was = std::to_string(tensor.shape()[1]), input_is = std::to_string(parameter.shape[1]);
    } else if (count) {
      miss(name, parameter);  // nothing depends on it
    } else {
      differences.push_back(
          {name, io::described(tensor.dtype(), tensor.shape()), io::described(dtype, parameter.shape)});
    }
  }

  void miss(const std::string& name, const nn::Parameter& parameter) {
    if (parameter.kind == nn::ParameterKind::batches_tracked) {
      if (!parameter.set) taken.emplace_back(name, Tensor(parameter.shape, DType::i64));
    } else if (options_.replace_head && belongs_to(name, head_)) {
      new_head = true;
    } else {
      differences.push_back({name, "", io::described(DType::f32, parameter.shape)});
    }
  }

  const nn::Module& net_;
  const Weights& weights_;
  const LoadOptions& options_;
  std::string head_, stem_;
  std::map<std::string_view, const Tensor*> left_;
};

// The first ones, which say what kind of difference it is, and how many more there are.
std::string listed(const std::vector<TensorDifference>& differences) {
  constexpr std::size_t kMost = 3;
  std::vector<std::string> texts;
  for (std::size_t i = 0; i < std::min(kMost, differences.size()); ++i)
    texts.push_back(to_string(differences[i]));
  if (differences.size() > kMost) texts.push_back(fmt::format("and {} more", differences.size() - kMost));
  return joined(texts, "; ");
}

// What to do about weights that do not fit.
std::string hint_for(const Matcher& found, const nn::Module& net, const Weights& weights,
                     const LoadOptions& options) {
  const auto& differences = found.differences;
  if (!options.replace_head &&
      std::ranges::all_of(differences, [&](const auto& d) { return belongs_to(d.name, found.head()); }))
    return "other classes? LoadOptions::replace_head takes all but the head";
  if (!options.adapt_input && differences.size() == 1 && differences[0].name == found.stem() + ".weight" &&
      !differences[0].file.empty())
    return "other input channels? LoadOptions::adapt_input fits the first convolution to them";
  const Recognition holds = recognise(weights);
  if (holds.known())
    return fmt::format("the file holds {}; this network is {}", to_string(holds), net.title());
  return "is it a file of this network?";
}

}  // namespace

std::string stem_of(const nn::Module& net) {
  std::string stem;
  nn::for_each_parameter(net, [&](const std::string& name, const nn::Parameter& parameter) {
    if (stem.empty() && parameter.kind == nn::ParameterKind::weight) stem = io::owner_of(name);
  });
  return stem;
}

std::string head_of(const nn::Module& net) {
  std::string head;
  nn::for_each_parameter(net, [&](const std::string& name, const nn::Parameter& parameter) {
    if (parameter.kind == nn::ParameterKind::weight) head = io::owner_of(name);
  });
  return head;
}

LoadReport load_weights(nn::Module& net, const Weights& weights, const LoadOptions& options) {
  Matcher found(net, weights, options);
  found.match();
  if (!found.differences.empty()) {
    if (options.differs) std::ranges::for_each(found.differences, options.differs);
    throw FormatError(fmt::format("{}: {}", weights.file, listed(found.differences)),
                      hint_for(found, net, weights, options));
  }
  set_state(net, found.taken);  // all at once, or nothing
  LoadReport report{found.new_head, found.adapted_input, weights.notes};
  if (found.new_head) {
    report.decisions.push_back(fmt::format("the head '{}' begins anew: {}", found.head(),
                                           found.head_was.empty() ? "the file has none" : found.head_was));
  }
  if (found.adapted_input) {
    report.decisions.push_back(fmt::format("'{}' was adapted from {} input channels to {}, as timm does",
                                           found.stem(), found.input_was, found.input_is));
  }
  return report;
}

LoadReport load_weights(nn::Module& net, const std::filesystem::path& path, const LoadOptions& options) {
  return load_weights(net, read_weights(path), options);
}

}  // namespace resnet
