#include "io/pth/opcodes.h"

#include <fmt/core.h>

#include "io/pth/pickled_tensor.h"

namespace resnet::io {
namespace {

struct Refused {
  unsigned char code;
  const char* name;
};
// Opcodes that no state dict needs; those of protocols 0 and 1 among them.
constexpr Refused kRefused[] = {
    {'i', "INST"},  {'o', "OBJ"},   {0x81, "NEWOBJ"}, {0x92, "NEWOBJ_EX"},   {0x82, "EXT1"},
    {0x83, "EXT2"}, {0x84, "EXT4"}, {'P', "PERSID"},  {0x97, "NEXT_BUFFER"}, {0x98, "READONLY_BUFFER"},
    {'I', "INT"},   {'L', "LONG"},  {'F', "FLOAT"},   {'S', "STRING"},       {'V', "UNICODE"},
    {'p', "PUT"},   {'g', "GET"},   {'d', "DICT"},    {'l', "LIST"}};

}  // namespace

void refuse_opcode(unsigned char code) {
  for (const Refused& refused : kRefused) {
    if (refused.code == code)
      refuse_pickle(fmt::format("has the opcode {}, which no state dict needs", refused.name));
  }
  refuse_pickle(fmt::format("has the opcode 0x{:02x}, which there is not", code));
}

}  // namespace resnet::io
