#include "cuda/cudnn.h"

#include <dlfcn.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <utility>

namespace resnet::cuda {
namespace {

enum : int {
#define RESNET_CUDNN(name, theirs, number) name = (number),
#include "cuda/cudnn_numbers.def"
#undef RESNET_CUDNN
};

using Descriptor = void*;
using Sizes = std::array<std::int64_t, 4>;  // n, c, h, w

// Most engine configurations that heuristics are asked for, and most notes of an engine.
constexpr std::int64_t kMostCandidates = 64, kMostNotes = 16;

}  // namespace

// The functions by their own names; statuses and enumerations are int.
struct CudnnFunctions {
  std::size_t (*cudnnGetVersion)();
  const char* (*cudnnGetErrorString)(int status);
  void (*cudnnGetLastErrorString)(char* message, std::size_t size);
  int (*cudnnCreate)(void** handle);
  int (*cudnnDestroy)(void* handle);
  int (*cudnnSetStream)(void* handle, void* stream);
  int (*cudnnBackendCreateDescriptor)(int type, Descriptor* descriptor);
  int (*cudnnBackendDestroyDescriptor)(Descriptor descriptor);
  int (*cudnnBackendFinalize)(Descriptor descriptor);
  int (*cudnnBackendSetAttribute)(Descriptor descriptor, int name, int type, std::int64_t count,
                                  const void* values);
  int (*cudnnBackendGetAttribute)(Descriptor descriptor, int name, int type, std::int64_t most,
                                  std::int64_t* count, void* values);
  int (*cudnnBackendExecute)(void* handle, Descriptor plan, Descriptor pack);

  void expect(int status, const char* what) const {
    if (status == 0) return;
    std::array<char, 128> more{};  // a line, with what is said around it
    cudnnGetLastErrorString(more.data(), more.size());
    std::string text = std::string(what) + ": " + cudnnGetErrorString(status) + " " + more.data();
    std::ranges::replace(text, '\n', ' ');
    throw CudnnError(text);
  }
};

}  // namespace resnet::cuda

// Descriptors that refer to each other, and end together.
struct resnet_convolution_plan::Descriptors {
  explicit Descriptors(const resnet::cuda::CudnnFunctions& all) : functions(all) {}
  ~Descriptors() {
    for (auto one = made.rbegin(); one != made.rend(); ++one)
      static_cast<void>(functions.cudnnBackendDestroyDescriptor(*one));
  }
  Descriptors(const Descriptors&) = delete;
  Descriptors& operator=(const Descriptors&) = delete;

  const resnet::cuda::CudnnFunctions& functions;
  std::vector<void*> made;
};

resnet_convolution_plan::resnet_convolution_plan() = default;
resnet_convolution_plan::~resnet_convolution_plan() = default;

namespace resnet::cuda {
namespace {

// Makes descriptors: the graph of one operation, and what follows from it.
class Maker {
 public:
  explicit Maker(resnet_convolution_plan::Descriptors& all) : all_(all), functions_(all.functions) {}

  Descriptor make(int type) {
    Descriptor made = nullptr;
    functions_.expect(functions_.cudnnBackendCreateDescriptor(type, &made), "making a descriptor");
    all_.made.push_back(made);
    return made;
  }
  template <class T>
  void set(Descriptor d, int name, int type, const T& value) {
    functions_.expect(functions_.cudnnBackendSetAttribute(d, name, type, 1, &value),
                      "describing a convolution");
  }
  template <class List>
  void set_list(Descriptor d, int name, int type, const List& list) {
    functions_.expect(functions_.cudnnBackendSetAttribute(
                          d, name, type, static_cast<std::int64_t>(list.size()), list.data()),
                      "describing a convolution");
  }
  Descriptor finalized(Descriptor d, const char* what) {
    functions_.expect(functions_.cudnnBackendFinalize(d), what);
    return d;
  }

  Descriptor card(const Cudnn::Card& card) {
    const Descriptor d = make(kDevice);
    set_list(d, kDeviceJson, kOfChar, card.described);
    return finalized(d, "describing a card");
  }

  Descriptor graph(const resnet_convolution& c, const Cudnn::Card& card) {
    const std::int64_t ho = (c.h + 2 * c.ph - c.dh * (c.kh - 1) - 1) / c.sh + 1;
    const std::int64_t wo = (c.w + 2 * c.pw - c.dw * (c.kw - 1) - 1) / c.sw + 1;
    const int type = c.bf16 != 0 ? kBf16 : kF32;
    const Descriptor x = tensor(type, {c.n, c.ci, c.h, c.w}, 1);
    const Descriptor w = tensor(type, {c.co, c.ci / c.groups, c.kh, c.kw}, 2);
    const Descriptor y = tensor(type, {c.n, c.co, ho, wo}, 3);
    const Descriptor operation = pass(c, x, w, y);
    const Descriptor d = make(kOperationGraph);
    set(d, kGraphOperations, kOfDescriptor, operation);
    if (card.handle != nullptr) set(d, kGraphHandle, kOfHandle, card.handle);
    return finalized(d, "describing a convolution");
  }

 private:
  // NHWC.
  Descriptor tensor(int type, const Sizes& sizes, std::int64_t id) {
    const Sizes strides = {sizes[1] * sizes[2] * sizes[3], 1, sizes[3] * sizes[1], sizes[1]};
    const Descriptor d = make(kTensor);
    set(d, kTensorType, kOfDataType, type);
    set_list(d, kTensorSizes, kOfInt64, sizes);
    set_list(d, kTensorStrides, kOfInt64, strides);
    set(d, kTensorId, kOfInt64, id);
    set(d, kTensorAlignment, kOfInt64, std::int64_t{16});
    return finalized(d, "describing a tensor");
  }

  Descriptor convolution(const resnet_convolution& c) {
    using Pair = std::array<std::int64_t, 2>;
    const Descriptor d = make(kConvolution);
    set(d, kConvolutionSums, kOfDataType, int{kF32});
    set(d, kConvolutionMode, kOfConvolutionMode, int{kCrossCorrelation});
    set(d, kConvolutionAxes, kOfInt64, std::int64_t{2});
    set_list(d, kConvolutionPaddingBefore, kOfInt64, Pair{c.ph, c.pw});
    set_list(d, kConvolutionPaddingBehind, kOfInt64, Pair{c.ph, c.pw});
    set_list(d, kConvolutionStrides, kOfInt64, Pair{c.sh, c.sw});
    set_list(d, kConvolutionDilations, kOfInt64, Pair{c.dh, c.dw});
    return finalized(d, "describing a convolution");
  }

  Descriptor pass(const resnet_convolution& c, Descriptor x, Descriptor w, Descriptor y) {
    struct Names {
      int operation, alpha, beta, convolution, x, w, y;
    };
    static constexpr std::array<Names, 3> kPasses = {{
        {kForward, kForwardAlpha, kForwardBeta, kForwardConvolution, kForwardX, kForwardW, kForwardY},
        {kInputGradient, kInputGradientAlpha, kInputGradientBeta, kInputGradientConvolution, kInputGradientDx,
         kInputGradientW, kInputGradientDy},
        {kWeightGradient, kWeightGradientAlpha, kWeightGradientBeta, kWeightGradientConvolution,
         kWeightGradientX, kWeightGradientDw, kWeightGradientDy},
    }};
    const Names& names = kPasses[static_cast<std::size_t>(c.pass)];
    const Descriptor d = make(names.operation);
    set(d, names.convolution, kOfDescriptor, convolution(c));
    set(d, names.x, kOfDescriptor, x);
    set(d, names.w, kOfDescriptor, w);
    set(d, names.y, kOfDescriptor, y);
    set(d, names.alpha, kOfFloat, 1.0F);
    set(d, names.beta, kOfFloat, c.adds != 0 ? 1.0F : 0.0F);
    return finalized(d, "describing a convolution");
  }

  resnet_convolution_plan::Descriptors& all_;
  const CudnnFunctions& functions_;
};

// The notes of an engine, of one kind.
std::vector<int> notes(const CudnnFunctions& functions, Descriptor engine, int name, int type) {
  std::vector<int> found(kMostNotes);
  std::int64_t count = 0;
  functions.expect(functions.cudnnBackendGetAttribute(engine, name, type, kMostNotes, &count, found.data()),
                   "reading an engine's notes");
  found.resize(static_cast<std::size_t>(std::min(count, kMostNotes)));
  return found;
}

// Why an engine is not for us; "" where it is.
std::string objection(const CudnnFunctions& functions, Descriptor engine) {
  const std::vector<int> numerical = notes(functions, engine, kEngineNumericalNotes, kOfNumericalNote);
  if (std::ranges::find(numerical, int{kTensorCores}) == numerical.end()) return "it uses no tensor cores";
  for (const int note : numerical) {
    if (note == kNondeterministic) return "it gives other bits from run to run";
    if (note == kDownConverts || note == kReducedSums) return "it rounds more than its operands' type does";
    if (note == kFft || note == kWinograd) return "it transforms its operands";
  }
  for (const int note : notes(functions, engine, kEngineBehaviorNotes, kOfBehaviorNote))
    if (note == kCompilesAtRunTime) return "it is compiled at run time";
  return "";
}

std::int64_t number(const CudnnFunctions& functions, Descriptor d, int name) {
  std::int64_t value = 0, count = 0;
  functions.expect(functions.cudnnBackendGetAttribute(d, name, kOfInt64, 1, &count, &value),
                   "reading a descriptor");
  return value;
}

// The same as resnet_convolution has them; false where there are more knobs than it holds.
bool read_config(Maker& maker, const CudnnFunctions& functions, Descriptor config, resnet_convolution& to) {
  Descriptor engine = maker.make(kEngine);
  std::int64_t count = 0;
  functions.expect(
      functions.cudnnBackendGetAttribute(config, kConfigEngine, kOfDescriptor, 1, &count, &engine),
      "reading an engine");
  if (!objection(functions, engine).empty()) return false;
  to.engine = static_cast<std::int32_t>(number(functions, engine, kEngineNumber));
  std::array<Descriptor, RESNET_MOST_KNOBS> knobs{};
  for (Descriptor& knob : knobs) knob = maker.make(kKnobChoice);
  functions.expect(functions.cudnnBackendGetAttribute(config, kConfigKnobs, kOfDescriptor, RESNET_MOST_KNOBS,
                                                      &count, knobs.data()),
                   "reading an engine's knobs");
  if (count > RESNET_MOST_KNOBS) return false;
  to.knobs = static_cast<std::int32_t>(count);
  for (std::size_t i = 0; i < static_cast<std::size_t>(count); ++i) {
    std::int64_t one = 0;
    functions.expect(
        functions.cudnnBackendGetAttribute(knobs[i], kKnobType, kOfKnobType, 1, &one, &to.knob[i].type),
        "reading a knob");
    to.knob[i].value = static_cast<std::int32_t>(number(functions, knobs[i], kKnobValue));
  }
  return true;
}

}  // namespace

std::vector<std::string> Cudnn::default_paths() {
  static constexpr const char* kName = "libcudnn.so.9";
  if (const char* folder = std::getenv("RESNET_CUDNN_DIR"); folder != nullptr && *folder != '\0')
    return {std::string(folder) + "/" + kName};
  return {kName, std::string("/usr/local/cuda/lib64/") + kName};
}

Cudnn::Cudnn(const std::vector<std::string>& paths) : functions_(std::make_unique<CudnnFunctions>()) {
  void* library = nullptr;
  std::string first;  // what the loader says of the place that was meant
  for (const std::string& path : paths) {
    library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (library != nullptr) break;
    const char* const text = dlerror();
    if (first.empty()) first = text != nullptr ? text : path;
  }
  if (library == nullptr) throw CudnnError("no cuDNN (" + first + ")");
  const auto load = [&](auto& function, const char* name) {
    function = reinterpret_cast<std::remove_reference_t<decltype(function)>>(dlsym(library, name));
    if (function == nullptr) throw CudnnError(std::string("this cuDNN has no function ") + name);
  };
#define RESNET_LOAD(name) load(functions_->name, #name)
  RESNET_LOAD(cudnnGetVersion);
  RESNET_LOAD(cudnnGetErrorString);
  RESNET_LOAD(cudnnGetLastErrorString);
  RESNET_LOAD(cudnnCreate);
  RESNET_LOAD(cudnnDestroy);
  RESNET_LOAD(cudnnSetStream);
  RESNET_LOAD(cudnnBackendCreateDescriptor);
  RESNET_LOAD(cudnnBackendDestroyDescriptor);
  RESNET_LOAD(cudnnBackendFinalize);
  RESNET_LOAD(cudnnBackendSetAttribute);
  RESNET_LOAD(cudnnBackendGetAttribute);
  RESNET_LOAD(cudnnBackendExecute);
#undef RESNET_LOAD
  version_ = static_cast<int>(functions_->cudnnGetVersion());
  if (version_ / 10000 != 9) throw CudnnError("cuDNN " + std::to_string(version_) + " is not of version 9");
}

Cudnn::~Cudnn() = default;

void* Cudnn::make_handle(void* stream) const {
  void* handle = nullptr;
  functions_->expect(functions_->cudnnCreate(&handle), "making cuDNN's handle");
  if (const int status = functions_->cudnnSetStream(handle, stream)) {
    end_handle(handle);
    functions_->expect(status, "giving cuDNN a stream");
  }
  return handle;
}

void Cudnn::end_handle(void* handle) const {
  if (handle != nullptr) static_cast<void>(functions_->cudnnDestroy(handle));
}

std::string Cudnn::description(void* handle) const {
  resnet_convolution_plan::Descriptors own(*functions_);
  Maker maker(own);
  const Descriptor d = maker.make(kDevice);
  maker.set(d, kDeviceHandle, kOfHandle, handle);
  maker.finalized(d, "describing a card");
  std::string json;
  std::int64_t count = 0;  // first of what there is, then of what was read
  for (int i = 0; i < 2; ++i) {
    json.resize(static_cast<std::size_t>(count));
    functions_->expect(functions_->cudnnBackendGetAttribute(d, kDeviceJson, kOfChar, count, &count,
                                                            count > 0 ? json.data() : nullptr),
                       "describing a card");
  }
  return json.substr(0, json.find('\0'));
}

std::unique_ptr<resnet_convolution_plan> Cudnn::plan(const resnet_convolution& what, const Card& card) const {
  auto plan = std::make_unique<resnet_convolution_plan>();
  plan->descriptors = std::make_unique<resnet_convolution_plan::Descriptors>(*functions_);
  plan->handle = card.handle;
  Maker maker(*plan->descriptors);
  const Descriptor described = card.handle == nullptr ? maker.card(card) : nullptr;
  const std::string name = "engine " + std::to_string(what.engine);

  const Descriptor engine = maker.make(kEngine);
  maker.set(engine, kEngineGraph, kOfDescriptor, maker.graph(what, card));
  maker.set(engine, kEngineNumber, kOfInt64, std::int64_t{what.engine});
  if (described != nullptr) maker.set(engine, kEngineDevice, kOfDescriptor, described);
  maker.finalized(engine, name.c_str());
  if (const std::string why = objection(*functions_, engine); !why.empty())
    throw CudnnError(name + ": " + why);

  const Descriptor config = maker.make(kEngineConfig);
  maker.set(config, kConfigEngine, kOfDescriptor, engine);
  std::vector<Descriptor> knobs;
  for (int i = 0; i < what.knobs; ++i) {
    knobs.push_back(maker.make(kKnobChoice));
    maker.set(knobs.back(), kKnobType, kOfKnobType, what.knob[i].type);
    maker.set(knobs.back(), kKnobValue, kOfInt64, std::int64_t{what.knob[i].value});
    maker.finalized(knobs.back(), name.c_str());
  }
  if (!knobs.empty()) maker.set_list(config, kConfigKnobs, kOfDescriptor, knobs);
  maker.finalized(config, name.c_str());

  plan->execution = maker.make(kExecutionPlan);
  if (card.handle != nullptr) maker.set(plan->execution, kPlanHandle, kOfHandle, card.handle);
  if (described != nullptr) maker.set(plan->execution, kPlanDevice, kOfDescriptor, described);
  maker.set(plan->execution, kPlanConfig, kOfDescriptor, config);
  maker.finalized(plan->execution, name.c_str());
  plan->workspace_bytes = number(*functions_, plan->execution, kPlanWorkspace);
  return plan;
}

void Cudnn::run(const resnet_convolution_plan& plan, const resnet_convolution_data& data) const {
  resnet_convolution_plan::Descriptors own(*functions_);
  Maker maker(own);
  const Descriptor pack = maker.make(kVariantPack);
  maker.set_list(pack, kPackIds, kOfInt64, std::array<std::int64_t, 3>{1, 2, 3});
  maker.set_list(pack, kPackPointers, kOfPointer, std::array<void*, 3>{data.x, data.w, data.y});
  maker.set(pack, kPackWorkspace, kOfPointer, data.workspace);
  maker.finalized(pack, "naming a convolution's data");
  functions_->expect(functions_->cudnnBackendExecute(plan.handle, plan.execution, pack), "computing");
}

std::vector<resnet_convolution> Cudnn::candidates(const resnet_convolution& pass, const Card& card) const {
  resnet_convolution_plan::Descriptors own(*functions_);
  Maker maker(own);
  const Descriptor heuristics = maker.make(kHeuristics);
  maker.set(heuristics, kHeuristicsGraph, kOfDescriptor, maker.graph(pass, card));
  maker.set(heuristics, kHeuristicsMode, kOfHeuristicsMode, int{kBestHeuristics});
  if (card.handle == nullptr) maker.set(heuristics, kHeuristicsDevice, kOfDescriptor, maker.card(card));
  maker.finalized(heuristics, "asking heuristics");
  std::vector<Descriptor> configs;
  for (std::int64_t i = 0; i < kMostCandidates; ++i) configs.push_back(maker.make(kEngineConfig));
  std::int64_t count = 0;
  functions_->expect(functions_->cudnnBackendGetAttribute(heuristics, kHeuristicsResults, kOfDescriptor,
                                                          kMostCandidates, &count, configs.data()),
                     "asking heuristics");
  configs.resize(static_cast<std::size_t>(std::min(count, kMostCandidates)));
  std::vector<resnet_convolution> found;
  for (const Descriptor config : configs) {
    resnet_convolution one = pass;
    if (read_config(maker, *functions_, config, one)) found.push_back(one);
  }
  return found;
}

}  // namespace resnet::cuda
