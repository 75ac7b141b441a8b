#include "compiler/offsets.h"

#include <algorithm>
#include <vector>

namespace resnet::compiler {
namespace {

using plan::Buffer;
using plan::Plan;

// A set of bytes as disjoint spans, ascending, no two of which touch.
class Spans {
 public:
  void add(std::int64_t begin, std::int64_t end) {
    const auto first = std::ranges::lower_bound(spans_, begin, {}, &Span::end);
    auto last = first;
    for (; last != spans_.end() && last->begin <= end; ++last) {
      begin = std::min(begin, last->begin);
      end = std::max(end, last->end);
    }
    if (first == last) {
      spans_.insert(first, {begin, end});
    } else {
      *first = {begin, end};
      spans_.erase(first + 1, last);
    }
  }
  bool empty() const noexcept { return spans_.empty(); }
  // Where the span ends that has bytes of [begin, end), or `begin` if there is none.
  std::int64_t past(std::int64_t begin, std::int64_t end) const {
    if (spans_.back().end <= begin) return begin;
    const auto found = std::ranges::upper_bound(spans_, begin, {}, &Span::end);
    return found->begin >= end ? begin : found->end;
  }

 private:
  struct Span {
    std::int64_t begin = 0, end = 0;
  };
  std::vector<Span> spans_;
};

// The bytes that are taken at each call: a segment tree over the calls. Buffers are packed from below, so
// that the sets of its nodes have few spans.
class Occupied {
 public:
  explicit Occupied(int calls) : calls_(calls), nodes_(4 * static_cast<std::size_t>(calls)) {}

  void take(const Buffer& buffer, std::int64_t end) {
    visit(
        1, 0, calls_ - 1, buffer, [&](Node& node) { node.within.add(buffer.offset, end); },
        [&](Node& node) {
          node.within.add(buffer.offset, end);
          node.across.add(buffer.offset, end);
        });
  }

  // The lowest offset at which the buffer's bytes are free during its life.
  std::int64_t lowest(const Buffer& buffer, std::int64_t bytes) {
    taken_.clear();
    const auto add = [&](const Spans& spans) {
      if (!spans.empty()) taken_.push_back(&spans);
    };
    visit(
        1, 0, calls_ - 1, buffer, [&](Node& node) { add(node.across); },
        [&](Node& node) { add(node.within); });
    std::int64_t offset = 0;
    for (bool moved = true; moved;) {
      const std::int64_t before = offset;
      for (const Spans* spans : taken_) offset = spans->past(offset, offset + bytes);
      moved = offset > before;
    }
    return offset;
  }

 private:
  // Of the calls that a node stands for.
  struct Node {
    Spans within;  // what buffers take that live at one of them
    Spans across;  // what those take that live at all of them, but not at all of the node's parent
  };

  // Calls part(node) where the buffer lives at some calls of the node, whole(node) at the highest where it
  // lives at all of them.
  template <class Part, class Whole>
  void visit(std::size_t node, int begin, int end, const Buffer& buffer, const Part& part,
             const Whole& whole) {
    if (buffer.last < begin || end < buffer.first) return;
    if (buffer.first <= begin && end <= buffer.last) return whole(nodes_[node]);
    part(nodes_[node]);
    const int middle = begin + (end - begin) / 2;
    visit(2 * node, begin, middle, buffer, part, whole);
    visit(2 * node + 1, middle + 1, end, buffer, part, whole);
  }

  int calls_;
  std::vector<Node> nodes_;  // node i has children 2i and 2i + 1; the root is 1
  std::vector<const Spans*> taken_;
};

// Offsets for the buffers in that order, each the lowest that is free during its life; returns the end.
std::int64_t place_in_order(std::vector<Buffer>& buffers, const std::vector<std::size_t>& order, int calls,
                            std::int64_t alignment) {
  std::int64_t end = 0;
  Occupied occupied(calls);
  for (const std::size_t i : order) {
    Buffer& buffer = buffers[i];
    const std::int64_t bytes = plan::aligned(buffer.bytes, alignment);
    buffer.offset = occupied.lowest(buffer, bytes);
    if (bytes > 0) occupied.take(buffer, buffer.offset + bytes);
    end = std::max(end, buffer.offset + bytes);
  }
  return end;
}

// The most bytes that are alive at one call, a bound below any placement's end.
std::int64_t most_alive(const Plan& plan, const std::vector<std::size_t>& order, int calls,
                        std::int64_t alignment) {
  std::vector<std::int64_t> change(static_cast<std::size_t>(calls) + 1, 0);
  for (const std::size_t i : order) {
    const Buffer& buffer = plan.buffers[i];
    change[static_cast<std::size_t>(buffer.first)] += plan::aligned(buffer.bytes, alignment);
    change[static_cast<std::size_t>(std::min(buffer.last + 1, calls))] -=
        plan::aligned(buffer.bytes, alignment);
  }
  std::int64_t alive = 0, most = 0;
  for (int k = 0; k < calls; ++k) {
    alive += change[static_cast<std::size_t>(k)];
    most = std::max(most, alive);
  }
  return most;
}

}  // namespace

// Large buffers first; then some tries more, each with the buffer that ended highest before all others. On
// the zoo this comes within a few percent of the bound.
void assign_offsets(Plan& plan, std::int64_t alignment) {
  constexpr int kTries = 24;
  const auto calls = static_cast<int>(plan.calls.size());
  std::vector<std::size_t> order;
  for (std::size_t i = 0; i < plan.buffers.size(); ++i) {
    if (plan.buffers[i].region == plan::Region::work) order.push_back(i);
  }
  std::stable_sort(order.begin(), order.end(), [&](std::size_t x, std::size_t y) {
    return plan.buffers[x].bytes > plan.buffers[y].bytes;
  });
  plan.live_bytes = most_alive(plan, order, calls, alignment);
  std::vector<Buffer> buffers = plan.buffers;
  for (int attempt = 0; attempt < kTries && !order.empty(); ++attempt) {
    const std::int64_t end = place_in_order(buffers, order, calls + 1, alignment);
    if (attempt == 0 || end < plan.work_bytes) {
      plan.work_bytes = end;
      plan.buffers = buffers;
    }
    if (plan.work_bytes == plan.live_bytes) break;
    const auto end_of = [&](std::size_t i) {  // what is small finds its place anyway
      return buffers[i].bytes * 64 < end ? 0 : buffers[i].offset + buffers[i].bytes;
    };
    const auto ends_before = [&](std::size_t x, std::size_t y) { return end_of(x) < end_of(y); };
    const auto highest = std::max_element(order.begin(), order.end(), ends_before);
    if (highest == order.begin()) break;  // the next try would be the same
    std::rotate(order.begin(), highest, highest + 1);
  }
}

}  // namespace resnet::compiler
