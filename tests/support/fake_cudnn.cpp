// cuDNN's backend interface without cuDNN: it keeps descriptors, holds them to what the real one asks for,
// and computes convolutions on this processor from the tensors' own sizes and strides. Engines 0 to 99 are
// there; of them
//   25 gives other bits from run to run, 26 is compiled at run time, 27 uses no tensor cores,
// and the one that RESNET_FAKE_CUDNN_REFUSES names is not supported. A plan with a knob {25, 1} needs a
// workspace; each of RESNET_FAKE_CUDNN_WORKSPACE bytes, where that is set.
#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "device/words.h"

namespace {

enum : int {
#define RESNET_CUDNN(name, theirs, number) name = number,
#include "cuda/cudnn_numbers.def"
#undef RESNET_CUDNN
};

constexpr int kBadParam = 2000, kNotSupported = 3000;
constexpr std::int64_t kWorkspace = 100;

struct Node;
using Shared = std::shared_ptr<Node>;
struct Attribute {
  int type = 0;
  std::vector<std::byte> bytes;
  std::vector<Shared> nodes;  // of descriptors, as they were
};
struct Node {
  int type = 0;
  bool finalized = false;
  std::map<int, Attribute> attributes;

  template <class T>
  std::vector<T> list(int name) const {
    const auto found = attributes.find(name);
    if (found == attributes.end()) return {};
    std::vector<T> values(found->second.bytes.size() / sizeof(T));
    std::memcpy(values.data(), found->second.bytes.data(), found->second.bytes.size());
    return values;
  }
  template <class T>
  T one(int name) const {
    const auto values = list<T>(name);
    return values.empty() ? T{} : values.front();
  }
  const Node* node(int name) const {
    const auto found = attributes.find(name);
    return found == attributes.end() || found->second.nodes.empty() ? nullptr
                                                                    : found->second.nodes.front().get();
  }
};

std::string last_error;
int live = 0;  // handles and descriptors

int failed(int status, const std::string& why) {
  last_error = why;
  return status;
}
Node& node_of(void* descriptor) {
  return **static_cast<Shared*>(descriptor);
}
std::size_t size_of_type(int type) {
  if (type == kOfInt64 || type == kOfHandle || type == kOfPointer || type == kOfDescriptor) return 8;
  return type == kOfChar ? 1 : 4;
}

// A tensor as the real one is described.
struct Tensor {
  std::int64_t n[4], stride[4];  // n, c, h, w
  int type;
  void* data = nullptr;

  explicit Tensor(const Node& node) : type(node.one<int>(kTensorType)) {
    const auto sizes = node.list<std::int64_t>(kTensorSizes),
               strides = node.list<std::int64_t>(kTensorStrides);
    for (std::size_t i = 0; i < 4; ++i) {
      n[i] = sizes[i];
      stride[i] = strides[i];
    }
  }
  std::int64_t at(std::int64_t a, std::int64_t b, std::int64_t c, std::int64_t d) const {
    return a * stride[0] + b * stride[1] + c * stride[2] + d * stride[3];
  }
  // As the tensor cores see it.
  double read(std::int64_t i) const {
    using namespace resnet::device;
    if (type == kBf16) return static_cast<double>(to_float(static_cast<const Bf16*>(data)[i]));
    return static_cast<double>(std::bit_cast<float>(to_tf32(static_cast<const float*>(data)[i])));
  }
  void write(std::int64_t i, double value, double beta) const {
    using namespace resnet::device;
    if (type == kBf16) {
      auto* to = static_cast<Bf16*>(data);
      to[i] = rounded<Bf16>(
          static_cast<float>(beta == 0 ? value : value + beta * static_cast<double>(to_float(to[i]))));
    } else {
      auto* to = static_cast<float*>(data);
      to[i] = static_cast<float>(beta == 0 ? value : value + beta * static_cast<double>(to[i]));
    }
  }
};

struct Pass {
  int operation, alpha, beta, convolution, x, w, y;
};
constexpr Pass kPasses[] = {
    {kForward, kForwardAlpha, kForwardBeta, kForwardConvolution, kForwardX, kForwardW, kForwardY},
    {kInputGradient, kInputGradientAlpha, kInputGradientBeta, kInputGradientConvolution, kInputGradientDx,
     kInputGradientW, kInputGradientDy},
    {kWeightGradient, kWeightGradientAlpha, kWeightGradientBeta, kWeightGradientConvolution, kWeightGradientX,
     kWeightGradientDw, kWeightGradientDy},
};

// Every product of a convolution: f(place in x, in w, in y).
template <class F>
void for_all_products(const Node& convolution, const Tensor& x, const Tensor& w, const Tensor& y,
                      const F& f) {
  const auto padding = convolution.list<std::int64_t>(kConvolutionPaddingBefore);
  const auto stride = convolution.list<std::int64_t>(kConvolutionStrides);
  const auto dilation = convolution.list<std::int64_t>(kConvolutionDilations);
  const std::int64_t of_group = w.n[0] / (x.n[1] / w.n[1]);  // channels out
  for (std::int64_t n = 0; n < y.n[0]; ++n)
    for (std::int64_t k = 0; k < y.n[1]; ++k)
      for (std::int64_t p = 0; p < y.n[2]; ++p)
        for (std::int64_t q = 0; q < y.n[3]; ++q)
          for (std::int64_t r = 0; r < w.n[2]; ++r)
            for (std::int64_t s = 0; s < w.n[3]; ++s) {
              const std::int64_t h = p * stride[0] + r * dilation[0] - padding[0];
              const std::int64_t v = q * stride[1] + s * dilation[1] - padding[1];
              if (h < 0 || h >= x.n[2] || v < 0 || v >= x.n[3]) continue;
              for (std::int64_t c = 0; c < w.n[1]; ++c)
                f(x.at(n, k / of_group * w.n[1] + c, h, v), w.at(k, c, r, s), y.at(n, k, p, q));
            }
}

void compute(const Node& operation, const Pass& pass, Tensor x, Tensor w, Tensor y) {
  const Node& convolution = *operation.node(pass.convolution);
  const Tensor& out = pass.operation == kForward ? y : pass.operation == kInputGradient ? x : w;
  std::vector<double> sums(static_cast<std::size_t>(out.n[0] * out.n[1] * out.n[2] * out.n[3]));
  for_all_products(convolution, x, w, y, [&](std::int64_t at_x, std::int64_t at_w, std::int64_t at_y) {
    const double a = &out == &x ? y.read(at_y) : x.read(at_x);
    const double b = &out == &w ? y.read(at_y) : w.read(at_w);
    const std::int64_t to = &out == &y ? at_y : &out == &x ? at_x : at_w;
    sums[static_cast<std::size_t>(to)] += a * b;
  });
  const auto beta = static_cast<double>(operation.one<float>(pass.beta));
  for (std::size_t i = 0; i < sums.size(); ++i) out.write(static_cast<std::int64_t>(i), sums[i], beta);
}

// What the real one would not take.
std::string objection(const Node& node) {
  const auto has = [&](int name, std::size_t bytes) {
    const auto found = node.attributes.find(name);
    return found != node.attributes.end() && found->second.bytes.size() == bytes;
  };
  if (node.type == kTensor) {
    if (!has(kTensorType, 4) || !has(kTensorSizes, 32) || !has(kTensorStrides, 32) || !has(kTensorId, 8) ||
        !has(kTensorAlignment, 8))
      return "an incomplete tensor";
    const Tensor t(node);
    if (t.stride[1] != 1 || t.stride[3] != t.n[1] || t.stride[2] != t.n[1] * t.n[3] ||
        t.stride[0] != t.n[1] * t.n[2] * t.n[3])
      return "a tensor that is not NHWC";
  }
  if (node.type == kConvolution) {
    for (const int name :
         {kConvolutionPaddingBefore, kConvolutionPaddingBehind, kConvolutionStrides, kConvolutionDilations})
      if (!has(name, 16)) return "an incomplete convolution";
    if (!has(kConvolutionMode, 4) || node.one<int>(kConvolutionMode) != kCrossCorrelation)
      return "no cross-correlation";
    if (!has(kConvolutionSums, 4) || node.one<int>(kConvolutionSums) != kF32) return "sums that are not f32";
    if (node.one<std::int64_t>(kConvolutionAxes) != 2) return "a convolution that is not of two axes";
  }
  for (const Pass& pass : kPasses) {
    if (node.type != pass.operation) continue;
    for (const int name : {pass.convolution, pass.x, pass.w, pass.y})
      if (node.node(name) == nullptr) return "an incomplete operation";
    if (node.one<float>(pass.alpha) != 1.0F) return "an operation without alpha";
  }
  if (node.type == kEngine && node.node(kEngineGraph) == nullptr) return "an engine without a graph";
  if (node.type == kExecutionPlan && node.one<void*>(kPlanHandle) == nullptr)
    return "a plan without a handle";
  return "";
}

std::int64_t workspace_of(const Node& plan) {
  if (const char* const bytes = std::getenv("RESNET_FAKE_CUDNN_WORKSPACE"); bytes != nullptr)
    return std::atoll(bytes);
  const auto& knobs = plan.node(kPlanConfig)->attributes;
  const auto found = knobs.find(kConfigKnobs);
  if (found == knobs.end()) return 0;
  for (const Shared& knob : found->second.nodes)
    if (knob->one<int>(kKnobType) == 25 && knob->one<std::int64_t>(kKnobValue) == 1) return kWorkspace;
  return 0;
}

std::vector<int> notes_of(std::int64_t engine, int name) {
  if (name == kEngineBehaviorNotes)
    return engine == 26 ? std::vector<int>{kCompilesAtRunTime} : std::vector<int>{};
  if (engine == 25) return {kTensorCores, kNondeterministic};
  return engine == 27 ? std::vector<int>{} : std::vector<int>{kTensorCores};
}

}  // namespace

extern "C" {

std::size_t cudnnGetVersion() {
  return 90900;
}
const char* cudnnGetErrorString(int status) {
  return status == kBadParam ? "CUDNN_STATUS_BAD_PARAM" : "CUDNN_STATUS_NOT_SUPPORTED";
}
void cudnnGetLastErrorString(char* message, std::size_t size) {
  std::strncpy(message, last_error.c_str(), size - 1);
}
int cudnnCreate(void** handle) {
  ++live;
  *handle = new void*(nullptr);
  return 0;
}
int cudnnDestroy(void* handle) {
  --live;
  delete static_cast<void**>(handle);
  return 0;
}
int cudnnSetStream(void* handle, void* stream) {
  *static_cast<void**>(handle) = stream;
  return 0;
}
// Of the tests alone: what is not destroyed yet.
int fake_cudnn_live() {
  return live;
}

int cudnnBackendCreateDescriptor(int type, void** descriptor) {
  ++live;
  *descriptor = new Shared(std::make_shared<Node>(Node{type, false, {}}));
  return 0;
}
int cudnnBackendDestroyDescriptor(void* descriptor) {
  --live;
  delete static_cast<Shared*>(descriptor);
  return 0;
}
int cudnnBackendSetAttribute(void* descriptor, int name, int type, std::int64_t count, const void* values) {
  Node& node = node_of(descriptor);
  if (node.finalized) return failed(kBadParam, "a descriptor that is finalized is changed");
  Attribute& attribute = node.attributes[name];
  attribute.type = type;
  const auto* bytes = static_cast<const std::byte*>(values);
  attribute.bytes.assign(bytes, bytes + static_cast<std::size_t>(count) * size_of_type(type));
  for (std::int64_t i = 0; type == kOfDescriptor && i < count; ++i) {
    attribute.nodes.push_back(*static_cast<Shared* const*>(values)[i]);
    if (!attribute.nodes.back()->finalized)
      return failed(kBadParam, "a descriptor that is not finalized is used");
  }
  return 0;
}
int cudnnBackendFinalize(void* descriptor) {
  Node& node = node_of(descriptor);
  if (const std::string why = objection(node); !why.empty()) return failed(kBadParam, why);
  if (node.type == kEngine) {
    const auto engine = node.one<std::int64_t>(kEngineNumber);
    const char* const refused = std::getenv("RESNET_FAKE_CUDNN_REFUSES");
    if (engine < 0 || engine > 99 || (refused != nullptr && engine == std::atoi(refused)))
      return failed(kNotSupported, "this engine\ndoes not support it");
  }
  node.finalized = true;
  return 0;
}
int cudnnBackendGetAttribute(void* descriptor, int name, int, std::int64_t most, std::int64_t* count,
                             void* values) {
  const Node& node = node_of(descriptor);
  if (!node.finalized) return failed(kBadParam, "a descriptor that is not finalized is read");
  if (node.type == kExecutionPlan && name == kPlanWorkspace) {
    const std::int64_t bytes = workspace_of(node);
    std::memcpy(values, &bytes, sizeof bytes);
    *count = 1;
    return 0;
  }
  if (node.type == kEngine && (name == kEngineNumericalNotes || name == kEngineBehaviorNotes)) {
    const std::vector<int> notes = notes_of(node.one<std::int64_t>(kEngineNumber), name);
    *count = static_cast<std::int64_t>(notes.size());
    if (*count <= most) std::ranges::copy(notes, static_cast<int*>(values));
    return 0;
  }
  if (node.type == kDevice && name == kDeviceJson && node.one<void*>(kDeviceHandle) != nullptr) {
    static const std::string kJson = "{\"deviceVer\": 900}";
    *count = static_cast<std::int64_t>(kJson.size());
    if (most > 0) std::memcpy(values, kJson.data(), static_cast<std::size_t>(std::min(most, *count)));
    return 0;
  }
  return failed(kBadParam, "there is no such attribute");
}
int cudnnBackendExecute(void* handle, void* plan, void* pack) {
  const Node& planned = node_of(plan);
  if (planned.one<void*>(kPlanHandle) != handle) return failed(kBadParam, "a plan of another handle");
  const Node& graph = *planned.node(kPlanConfig)->node(kConfigEngine)->node(kEngineGraph);
  const Node& operation = *graph.node(kGraphOperations);
  const auto ids = node_of(pack).list<std::int64_t>(kPackIds);
  const auto pointers = node_of(pack).list<void*>(kPackPointers);
  const std::int64_t bytes = workspace_of(planned);
  if (void* const workspace = node_of(pack).one<void*>(kPackWorkspace); bytes > 0) {
    if (workspace == nullptr) return failed(kBadParam, "a plan without its workspace");
    std::memset(workspace, 0xab, static_cast<std::size_t>(bytes));
  }
  for (const Pass& pass : kPasses) {
    if (operation.type != pass.operation) continue;
    Tensor tensors[] = {Tensor(*operation.node(pass.x)), Tensor(*operation.node(pass.w)),
                        Tensor(*operation.node(pass.y))};
    const std::int64_t wanted[] = {operation.node(pass.x)->one<std::int64_t>(kTensorId),
                                   operation.node(pass.w)->one<std::int64_t>(kTensorId),
                                   operation.node(pass.y)->one<std::int64_t>(kTensorId)};
    for (std::size_t t = 0; t < 3; ++t) {
      for (std::size_t i = 0; i < ids.size(); ++i)
        if (ids[i] == wanted[t]) tensors[t].data = pointers[i];
      if (tensors[t].data == nullptr || reinterpret_cast<std::uintptr_t>(tensors[t].data) % 16 != 0)
        return failed(kBadParam, "a tensor without data, or misaligned");
    }
    compute(operation, pass, tensors[0], tensors[1], tensors[2]);
  }
  return 0;
}

}  // extern "C"
