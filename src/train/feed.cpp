#include "train/feed.h"

#include <exception>
#include <utility>

namespace resnet::train {

void Feed::hold() {
  if (!std::exchange(may_hold_, false)) return;
  engine::AheadEngine* const ahead = ahead_of(engine_);
  const data::Augmenter augmenter(options_.augment, options_.seed, set_.example_shape());
  if (ahead == nullptr || !augmenter.only_places()) return;
  const std::optional<int> number = ahead->hold(set_);
  if (!number) return;
  const auto [height, width] = ahead->resized_size(*number);
  places_.emplace(set_, options_, height, width);
  next_.held = {.set = *number, .border = augmenter.border()};
}

void Feed::start(const data::Order& order, std::int64_t epoch, std::int64_t first_batch) {
  hold();
  if (places_) {
    places_->start(order, epoch, first_batch);
  } else {
    loader_.start(order, epoch, first_batch);
  }
}

const FedBatch* Feed::next() {
  if (places_) {
    next_.held.examples = places_->next();
    return next_.held.examples.empty() ? nullptr : &next_;
  }
  next_.made = loader_.next();
  return next_.made == nullptr ? nullptr : &next_;
}

Answers::Answers(Engine& engine, Feed& feed, Views views, const std::atomic<bool>* stop)
    : engine_(engine),
      ahead_(ahead_of(engine)),
      feed_(feed),
      views_(list_of(views)),
      stop_(stop),
      view_(views_.size()) {}

Answers::~Answers() {
  try {
    while (!under_way_.empty()) collect();
  } catch (const std::exception&) {  // the device's failure shows in its next use
  }
}

void Answers::submit(const FedBatch& batch, const TestView& view) {
  if (batch.made == nullptr) {
    engine::HeldBatch held = batch.held;
    held.mirrored = view.mirrored;
    held.shift = view.shift;
    under_way_.push_back(ahead_->submit(held));
    return;
  }
  const auto ask = [&](const ImageView& images) {
    under_way_.push_back(ahead_ != nullptr ? ahead_->submit(images) : 0);
    if (ahead_ == nullptr) done_ = engine_.infer(images);
  };
  const ImageView images = batch.made->view();
  if (!view.mirrored && view.shift == 0) return ask(images);
  const Tensor shown = view_of(images, view);
  ask(in_layout(images.layout, shown));
}

// A view of the batch, or the first of the next one; false at the end.
bool Answers::submit() {
  if (view_ == views_.size()) {
    batch_ = feed_.next();
    if (batch_ == nullptr || (stop_ != nullptr && stop_->load())) return false;
    if (batch_->made != nullptr) {
      const auto labels = batch_->made->labels.view<std::int32_t>().span();
      labels_.emplace_back(labels.begin(), labels.end());
    } else {
      labels_.push_back(data::labels_of(batch_->held.examples));
    }
    view_ = 0;
  }
  submit(*batch_, views_[view_++]);
  return true;
}

Tensor Answers::collect() {
  const auto ticket = under_way_.front();
  under_way_.pop_front();
  return ahead_ != nullptr ? ahead_->collect(ticket).outputs : std::move(done_);
}

std::optional<Answers::Batch> Answers::next() {
  const std::int64_t depth = ahead_ != nullptr ? ahead_->depth() : 1;
  const auto fill = [&] {
    while (std::ssize(under_way_) < depth && submit()) {
    }
  };
  Batch batch;
  for (const TestView& view : views_) {
    fill();
    if (under_way_.empty()) return std::nullopt;
    add_view(batch.outputs, collect(), view);
  }
  batch.labels = std::move(labels_.front());
  labels_.pop_front();
  return batch;
}

}  // namespace resnet::train
