#include "io/pth/pickle.h"

#include <fmt/core.h>

#include <map>

#include "base/text.h"
#include "io/pth/callables.h"
#include "io/pth/opcodes.h"
#include "io/pth/pickle_bytes.h"
#include "io/pth/pickled_tensor.h"
#include "resnet/error.h"

namespace resnet::io {
namespace {

using Kind = PickleValue::Kind;
using Means = Callable::Means;

constexpr std::size_t kMostBytes = std::size_t{8} << 20U;  // a checkpoint of ResNet-152 with slots has 0.5
constexpr std::size_t kMostOpcodes = std::size_t{1} << 20U;

// The machine: a stack of values, a memo of those that come again, and the bytes that drive both.
class Machine : private PickleBytes {
 public:
  explicit Machine(std::string_view bytes) : PickleBytes(bytes), size_(bytes.size()) {}

  Pickle run() {
    if (size_ > kMostBytes) refuse_pickle(fmt::format("has {} bytes; at most {}", size_, kMostBytes));
    if (byte() != kProtocol) refuse_pickle("does not begin with a protocol");
    check_protocol(byte());
    for (std::size_t count = 0;; ++count) {
      if (count == kMostOpcodes) refuse_pickle(fmt::format("has more than {} opcodes", kMostOpcodes));
      const unsigned char code = byte();
      if (code == kStop) break;
      if (!literal(code) && !container(code) && !memory(code) && !call(code)) refuse_opcode(code);
    }
    if (left() > 0) refuse_pickle(fmt::format("goes on for {} bytes behind its end", left()));
    if (stack_.size() != 1) refuse_pickle(fmt::format("ends with {} values instead of one", stack_.size()));
    result_.root = pop();
    return std::move(result_);
  }

 private:
  static void check_protocol(unsigned protocol) {
    if (protocol >= 2 && protocol <= 5) return;
    throw FormatError(fmt::format("its pickle has protocol {}; 2 to 5 are read", protocol),
                      "torch.save() writes 2 unless it is told otherwise");
  }

  // ---- the stack

  void push(const PickleValue& value) { stack_.push_back(value); }
  void push(Kind kind, std::size_t place = 0) {
    push(PickleValue{.kind = kind, .place = static_cast<std::uint32_t>(place)});
  }
  PickleValue pop() {
    if (stack_.empty()) refuse_pickle("takes a value from an empty stack");
    const PickleValue value = stack_.back();
    if (value.kind == Kind::mark) refuse_pickle("takes a mark for a value");
    stack_.pop_back();
    return value;
  }
  PickleValue pop(Kind kind, const char* what) {
    const PickleValue value = pop();
    if (value.kind != kind) refuse_pickle(fmt::format("has {} for {}", described(value), what));
    return value;
  }
  const PickleValue& top() const {
    if (stack_.empty()) refuse_pickle("takes a value from an empty stack");
    return stack_.back();
  }
  // All above the last mark, which goes too.
  std::vector<PickleValue> pop_to_mark() {
    if (marks_.empty()) refuse_pickle("looks for a mark that is not there");
    const std::size_t mark = marks_.back();
    marks_.pop_back();
    std::vector<PickleValue> values(stack_.begin() + static_cast<std::ptrdiff_t>(mark) + 1, stack_.end());
    stack_.resize(mark);
    return values;
  }

  // ---- opcodes; each of these gives whether the opcode was one of its own

  bool literal(unsigned char code) {
    switch (code) {
      case kNone:
        push(Kind::none);
        return true;
      case kTrue:
        push_whole(Kind::boolean, 1);
        return true;
      case kFalse:
        push_whole(Kind::boolean, 0);
        return true;
      case kInt1:
        push_whole(Kind::whole, static_cast<std::int64_t>(number(1)));
        return true;
      case kInt2:
        push_whole(Kind::whole, static_cast<std::int64_t>(number(2)));
        return true;
      case kInt4:
        push_whole(Kind::whole, static_cast<std::int32_t>(number(4)));
        return true;
      case kLong1:
        push_long(number(1));
        return true;
      case kLong4:
        push_long(number(4));
        return true;
      case kFloat8:
        take(8);
        push(Kind::other);
        return true;
      case kText1:
        push_text(number(1));
        return true;
      case kText4:
        push_text(number(4));
        return true;
      case kText8:
        push_text(number(8));
        return true;
      case kOldText1:
        push_text(number(1));
        return true;  // Python 2's str
      case kOldText4:
        push_text(number(4));
        return true;
      case kBytes1:
        push_bytes(number(1));
        return true;
      case kBytes4:
        push_bytes(number(4));
        return true;
      case kBytes8:
      case kByteArray8:
        push_bytes(number(8));
        return true;
      default:
        return false;
    }
  }

  void push_whole(Kind kind, std::int64_t whole) { push(PickleValue{.kind = kind, .whole = whole}); }
  void push_text(std::uint64_t size) { push(PickleValue{.kind = Kind::text, .text = take(size)}); }
  void push_bytes(std::uint64_t size) {
    take(size);
    push(Kind::other);
  }
  // Two's complement; what 64 bits do not hold is no size of anything.
  void push_long(std::uint64_t size) {
    const std::string_view bytes = take(size);
    if (size > sizeof(std::int64_t)) return push(Kind::other);
    std::uint64_t value = little_endian(bytes);
    const bool negative = size > 0 && (static_cast<unsigned char>(bytes.back()) & 0x80U) != 0;
    if (negative && size < sizeof value) value |= ~std::uint64_t{0} << 8 * size;
    push_whole(Kind::whole, static_cast<std::int64_t>(value));
  }

  bool container(unsigned char code) {
    switch (code) {
      case kMark:
        marks_.push_back(stack_.size());
        push(Kind::mark);
        return true;
      case kEmptyTuple:
        push_sequence(Kind::tuple, {});
        return true;
      case kEmptyList:
        push_sequence(Kind::list, {});
        return true;
      case kEmptyDict:
        push_dict();
        return true;
      case kEmptySet:
        push(Kind::other);
        return true;
      case kTuple:
        push_sequence(Kind::tuple, pop_to_mark());
        return true;
      case kTuple1:
        push_tuple(1);
        return true;
      case kTuple2:
        push_tuple(2);
        return true;
      case kTuple3:
        push_tuple(3);
        return true;
      case kFrozenSet:
        pop_to_mark();
        push(Kind::other);
        return true;
      case kAddItems:
        pop_to_mark();
        if (top().kind != Kind::other) refuse_pickle(fmt::format("adds items to {}", described(top())));
        return true;
      case kAppend:
        append({pop()});
        return true;
      case kAppends:
        append(pop_to_mark());
        return true;
      case kSetItem: {
        const PickleValue value = pop(), key = pop();
        set_items({key, value});
        return true;
      }
      case kSetItems:
        set_items(pop_to_mark());
        return true;
      default:
        return false;
    }
  }

  void push_sequence(Kind kind, std::vector<PickleValue> values) {
    push(kind, result_.sequences.size());
    result_.sequences.push_back(std::move(values));
  }
  void push_dict() {
    push(Kind::dict, result_.dicts.size());
    result_.dicts.emplace_back();
  }
  void push_tuple(std::size_t size) {
    std::vector<PickleValue> values(size);
    for (std::size_t i = size; i-- > 0;) values[i] = pop();
    push_sequence(Kind::tuple, std::move(values));
  }
  void append(const std::vector<PickleValue>& values) {
    if (top().kind != Kind::list) refuse_pickle(fmt::format("appends to {}", described(top())));
    auto& list = result_.sequences[top().place];
    list.insert(list.end(), values.begin(), values.end());
  }
  void set_items(const std::vector<PickleValue>& values) {
    if (top().kind != Kind::dict) refuse_pickle(fmt::format("sets items of {}", described(top())));
    if (values.size() % 2 != 0) refuse_pickle("sets a key without a value");
    Pickle::Dict& dict = result_.dicts[top().place];
    for (std::size_t i = 0; i < values.size(); i += 2) dict.emplace_back(values[i], values[i + 1]);
  }

  bool memory(unsigned char code) {
    switch (code) {
      case kPop:
        if (top().kind == Kind::mark) {
          pop_to_mark();
        } else {
          pop();
        }
        return true;
      case kPopMark:
        pop_to_mark();
        return true;
      case kDup:
        push(value_on_top());
        return true;
      case kPut1:
        remember(number(1));
        return true;
      case kPut4:
        remember(number(4));
        return true;
      case kMemoize:
        remember(remembered_);
        return true;
      case kGet1:
        recall(number(1));
        return true;
      case kGet4:
        recall(number(4));
        return true;
      case kFrame: {
        if (number(8) > left()) refuse_pickle("has a frame that ends behind it");
        return true;
      }
      case kProtocol:
        check_protocol(byte());
        return true;
      default:
        return false;
    }
  }

  PickleValue value_on_top() const {
    if (top().kind == Kind::mark) refuse_pickle("takes a mark for a value");
    return top();
  }
  void remember(std::uint64_t index) {
    if (index >= kMostOpcodes) refuse_pickle(fmt::format("has a memo of {} values or more", index));
    if (memo_.size() <= index) memo_.resize(index + 1, PickleValue{.kind = Kind::mark});
    if (memo_[index].kind == Kind::mark) ++remembered_;
    memo_[index] = value_on_top();
  }
  void recall(std::uint64_t index) {
    if (index >= memo_.size() || memo_[index].kind == Kind::mark)
      refuse_pickle(fmt::format("asks for value {} of its memo, which is not there", index));
    push(PickleValue(memo_[index]));
  }

  bool call(unsigned char code) {
    switch (code) {
      case kGlobal: {
        const std::string_view module = line();
        push(Kind::function, place_of_callable(module, line()));
        return true;
      }
      case kStackGlobal: {
        const PickleValue name = pop(Kind::text, "a callable's name"),
                          module = pop(Kind::text, "a module's name");
        push(Kind::function, place_of_callable(module.text, name.text));
        return true;
      }
      case kReduce:
        reduce();
        return true;
      case kBuild: {
        const PickleValue state =
            pop();  // a dict's attributes: PyTorch's _metadata, which says nothing of values
        if (top().kind != Kind::dict) refuse_pickle(fmt::format("sets attributes of {}", described(top())));
        if (state.kind != Kind::dict) refuse_pickle(fmt::format("sets attributes from {}", described(state)));
        return true;
      }
      case kPersistentId:
        push_storage();
        return true;
      default:
        return false;
    }
  }

  void reduce() {
    const PickleValue arguments = pop(Kind::tuple, "arguments"), function = pop(Kind::function, "a callable");
    const Callable& callable = callable_at(function.place);
    const std::vector<PickleValue>& given = result_.sequences[arguments.place];
    switch (callable.means) {
      case Means::dict:  // (), or the factory of a defaultdict
        if (given.size() > 1 || (given.size() == 1 && given[0].kind != Kind::function))
          refuse_arguments(callable);
        return push_dict();
      case Means::rebuild_tensor:
        result_.tensors.push_back(tensor_of(result_, given));
        return push(Kind::tensor, result_.tensors.size() - 1);
      case Means::rebuild_parameter:
        if (given.empty() || given[0].kind != Kind::tensor) refuse_arguments(callable);
        return push(PickleValue(given[0]));
      case Means::size:
        if (given.size() != 1 || (given[0].kind != Kind::tuple && given[0].kind != Kind::list))
          refuse_arguments(callable);
        return push(PickleValue{.kind = Kind::tuple, .place = given[0].place});
      case Means::storage_type:
        return refuse_arguments(callable);
      case Means::plain:
        return push(Kind::other);
    }
  }

  [[noreturn]] static void refuse_arguments(const Callable& callable) {
    refuse_pickle(fmt::format("gives '{}' arguments that it does not take", callable.name));
  }

  void push_storage() {
    const PickledStorage storage = storage_of(result_, pop(Kind::tuple, "a storage's id"));
    const auto [known, is_new] = storages_.emplace(storage.key, result_.storages.size());
    if (is_new) {
      result_.storages.push_back(storage);
    } else if (!(result_.storages[known->second] == storage)) {
      refuse_pickle(fmt::format("has storage {} in two types or sizes", in_quotes(storage.key)));
    }
    push(Kind::storage, known->second);
  }

  std::size_t size_;
  std::vector<PickleValue> stack_;
  std::vector<std::size_t> marks_;  // places in the stack
  std::vector<PickleValue> memo_;   // a mark where there is nothing
  std::size_t remembered_ = 0;      // values in it
  std::map<std::string_view, std::uint32_t> storages_;
  Pickle result_;
};

}  // namespace

Pickle read_pickle(std::string_view bytes) {
  return Machine(bytes).run();
}

}  // namespace resnet::io
