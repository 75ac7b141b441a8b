// What the kernels of the loss share: rows of logits in chunks.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "kernels/kernel.h"
#include "kernels/loss/softmax.h"

namespace resnet::kernels {

/// Rows in fixed chunks of about 4096 exponentials, which take some 50 us.
class RowKernel : public Kernel {
 public:
  using Index = std::int64_t;
  RowKernel(Index n, Index classes)
      : n_(n), classes_(classes), rows_per_task_(std::max<Index>(1, 4096 / std::max<Index>(1, classes))) {}

 protected:
  struct Rows {
    Index first, last;
  };
  Index chunks() const noexcept { return (n_ + rows_per_task_ - 1) / rows_per_task_; }
  Rows rows(Index chunk) const noexcept {
    return {chunk * rows_per_task_, std::min(n_, (chunk + 1) * rows_per_task_)};
  }
  const float* logits(const Call& call, Index row) const noexcept {
    return call.operand<const float>(0) + row * classes_;
  }
  Index label(const Call& call, Index row) const noexcept { return call.operand<const std::int32_t>(1)[row]; }

  Index argmax(const float* row) const noexcept { return argmax_of(row, classes_); }

  /// exp(logit - largest) of a row into `exps`; gives their sum.
  double exponentials(const float* row, double* exps) const noexcept {
    const auto largest = double{row[argmax(row)]};
    double sum = 0;
    for (Index k = 0; k < classes_; ++k) {
      exps[k] = std::exp(double{row[k]} - largest);
      sum += exps[k];
    }
    return sum;
  }

  Index n_;
  Index classes_;

 private:
  Index rows_per_task_;
};

/// A loss over rows: the chunks' parts, then their sum in the order of the chunks.
template <class Base>
class LossKernel : public Base {
 public:
  using Index = std::int64_t;
  using Base::Base;
  Index workspace_bytes() const noexcept override { return this->chunks() * Index{sizeof(Partial)}; }
  int phases() const noexcept override { return 2; }
  Index tasks(int phase) const noexcept override { return phase == 0 ? this->chunks() : 1; }

  void run(const Call& call, int phase, Index task) const noexcept override {
    auto* partials = reinterpret_cast<Partial*>(call.workspace);
    if (phase == 0) {
      partials[task] = partial(call, this->rows(task));
      return;
    }
    Partial total;
    for (Index chunk = 0; chunk < this->chunks(); ++chunk) {
      total.loss += partials[chunk].loss;
      total.correct += partials[chunk].correct;
    }
    finish(call, total);
  }

 protected:
  struct Partial {
    double loss = 0;
    std::int64_t correct = 0;
  };
  virtual Partial partial(const Call& call, typename Base::Rows range) const noexcept = 0;
  virtual void finish(const Call& call, const Partial& total) const noexcept = 0;
};

}  // namespace resnet::kernels
