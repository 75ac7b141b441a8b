#include "io/pth/callables.h"

#include <fmt/core.h>

#include <algorithm>
#include <iterator>

#include "base/text.h"
#include "resnet/error.h"

namespace resnet::io {
namespace {

using Means = Callable::Means;

constexpr Callable kCallables[] = {
    {"collections.OrderedDict", Means::dict},
    {"collections.defaultdict", Means::dict},
    {"torch._utils._rebuild_tensor_v2", Means::rebuild_tensor},
    {"torch._utils._rebuild_parameter", Means::rebuild_parameter},
    {"torch.Size", Means::size},
    {"torch.DoubleStorage", Means::storage_type, StoredType::f64},
    {"torch.FloatStorage", Means::storage_type, StoredType::f32},
    {"torch.HalfStorage", Means::storage_type, StoredType::f16},
    {"torch.BFloat16Storage", Means::storage_type, StoredType::bf16},
    {"torch.LongStorage", Means::storage_type, StoredType::i64},
    {"torch.IntStorage", Means::storage_type, StoredType::i32},
    {"torch.ShortStorage", Means::storage_type, StoredType::i16},
    {"torch.CharStorage", Means::storage_type, StoredType::i8},
    {"torch.ByteStorage", Means::storage_type, StoredType::u8},
    {"torch.BoolStorage", Means::storage_type, StoredType::boolean},
    {"torch.device"},
    {"torch.float64"},
    {"torch.float32"},
    {"torch.float16"},
    {"torch.bfloat16"},
    {"torch.int64"},
    {"_codecs.encode"},
    {"collections.Counter"},  // MultiStepLR's milestones
    {"builtins.bool"},
    {"builtins.bytearray"},
    {"builtins.complex"},
    {"builtins.dict"},
    {"builtins.float"},
    {"builtins.frozenset"},
    {"builtins.int"},
    {"builtins.list"},
    {"builtins.long"},  // what protocol 2 calls int
    {"builtins.set"},
    {"builtins.str"},
    {"builtins.tuple"},
    {"builtins.unicode"},  // what protocol 2 calls str
};

constexpr std::size_t kShownCallable = 100;

// What to do about a pickle that names `callable`.
std::string hint_for(const std::string& callable) {
  const auto of = [&](std::string_view module) { return callable.starts_with(module); };
  if (of("torch.nn.") || of("torchvision.") || of("timm.") || of("__main__.") || of("__torch__.")) {
    return "it is a whole model, which is code: save its weights, torch.save(model.state_dict(), FILE)";
  }
  return "nothing was executed; if you trust the file, save its weights alone in PyTorch: "
         "torch.save(model.state_dict(), FILE)";
}

}  // namespace

std::uint32_t place_of_callable(std::string_view module, std::string_view name) {
  if (module == "__builtin__") module = "builtins";  // as Python 2 and protocol 2 call it
  const std::string callable = std::string(module) + "." + std::string(name);
  const auto* found = std::ranges::find(kCallables, callable, &Callable::name);
  if (found == std::end(kCallables)) {
    throw FormatError(fmt::format("its pickle asks for '{}', which no file of weights needs",
                                  shown(callable, kShownCallable)),
                      hint_for(callable));
  }
  return static_cast<std::uint32_t>(found - std::begin(kCallables));
}

const Callable& callable_at(std::uint32_t place) noexcept {
  return kCallables[place];
}

}  // namespace resnet::io
