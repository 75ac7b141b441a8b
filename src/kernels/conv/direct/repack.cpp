#include "kernels/conv/direct/repack.h"

namespace resnet::kernels::conv {
namespace {

constexpr std::int64_t kSlice = 16 << 10;  // numbers of a task

}  // namespace

bool pairs_rows(const ConvGeometry& g) noexcept {
  return g.groups == 1 && g.dw == 1 && g.sw % 2 == 0 && g.kw * g.ci % 2 != 0 && g.kw * g.ci > 1;
}

ConvGeometry in_row_pairs(ConvGeometry g) noexcept {
  g.w = ceil_div((g.w + 2 * g.pw) * g.ci, 2);
  g.kw = ceil_div(g.kw * g.ci, 2);
  g.sw = g.sw * g.ci / 2;
  g.pw = 0;
  g.ci = 2;
  return g;
}

RepackedInput::RepackedInput(const ConvGeometry& g, ConvPass pass, Form form, DType stored) noexcept
    : g_(g),
      form_(form),
      stored_(stored),
      rows_(pass == ConvPass::forward ? g.n * g.h : g.n * g.ho()),
      row_length_(pass == ConvPass::forward ? g.w * g.ci : g.wo() * g.co) {
  if (form == Form::row_pairs) row_length_ = 2 * in_row_pairs(g).w;
  if (form != Form::stored) tasks_ = std::min(rows_, ceil_div(rows_ * row_length_, kSlice));
}

std::int64_t RepackedInput::bytes() const noexcept {
  if (form_ == Form::stored) return 0;
  return rows_ * row_length_ *
         static_cast<std::int64_t>(form_ == Form::widened ? sizeof(float) : sizeof(BFloat16));
}

void RepackedInput::repack(const void* source, std::byte* repacked, std::int64_t task) const noexcept {
  const std::int64_t begin = rows_ * task / tasks_, end = rows_ * (task + 1) / tasks_;
  if (form_ == Form::widened) {
    widen_rows(static_cast<const BFloat16*>(source), reinterpret_cast<float*>(repacked), begin, end);
  } else if (stored_ == DType::bf16) {
    pair_rows(static_cast<const BFloat16*>(source), reinterpret_cast<BFloat16*>(repacked), begin, end);
  } else {
    pair_rows(static_cast<const float*>(source), reinterpret_cast<BFloat16*>(repacked), begin, end);
  }
}

void RepackedInput::widen_rows(const BFloat16* from, float* to, std::int64_t begin,
                               std::int64_t end) const noexcept {
  for (std::int64_t i = begin * row_length_; i < end * row_length_; ++i) to[i] = static_cast<float>(from[i]);
}

template <class X>
void RepackedInput::pair_rows(const X* from, BFloat16* to, std::int64_t begin,
                              std::int64_t end) const noexcept {
  to += begin * row_length_;
  for (std::int64_t row = begin; row < end; ++row) to = store_padded_row(g_, from + row * g_.w * g_.ci, to);
}

}  // namespace resnet::kernels::conv
