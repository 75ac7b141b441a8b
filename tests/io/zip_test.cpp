// Archives that lie about what they hold, made by hand: entries elsewhere, of other sizes, or that there are
// not.
#include "io/pth/zip.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "resnet/error.h"
#include "support/pth_file.h"

namespace resnet::io {
namespace {

using test::little_endian;
using test::ZipEntry;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// What a field of an entry is called, with its place in the directory and in front of the entry's bytes.
struct Field {
  std::size_t in_directory, in_front;
  int bytes;
};
constexpr Field kFlags = {8, 6, 2}, kPacked = {20, 18, 4}, kSize = {24, 22, 4}, kNameSize = {28, 26, 2};

std::size_t place_of(const std::string& file, const char* magic, int entry) {
  std::size_t at = file.find(magic);
  for (; entry > 0; --entry) at = file.find(magic, at + 1);
  return at;
}

void put(std::string& file, std::size_t at, std::uint64_t value, int bytes) {
  file.replace(at, static_cast<std::size_t>(bytes), little_endian(value, bytes));
}
void put_in_directory(std::string& file, int entry, const Field& field, std::uint64_t value) {
  put(file, place_of(file, "PK\1\2", entry) + field.in_directory, value, field.bytes);
}
void put_in_both(std::string& file, int entry, const Field& field, std::uint64_t value) {
  put_in_directory(file, entry, field, value);
  put(file, place_of(file, "PK\3\4", entry) + field.in_front, value, field.bytes);
}

// What opening the archive or reading these entries in this order is refused with; their texts otherwise.
std::string outcome(const std::string& file, const std::vector<std::string>& names) {
  std::string texts = "read: ";
  try {
    ZipArchive archive(std::as_bytes(std::span(file)));
    for (const std::string& name : names) {
      const std::span<const std::byte> bytes = archive.read(name);
      texts.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    }
  } catch (const FormatError& error) {
    EXPECT_NE(error.hint(), "");
    return error.what();
  }
  return texts;
}

const std::vector<ZipEntry> kEntries = {{"a", "first"}, {"b", "second"}, {"c", "third"}};

TEST(Zip, ReadsEntriesInAnyOrder) {
  const std::string file = test::zip_of({{"a", "first"}, {"b", ""}, {"c", "third", true}, {"d", "", true}});
  EXPECT_EQ(outcome(file, {"a", "b", "c", "d"}), "read: firstthird");
  EXPECT_EQ(outcome(file, {"d", "c", "b", "a"}), "read: thirdfirst");
  const ZipArchive archive(std::as_bytes(std::span(file)));
  EXPECT_THAT(archive.names(), ElementsAre("a", "b", "c", "d"));
  EXPECT_TRUE(archive.has("d"));
  EXPECT_FALSE(archive.has("e"));
}

TEST(Zip, RefusesEntriesThatReachIntoOthersFromEitherSide) {
  std::string file = test::zip_of(kEntries);
  const std::uint64_t more = 6 + 31;  // as far as into the next one's bytes
  for (const Field& field : {kPacked, kSize}) put_in_both(file, 1, field, 6 + more);
  EXPECT_THAT(outcome(file, {"c", "b"}), HasSubstr("entry 'b' of the zip archive shares bytes with another"));
  EXPECT_THAT(outcome(file, {"a", "b"}), HasSubstr("entry 'b' of the zip archive has other bytes"));
  file = test::zip_of(kEntries);
  for (const Field& field : {kPacked, kSize}) put_in_both(file, 2, field, 1000);
  EXPECT_THAT(outcome(file, {"c"}), HasSubstr("entry 'c' of the zip archive ends behind the file"));
}

TEST(Zip, RefusesEntriesThatAreNotAsTheDirectorySays) {
  std::string file = test::zip_of(kEntries);
  put_in_both(file, 1, kSize, 7);
  EXPECT_THAT(outcome(file, {"b"}),
              HasSubstr("'b' of the zip archive is stored in another size than its own"));
  EXPECT_EQ(outcome(file, {"a", "c"}), "read: firstthird");
  file = test::zip_of(kEntries);
  put_in_directory(file, 1, kSize, 7);
  EXPECT_THAT(outcome(file, {"b"}), HasSubstr("'b' of the zip archive does not agree with its place"));
  file = test::zip_of(kEntries);
  put(file, place_of(file, "PK\1\2", 1) + 42, file.size() - 1, 4);  // where it is said to begin
  EXPECT_THAT(outcome(file, {"b"}), HasSubstr("'b' of the zip archive does not agree with its place"));
}

TEST(Zip, RefusesPackedBytesThatAreNotThoseOfTheEntry) {
  const std::vector<ZipEntry> entries = {{"a", std::string(1000, 'x'), true}};
  const std::string good = test::zip_of(entries);
  ASSERT_EQ(outcome(good, {"a"}), "read: " + entries[0].bytes);
  for (const std::uint64_t size : {999, 1001, 0}) {  // too little room, too much, and none
    std::string file = good;
    put_in_both(file, 0, kSize, size);
    EXPECT_THAT(outcome(file, {"a"}), HasSubstr("'a' of the zip archive does not unpack to its size"))
        << size;
  }
  std::string file = good;
  const std::size_t packed = test::deflated(entries[0].bytes).size();
  for (const std::uint64_t size : {packed - 1, packed + 1}) {
    file = good;
    put_in_both(file, 0, kPacked, size);
    EXPECT_THAT(outcome(file, {"a"}), HasSubstr("does not unpack to its size")) << size;
  }
  file = good;
  file[31] = '\xff';  // a block of a kind that there is not
  EXPECT_THAT(outcome(file, {"a"}), HasSubstr("does not unpack to its size"));
}

TEST(Zip, RefusesDirectoriesThatAreDamaged) {
  const std::string good = test::zip_of(kEntries);
  std::string file = good;
  file[place_of(good, "PK\1\2", 1)] = 'x';
  EXPECT_THAT(outcome(file, {}), HasSubstr("the directory of the zip archive ends at entry 1 of 3"));
  file = good;
  file[place_of(good, "PK\1\2", 0)] = 'x';
  EXPECT_THAT(outcome(file, {}), HasSubstr("the directory of the zip archive ends at entry 0 of 3"));
  file = good;
  put_in_directory(file, 2, kNameSize, 500);  // reaches behind the file
  EXPECT_THAT(outcome(file, {}), HasSubstr("an entry of the zip archive's directory is damaged"));
  file = test::zip_of({{std::string(512, 'n'), "x"}});
  EXPECT_EQ(outcome(file, {std::string(512, 'n')}), "read: x");
  EXPECT_EQ(outcome(test::zip_of({{std::string(513, 'n'), "x"}}), {}),
            "an entry of the zip archive has a name of 513 bytes; at most 512");
  EXPECT_THAT(outcome("no archive" + std::string(30, ' '), {}), HasSubstr("has no end"));
  EXPECT_THAT(outcome("PK\5\6" + std::string(17, '\0'), {}), HasSubstr("has no end")) << "a byte is missing";
  file = good;
  put(file, place_of(good, "PK\5\6", 0) + 12, good.size(), 4);  // a directory larger than the file
  EXPECT_THAT(outcome(file, {}), HasSubstr("has no end"));
}

// A zip64 archive says how many entries it has in 64 bits.
TEST(Zip, RefusesMoreEntriesThanAnyFileOfWeightsHas) {
  const auto archive_of = [](std::uint64_t entries) {
    const std::uint64_t begin = 4;  // minizip takes 0 for nowhere
    const std::string end = "PK\6\6" + little_endian(44, 8) + little_endian(45, 2) + little_endian(45, 2) +
                            little_endian(0, 8) + little_endian(entries, 8) + little_endian(entries, 8) +
                            little_endian(0, 8) + little_endian(begin, 8);
    const std::string locator =
        "PK\6\7" + little_endian(0, 4) + little_endian(begin, 8) + little_endian(1, 4);
    return "PK\3\4" + end + locator + "PK\5\6" + little_endian(0, 4) + little_endian(0xffff, 2) +
           little_endian(0xffff, 2) + little_endian(0xffffffff, 4) + little_endian(0xffffffff, 4) +
           little_endian(0, 2);
  };
  EXPECT_EQ(outcome(archive_of(65537), {}), "a zip archive of 65537 entries; at most 65536");
  EXPECT_THAT(outcome(archive_of(65536), {}), HasSubstr("ends at entry 0 of 65536"));
  EXPECT_THAT(outcome(archive_of(~0ULL), {}), HasSubstr("a zip archive of 18446744073709551615 entries"));
}

}  // namespace
}  // namespace resnet::io
