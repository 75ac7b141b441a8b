// Pickles that mean harm, made by hand: each is refused by the name of what it tries, and nothing is
// executed.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>

#include "io/pth/pickle.h"
#include "io/pth/pth.h"
#include "resnet/error.h"
#include "support/pth_file.h"

namespace resnet::io {
namespace {

using ::testing::HasSubstr;
namespace p = test::pickle;

std::string error_of(const std::string& pickle) {
  const std::string file = test::pth_of(pickle, {{"0", std::string(24, '\0')}});
  try {
    static_cast<void>(read_pth(std::as_bytes(std::span(file))));
  } catch (const FormatError& error) {
    EXPECT_LE(std::string(error.what()).size(), 280U);
    EXPECT_LE(error.hint().size(), 280U);
    return std::string(error.what()) + " | " + error.hint();
  }
  return "nothing was refused";
}

struct Case {
  const char* name;
  std::string pickle;
  const char* says;
};

std::string call(const std::string& module, const std::string& name, const std::string& arguments) {
  return p::of(p::global(module, name) + arguments + "R");
}

const std::string kCommand = p::tuple({p::text("touch /tmp/owned")});
const std::string kStorage = p::storage("FloatStorage", "0", 6);

std::string tensor_of(std::int64_t offset, const std::vector<std::int64_t>& sizes,
                      const std::vector<std::int64_t>& strides) {
  return p::of(p::dict({{"w", p::tensor(kStorage, offset, sizes, strides)}}));
}

std::vector<Case> calls() {
  return {
      {"a shell", call("os", "system", kCommand), "'os.system'"},
      {"a shell as Linux calls it", call("posix", "system", kCommand), "'posix.system'"},
      {"a shell as Windows calls it", call("nt", "system", kCommand), "'nt.system'"},
      {"a process", call("subprocess", "Popen", kCommand), "'subprocess.Popen'"},
      {"an expression", call("builtins", "eval", kCommand), "'builtins.eval'"},
      {"Python 2's builtins", call("__builtin__", "exec", kCommand), "'builtins.exec'"},
      {"an attribute", call("builtins", "getattr", p::tuple({"N", p::text("x")})), "'builtins.getattr'"},
      {"an import", call("builtins", "__import__", kCommand), "'builtins.__import__'"},
      {"a file", call("builtins", "open", kCommand), "'builtins.open'"},
      {"compiled code", call("marshal", "loads", kCommand), "'marshal.loads'"},
      {"code of a type", call("types", "FunctionType", kCommand), "'types.FunctionType'"},
      {"a module as a program", call("runpy", "_run_code", kCommand), "'runpy._run_code'"},
      {"a web page", call("webbrowser", "open", kCommand), "'webbrowser.open'"},
      {"a connection", call("socket", "create_connection", kCommand), "'socket.create_connection'"},
      {"another pickle", call("pickle", "loads", kCommand), "'pickle.loads'"},
      {"PyTorch's own loader", call("torch", "load", kCommand), "'torch.load'"},
      {"compiled code of PyTorch", call("torch.utils.cpp_extension", "load_inline", kCommand),
       "load_inline'"},
      {"an array of objects", call("numpy.core.multiarray", "_reconstruct", kCommand),
       "'numpy.core.multiarray._reconstruct'"},
      {"settings of a program", call("argparse", "Namespace", ")"), "'argparse.Namespace'"},
      {"a whole model", call("torchvision.models.resnet", "ResNet", ")"),
       "torch.save(model.state_dict(), FILE)"},
      {"a whole model of timm", call("timm.models.resnet", "ResNet", ")"),
       "torch.save(model.state_dict(), FILE)"},
      {"a whole model of TorchScript", call("__torch__.net", "Net", ")"),
       "torch.save(model.state_dict(), FILE)"},
      {"a class of one's own", call("__main__", "Net", ")"), "torch.save(model.state_dict(), FILE)"},
      {"a name by two texts", p::of("\x8c\x02os\x8c\x06system\x93" + kCommand + "R"), "'os.system'"},
      {"a name with dots", p::of("\x8c\x05torch\x8c\x10_utils.os.system\x93" + kCommand + "R"),
       "'torch._utils.os.system'"},
      {"a name of terminal commands", p::of(p::global("\x1b[2J", "x")), "\\x1b[2J"},
      {"a name of a megabyte", p::of(p::global(std::string(1 << 20, 'a'), "x")), "aaa...aaa"},
  };
}

std::vector<Case> opcodes() {
  return {
      {"INST", p::of("(" + p::text("x") + "ios\nsystem\n"), "the opcode INST"},
      {"OBJ", p::of("(" + p::global("torch", "Size") + "o"), "the opcode OBJ"},
      {"NEWOBJ", p::of(p::global("collections", "OrderedDict") + ")\x81"), "the opcode NEWOBJ"},
      {"NEWOBJ_EX", p::of(p::global("collections", "OrderedDict") + ")}\x92"), "the opcode NEWOBJ_EX"},
      {"an extension", p::of("\x82\x01"), "the opcode EXT1"},
      {"a persistent id of text", p::of("Pfile\n"), "the opcode PERSID"},
      {"a buffer beside it", p::of("\x97"), "the opcode NEXT_BUFFER"},
      {"protocol 0", "(lp0\n.", "does not begin with a protocol"},
      {"text of protocol 0", p::of("S'x'\n"), "the opcode STRING"},
      {"no opcode", p::of("\xfe"), "the opcode 0xfe"},
      {"a protocol to come", "\x80\x06N.", "protocol 6"},
      {"a text called", p::of(p::text("os.system") + kCommand + "R"), "has a text for a callable"},
      {"arguments that are none", p::of(p::global("torch", "Size") + "NR"), "has None for arguments"},
      {"a storage type called", call("torch", "FloatStorage", ")"), "gives 'torch.FloatStorage' arguments"},
      {"attributes of a tensor", p::of(p::tensor(kStorage, 0, {6}, {1}) + "}b"),
       "sets attributes of a tensor"},
      {"attributes from a tuple", p::of("})b"), "sets attributes from a tuple"},
      {"items of a tuple", p::of(")" + p::text("a") + "Ns"), "sets items of a tuple"},
      {"a persistent id that is a file", p::of(p::tuple({p::text("file"), p::text("/etc/passwd")}) + "Q"),
       "no storage's"},
  };
}

std::vector<Case> sizes() {
  const std::int64_t most = std::numeric_limits<std::int64_t>::max();
  return {
      {"an empty stack", p::of("0"), "empty stack"},
      {"no mark", p::of("t"), "a mark that is not there"},
      {"a mark as a value", p::of("(\x85"), "takes a mark for a value"},
      {"a mark that is kept", p::of("(q\0" + std::string("N")), "takes a mark for a value"},
      {"an unknown memory", p::of("h\x05"), "asks for value 5 of its memo"},
      {"a memory of gigabytes", p::of("Nr\xff\xff\xff\xff"), "has a memo of 4294967295 values"},
      {"a text of exabytes", p::of("\x8d" + test::little_endian(1ULL << 62U, 8)), "ends early"},
      {"a number of gigabytes", p::of("\x8b\xff\xff\xff\x7f"), "ends early"},
      {"a frame of exabytes", p::of("\x95" + test::little_endian(~0ULL, 8)), "a frame that ends behind it"},
      {"no end", "\x80\x02N", "ends early"},
      {"more behind its end", p::of("}") + "x", "goes on for 1 bytes behind its end"},
      {"two values", p::of("NN"), "ends with 2 values"},
      {"a million opcodes", p::of(std::string((1 << 20) + 1, 'N')), "more than 1048576 opcodes"},
      {"eight megabytes", p::of(p::text(std::string(8 << 20, 'x'))), "at most 8388608"},
      {"a negative offset", tensor_of(-1, {6}, {1}), "the offset is negative"},
      {"a negative stride", tensor_of(5, {6}, {-1}), "a stride is negative"},
      {"a stride beyond", tensor_of(0, {2, 3}, {4, 1}), "its strides lead beyond it"},
      {"an offset beyond", tensor_of(1, {6}, {1}), "its strides lead beyond it"},
      {"an offset of exabytes", tensor_of(most, {2}, {most}), "its strides lead beyond it"},
      {"a stride of exabytes", tensor_of(0, {3}, {most}), "its strides lead beyond it"},
      {"terabytes of one element", tensor_of(0, {1 << 20, 1 << 20}, {0, 0}), "it would have more elements"},
      {"a shape that overflows", tensor_of(0, {most, most}, {0, 0}), "an impossible shape"},
      {"a negative size", tensor_of(0, {-6}, {1}), "an impossible shape"},
      {"seven axes", tensor_of(0, {1, 1, 1, 1, 1, 1, 1}, {1, 1, 1, 1, 1, 1, 1}), "more than 6 axes"},
      {"a size that is a text",
       p::of(p::global("torch._utils", "_rebuild_tensor_v2") +
             p::tuple({kStorage, p::whole(0), p::tuple({p::text("6")}), p::wholes({1}), "\x89", "N"}) + "R"),
       "a text for a size"},
      {"sizes without strides", tensor_of(0, {2, 3}, {1}), "2 sizes and 1 strides"},
      {"a tensor of nothing", call("torch._utils", "_rebuild_tensor_v2", ")"),
       "something else than a storage"},
      {"a storage of two types", p::of(p::tuple({kStorage, p::storage("DoubleStorage", "0", 3)})),
       "in two types or sizes"},
      {"a storage that is longer than its bytes",
       p::of(p::dict({{"w", p::tensor(p::storage("FloatStorage", "0", 7), 0, {7}, {1})}})),
       "has 24 bytes; 7 float32 take 28"},
      {"a storage elsewhere",
       p::of(p::dict({{"w", p::tensor(p::storage("FloatStorage", "../../etc/passwd", 6), 0, {6}, {1})}})),
       "no entry 'archive/data/../../etc/passwd'"},
      {"a storage of petabytes", p::of(p::storage("FloatStorage", "0", 1LL << 50)), "no storage's"},
      {"a storage whose name is long", p::of(p::storage("FloatStorage", std::string(61, '0'), 6)),
       "no storage's"},
      {"one name twice",
       p::of(p::dict({{"w", p::tensor(kStorage, 0, {6}, {1})}, {"w", p::tensor(kStorage, 0, {6}, {1})}})),
       "has the name 'w' twice"},
      {"one name for a tensor and for none",
       p::of(p::dict({{"w", p::tensor(kStorage, 0, {6}, {1})}, {"w", "N"}})), "has the name 'w' twice"},
      {"two state dicts", p::of(p::dict({{"state_dict", "}"}, {"state_dict", "}"}})),
       "has the name 'state_dict' twice"},
      {"a name that is a number", p::of("}" + p::whole(1) + p::tensor(kStorage, 0, {6}, {1}) + "s"),
       "a whole number for a name"},
      {"a name that is not UTF-8", p::of(p::dict({{"\xff", p::tensor(kStorage, 0, {6}, {1})}})), "of UTF-8"},
  };
}

void expect_refused(const std::vector<Case>& cases) {
  for (const Case& c : cases) EXPECT_THAT(error_of(c.pickle), HasSubstr(c.says)) << c.name;
}

TEST(HostilePickle, CallsAreRefusedByName) {
  ASSERT_GE(calls().size() + opcodes().size() + sizes().size(), 30U);
  expect_refused(calls());
}

TEST(HostilePickle, OpcodesAreRefusedByName) {
  expect_refused(opcodes());
}

TEST(HostilePickle, SizesAreRefusedBeforeMemoryIsTaken) {
  expect_refused(sizes());
}

TEST(HostilePickle, AContainerInItselfEnds) {
  // d = {}; d["state_dict"] = d, and a list of a list that is in it
  EXPECT_THAT(error_of(p::of(std::string("}q\0", 3) + p::text("state_dict") + std::string("h\0s", 3))),
              HasSubstr("no state dict"));
  EXPECT_THAT(error_of(p::of(std::string("]q\0h\0a", 6))), HasSubstr("it holds a list"));
}

TEST(HostilePickle, ManyNamesOfOneLargeDictTakeNoLonger) {
  // A tensor, and a quarter of a million times the name "ema" for one dict of as many items: 7e10 in all.
  constexpr int kMany = 250000;
  std::string items, names;
  for (int i = 0; i < kMany; ++i) items += "NN";
  const std::string name = std::string("h\1", 2) + std::string("h\0", 2);
  for (int i = 0; i < kMany; ++i) names += name;
  const std::string large = "}(" + items + std::string("uq\0", 3);
  const std::string pickle = p::of(large + "0" + p::text("ema") + std::string("q\1", 2) + "0}(" +
                                   p::text("w") + p::tensor(kStorage, 0, {6}, {1}) + names + "u");
  const auto start = std::chrono::steady_clock::now();
  EXPECT_THAT(error_of(pickle), HasSubstr("has the name 'ema' twice"));
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(10));
}

TEST(HostilePickle, ADictOfArgumentsIsRefused) {  // Python 2's OrderedDict: its items were left out
  const std::string items = p::tuple({"](" + p::tuple({p::text("w"), "N"}) + "e"});
  EXPECT_THAT(error_of(call("collections", "OrderedDict", items)),
              HasSubstr("gives 'collections.OrderedDict' arguments"));
}

TEST(HostilePickle, ListsOfListsStaySmall) {
  // Each of 100 lists has the one before it ten times: 10^100 in all, a hundred here.
  std::string pickle = "]";
  for (int i = 0; i < 100; ++i)
    pickle += std::string("q") + static_cast<char>(i) + "](" + [&] {
      std::string ten;
      for (int k = 0; k < 10; ++k) ten += std::string("h") + static_cast<char>(i);
      return ten;
    }() + "e";
  EXPECT_EQ(read_pickle(p::of("(" + pickle + "t")).sequences.size(), 102U);
}

TEST(HostilePickle, AStorageIsSharedFourTimesAtMost) {
  std::vector<std::pair<std::string, std::string>> items;
  for (char name = 'a'; name < 'e'; ++name)
    items.emplace_back(std::string(1, name), p::tensor(kStorage, 0, {6}, {1}));
  EXPECT_EQ(error_of(p::of(p::dict(items))), "nothing was refused");
  items.emplace_back("e", p::tensor(kStorage, 0, {1}, {1}));
  EXPECT_THAT(error_of(p::of(p::dict(items))), HasSubstr("more than 4 times the elements of storage '0'"));
}

}  // namespace
}  // namespace resnet::io
