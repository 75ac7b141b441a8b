#include "engine/sessions.h"

#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "engine/gate.h"
#include "engine/native_options.h"

namespace resnet::engine {
namespace {

// The place with these bytes that another plan has for the same size, and the memory that it lies in; or
// nothing.
std::pair<std::byte*, std::shared_ptr<AlignedBuffer>> same_bytes(
    const std::byte* bytes, std::int64_t count, const std::vector<std::shared_ptr<SharedPlan>>& others) {
  const auto size = static_cast<std::size_t>(count);
  for (const std::shared_ptr<SharedPlan>& other : others) {
    if (!other->ready) continue;
    for (std::size_t i = 0; i < other->prepared.size(); ++i) {
      std::byte* const place = other->prepared[i];
      if (place == nullptr || other->plan->buffers[i].bytes != count || std::memcmp(place, bytes, size) != 0)
        continue;
      for (const std::shared_ptr<AlignedBuffer>& memory : other->memory) {
        if (place >= memory->data() && place < memory->data() + memory->size()) return {place, memory};
      }
    }
  }
  return {};
}

}  // namespace

void share_prepared(SharedPlan& plan, const std::vector<std::shared_ptr<SharedPlan>>& others) {
  std::vector<std::shared_ptr<AlignedBuffer>> memory;
  std::vector<std::size_t> own;
  std::int64_t bytes = 0;
  std::vector<std::byte*> places = plan.prepared;
  for (std::size_t i = 0; i < places.size(); ++i) {
    if (places[i] == nullptr) continue;
    const std::int64_t count = plan.plan->buffers[i].bytes;
    if (auto [place, owner] = same_bytes(places[i], count, others); place != nullptr) {
      places[i] = place;
      if (std::ranges::find(memory, owner) == memory.end()) memory.push_back(std::move(owner));
    } else {
      own.push_back(i);
      bytes += plan::aligned(count);
    }
  }
  if (memory.empty()) return;  // all is its own, and where it should be
  if (!own.empty()) {
    memory.push_back(std::make_shared<AlignedBuffer>(static_cast<std::size_t>(bytes)));
    std::byte* to = memory.back()->data();
    for (const std::size_t i : own) {
      const std::int64_t count = plan.plan->buffers[i].bytes;
      std::memcpy(to, places[i], static_cast<std::size_t>(count));
      places[i] = to;
      to += plan::aligned(count);
    }
  }
  plan.prepared = std::move(places);
  plan.memory = std::move(memory);
}

exec::Executor& Session::executor(const std::shared_ptr<const SharedPlan>& plan,
                                  const std::function<void(std::int64_t)>& room) {
  const auto found = std::ranges::find(bound_, plan, &Bound::plan);
  if (found != bound_.end()) {
    std::rotate(bound_.begin(), found, found + 1);  // allocates nothing
  } else {
    auto executor = std::make_unique<exec::Executor>(plan->plan);
    if (bound_.size() == kMostPlans) bound_.pop_back();
    bound_.insert(bound_.begin(), Bound{plan, std::move(executor)});
  }
  exec::Executor& executor = *bound_.front().executor;
  if (executor.is_bound()) return executor;
  try {
    reserve(room);
    executor.bind(arena_, plan->prepared);
  } catch (...) {  // not enough memory: others shall not ask for as much
    bound_.erase(bound_.begin());
    throw;
  }
  return executor;
}

void Session::forget(const SharedPlan& plan) {
  std::erase_if(bound_, [&](const Bound& bound) { return bound.plan.get() == &plan; });
}

// Room for all plans, so that it grows once.
void Session::reserve(const std::function<void(std::int64_t)>& room) {
  std::int64_t work = 0, scratch = 0;
  for (const Bound& bound : bound_) {
    work = std::max(work, bound.plan->plan->work_bytes);
    scratch = std::max(scratch, bound.plan->plan->scratch_bytes);
  }
  room(arena_.growth(0, work, scratch));
  try {
    if (!arena_.reserve(0, work, scratch)) return;
  } catch (...) {
    unbind_all();
    throw;
  }
  unbind_all();
}

void Session::unbind_all() noexcept {
  for (const Bound& bound : bound_) bound.executor->unbind();
}

Sessions::Slot& Sessions::take() {
  const pid_t self = ::getpid();
  while (true) {
    const std::uint32_t returns = returns_.load(std::memory_order_acquire);
    bool others = true;
    for (Slot& slot : slots_) {
      pid_t holder = 0;
      if (slot.lent.compare_exchange_strong(holder, self, std::memory_order_acquire)) return slot;
      others = others && holder != self;
    }
    if (others) throw used_while_forked();
    returns_.wait(returns, std::memory_order_relaxed);
  }
}

void Sessions::give_back(Slot& slot) noexcept {
  slot.lent.store(0, std::memory_order_release);
  returns_.fetch_add(1, std::memory_order_release);
  returns_.notify_one();
}

Sessions::Lease::Lease(Sessions& sessions, const std::function<std::unique_ptr<Session>()>& make)
    : sessions_(sessions), slot_(sessions.take()) {
  try {
    if (slot_.session) {
      slot_.session->pool().start();
    } else {
      slot_.session = make();
      sessions.made_.fetch_add(1, std::memory_order_relaxed);
    }
  } catch (...) {
    sessions.give_back(slot_);
    throw;
  }
}

Sessions::Lease::~Lease() {
  sessions_.give_back(slot_);
}

}  // namespace resnet::engine
