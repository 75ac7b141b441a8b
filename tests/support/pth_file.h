// Files of PyTorch made by hand, well formed or not: a zip archive of stored entries, and pickles of
// protocol 2.
#pragma once

#include <zlib.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace resnet::test {

inline std::string little_endian(std::uint64_t value, int bytes) {
  std::string text;
  for (int i = 0; i < bytes; ++i) text += i < 8 ? static_cast<char>(value >> 8 * i) : '\0';
  return text;
}

struct ZipEntry {
  std::string name, bytes;
  bool deflated = false;
};

inline std::string deflated(const std::string& bytes) {
  z_stream stream{};
  deflateInit2(&stream, Z_BEST_COMPRESSION, Z_DEFLATED, -MAX_WBITS, 8, Z_DEFAULT_STRATEGY);
  std::string out(deflateBound(&stream, bytes.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<uInt>(bytes.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  deflate(&stream, Z_FINISH);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

inline std::string zip_of(const std::vector<ZipEntry>& entries) {
  std::string file, directory;
  for (const ZipEntry& entry : entries) {
    const std::string packed = entry.deflated ? deflated(entry.bytes) : entry.bytes;
    const auto checksum = crc32_z(0, reinterpret_cast<const Bytef*>(entry.bytes.data()), entry.bytes.size());
    const std::string common =
        little_endian(20, 2) + little_endian(0, 2) + little_endian(entry.deflated ? 8 : 0, 2) +
        little_endian(0, 4) + little_endian(checksum, 4) + little_endian(packed.size(), 4) +
        little_endian(entry.bytes.size(), 4) + little_endian(entry.name.size(), 2) + little_endian(0, 2);
    directory += "PK\1\2" + little_endian(20, 2) + common + little_endian(0, 2 + 2 + 2 + 4) +
                 little_endian(file.size(), 4) + entry.name;
    file += "PK\3\4" + common + entry.name + packed;
  }
  const std::size_t begin = file.size();
  return file + directory + "PK\5\6" + little_endian(0, 4) + little_endian(entries.size(), 2) +
         little_endian(entries.size(), 2) + little_endian(directory.size(), 4) + little_endian(begin, 4) +
         little_endian(0, 2);
}

/// Opcodes, each as the bytes that push a value or do something with those that are there.
namespace pickle {
inline std::string whole(std::int64_t value) {
  return std::string("\x8a\x08") + little_endian(static_cast<std::uint64_t>(value), 8);
}
inline std::string text(const std::string& value) {
  return "X" + little_endian(value.size(), 4) + value;
}
inline std::string global(const std::string& module, const std::string& name) {
  return "c" + module + "\n" + name + "\n";
}
inline std::string tuple(const std::vector<std::string>& values) {
  std::string all = "(";
  for (const std::string& value : values) all += value;
  return all + "t";
}
inline std::string wholes(const std::vector<std::int64_t>& values) {
  std::vector<std::string> all;
  for (const std::int64_t value : values) all.push_back(whole(value));
  return tuple(all);
}
inline std::string dict(const std::vector<std::pair<std::string, std::string>>& items) {
  std::string all = "}(";
  for (const auto& [key, value] : items) all += text(key) + value;
  return all + "u";
}
inline std::string storage(const std::string& type, const std::string& key, std::int64_t elements) {
  return tuple({text("storage"), global("torch", type), text(key), text("cpu"), whole(elements)}) + "Q";
}
inline std::string tensor(const std::string& storage, std::int64_t offset,
                          const std::vector<std::int64_t>& sizes, const std::vector<std::int64_t>& strides) {
  const std::string hooks = global("collections", "OrderedDict") + ")R";
  return global("torch._utils", "_rebuild_tensor_v2") +
         tuple({storage, whole(offset), wholes(sizes), wholes(strides), "\x89", hooks}) + "R";
}
inline std::string of(const std::string& value) {
  return "\x80\x02" + value + ".";
}
}  // namespace pickle

/// A file of a pickle, and of the bytes of storages by key.
inline std::string pth_of(const std::string& pickle,
                          const std::vector<std::pair<std::string, std::string>>& storages,
                          bool deflated = false) {
  std::vector<ZipEntry> entries = {{"archive/data.pkl", pickle, deflated}, {"archive/byteorder", "little"}};
  for (const auto& [key, bytes] : storages) entries.push_back({"archive/data/" + key, bytes, deflated});
  entries.push_back({"archive/version", "3\n"});
  return zip_of(entries);
}

}  // namespace resnet::test
