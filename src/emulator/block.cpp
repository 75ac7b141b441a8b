#include "emulator/block.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

#include "device/words.h"

namespace resnet::emulator {
namespace {

// What a word throws to end its thread.
struct Fault {
  std::string message;
};
struct Abandoned {};  // another thread has failed

thread_local Block* running_block = nullptr;

constexpr int kCell = 2;      // bytes: of the smallest elements that kernels store by themselves, but for u8
constexpr int kRow = 16;      // bytes of a row of ldmatrix
constexpr int kBankRows = 8;  // rows of 16 bytes that the 32 banks serve at once

}  // namespace

Block& current_block() {
  return *running_block;
}

Block::Block(const Place& place, Order order, Statistics& statistics)
    : place_(place),
      order_(order),
      statistics_(statistics),
      memory_(static_cast<std::size_t>(place.shared_bytes), 0xff),  // NaN to whoever reads it unwritten
      cells_(static_cast<std::size_t>((place.shared_bytes + kCell - 1) / kCell)),
      threads_(static_cast<std::size_t>(place.threads)),
      warps_(static_cast<std::size_t>((place.threads + kLanes - 1) / kLanes)) {}

void Block::run_thread(const std::function<void()>& body) {
  try {
    body();
    if (!me().copies.empty()) fail("ends with copies under way: a wait is missing");
  } catch (const Fault& fault) {
    if (fault_.empty())
      fault_ = "block " + std::to_string(place_.block) + ", thread " + std::to_string(thread()) + ": " +
               fault.message;
  } catch (const Abandoned&) {  // the other's fault is told
  }
  ++progress_;
}

std::string Block::run(const std::function<void()>& body) {
  Block* const outer = std::exchange(running_block, this);
  fibers_ = std::make_unique<Fibers>(place_.threads, [&](int) { run_thread(body); });
  const int last = place_.threads - 1;
  for (int left = place_.threads; left > 0;) {
    const std::int64_t before = progress_;
    left = 0;
    for (int i = 0; i < place_.threads; ++i) {
      const int number = order_ == Order::forward ? i : last - i;
      fibers_->resume(number);
      left += fibers_->ended(number) ? 0 : 1;
    }
    if (left > 0 && progress_ == before && fault_.empty()) {
      const Barrier& barrier = all_;
      fault_ = "block " + std::to_string(place_.block) + ": " + std::to_string(left) + " of " +
               std::to_string(place_.threads) + " threads wait for others that have ended or wait elsewhere" +
               (barrier.arrived > 0 ? " (" + std::to_string(barrier.arrived) + " at sync())" : "");
    }
  }
  count_wide();
  running_block = outer;
  return fault_;
}

void Block::fail(const std::string& message) {
  throw Fault{message};
}

void Block::pause() {
  fibers_->pause();
  if (!fault_.empty()) throw Abandoned{};
}

void Block::arrive(Barrier& barrier, int members, std::string_view word) {
  if (barrier.arrived == 0) barrier.word = word;
  if (barrier.word != word)
    fail("calls " + std::string(word) + " where others of its warp call " + std::string(barrier.word));
  if (++barrier.arrived == members) {
    barrier.arrived = 0;
    ++barrier.generation;
    ++progress_;
    return;
  }
  for (const std::int64_t generation = barrier.generation; barrier.generation == generation;) pause();
}

void Block::sync() {
  if (all_.arrived + 1 == place_.threads) count_wide();
  me().wide = 0;
  arrive(all_, place_.threads, "sync()");
}

void Block::note_wide(std::int64_t offset) {
  auto& wide = warp().wide;
  const std::size_t number = me().wide++;
  if (number == wide.size()) wide.emplace_back().fill(-1);
  wide[number][static_cast<std::size_t>(thread() % kLanes)] = offset;
}

void Block::count_wide() {
  for (Warp& of : warps_) {
    for (const auto& places : of.wide) {
      for (std::size_t quarter = 0; quarter < kLanes; quarter += kBankRows) {
        for (std::size_t i = quarter; i < quarter + kBankRows; ++i) {
          const auto same = [&](std::int64_t other) {
            return other >= 0 && other != places[i] &&
                   other / kRow % kBankRows == places[i] / kRow % kBankRows;
          };
          const auto begin = places.begin() + static_cast<std::ptrdiff_t>(quarter);
          if (places[i] >= 0 && std::any_of(begin, places.begin() + static_cast<std::ptrdiff_t>(i), same))
            ++statistics_.bank_conflicts;
        }
      }
    }
    of.wide.clear();
  }
}

int Block::warp_members() const {
  return std::min(kLanes, place_.threads - thread() / kLanes * kLanes);
}

const std::array<Block::Slots, Block::kLanes>& Block::collect(const Slots& mine, std::string_view word) {
  auto& slots = warp().slots[static_cast<std::size_t>(me().collectives++ % 2)];
  slots[static_cast<std::size_t>(thread() % kLanes)] = mine;
  arrive(warp().barrier, warp_members(), word);
  return slots;
}

std::uint64_t Block::exchange(std::uint64_t bits, int from_lane) {
  if (from_lane >= warp_members()) fail("shuffles with a lane that is not there");
  return collect({bits}, "shuffle")[static_cast<std::size_t>(from_lane)][0];
}

void Block::check_place(std::int64_t offset, int bytes, std::string_view what) {
  if (offset < 0 || offset + bytes > place_.shared_bytes)
    fail(std::string(what) + " byte " + std::to_string(offset) + " of " +
         std::to_string(place_.shared_bytes) + " bytes of shared memory");
  const int alignment = std::has_single_bit(static_cast<unsigned>(bytes)) ? std::min(bytes, 16) : 1;
  if (offset % alignment != 0)
    fail(std::string(what) + " " + std::to_string(bytes) + " bytes at byte " + std::to_string(offset) +
         " of shared memory, which is no multiple");
}

void Block::check_read(std::int64_t offset, int bytes) {
  for (std::int64_t i = offset / kCell; i <= (offset + bytes - 1) / kCell; ++i) {
    Cell& cell = cells_[static_cast<std::size_t>(i)];
    const auto at = [&] { return " byte " + std::to_string(i * kCell) + " of shared memory"; };
    if (cell.under_way) fail("reads" + at() + " while a copy to it is under way: a wait is missing");
    if (!cell.written) fail("reads" + at() + ", which nobody has written");
    if (cell.written_in == all_.generation && cell.writer != thread())
      fail("reads" + at() + ", which thread " + std::to_string(cell.writer) +
           " has written: a sync() is missing");
    cell.reader = cell.read_in == all_.generation && cell.reader != thread() ? kMany : thread();
    cell.read_in = all_.generation;
  }
}

void Block::check_write(std::int64_t offset, int bytes, bool written) {
  for (std::int64_t i = offset / kCell; i <= (offset + bytes - 1) / kCell; ++i) {
    Cell& cell = cells_[static_cast<std::size_t>(i)];
    const auto at = [&] { return " byte " + std::to_string(i * kCell) + " of shared memory"; };
    if (cell.under_way && written) fail("writes" + at() + " while a copy to it is under way");
    // Neighbours of one byte may have two writers.
    if (cell.written_in == all_.generation && cell.writer != thread() && bytes >= kCell)
      fail("writes" + at() + ", which thread " + std::to_string(cell.writer) +
           " has written: a sync() is missing");
    if (cell.read_in == all_.generation && cell.reader != thread())
      fail("writes" + at() + ", which others have read: a sync() is missing");
    cell = {.written = written,
            .under_way = !written,
            .writer = thread(),
            .reader = cell.reader,
            .written_in = all_.generation,
            .read_in = cell.read_in};
  }
}

const unsigned char* Block::checked_load(std::int64_t offset, int bytes) {
  check_place(offset, bytes, "reads");
  check_read(offset, bytes);
  if (bytes == kRow) note_wide(offset);
  return memory_.data() + offset;
}

unsigned char* Block::checked_store(std::int64_t offset, int bytes) {
  check_place(offset, bytes, "writes");
  check_write(offset, bytes, true);
  if (bytes == kRow) note_wide(offset);
  return memory_.data() + offset;
}

void Block::copy_async(std::int64_t offset, const void* from, bool valid) {
  check_place(offset, kRow, "copies to");
  if (reinterpret_cast<std::uintptr_t>(from) % kRow != 0)
    fail("copies 16 bytes from an address that is no multiple");
  check_write(offset, kRow, false);
  note_wide(offset);
  me().copies.push_back({offset, from, valid, me().groups});
}

void Block::commit() {
  ++me().groups;
}

void Block::land(const Copy& copy) {
  if (copy.valid) {
    std::memcpy(memory_.data() + copy.offset, copy.from, kRow);
  } else {
    std::memset(memory_.data() + copy.offset, 0, kRow);
  }
  for (std::int64_t i = copy.offset / kCell; i < (copy.offset + kRow) / kCell; ++i) {
    Cell& cell = cells_[static_cast<std::size_t>(i)];
    cell.written = true;
    cell.under_way = false;
    cell.writer = thread();
    cell.written_in = all_.generation;  // others see it behind the next barrier
  }
}

void Block::wait_for(int groups_under_way) {
  std::vector<Copy>& copies = me().copies;
  const auto landed = std::stable_partition(copies.begin(), copies.end(), [&](const Copy& copy) {
    return copy.group >= me().groups - groups_under_way;
  });
  std::for_each(landed, copies.end(), [&](const Copy& copy) { land(copy); });
  copies.erase(landed, copies.end());
}

void Block::count_conflicts(const std::array<Slots, kLanes>& rows) {
  for (int matrix = 0; matrix < 4; ++matrix) {
    unsigned seen = 0;
    for (int row = 0; row < 8; ++row) {
      const std::uint64_t offset = rows[static_cast<std::size_t>(matrix * 8 + row)][0];
      const unsigned bank = 1U << (offset / kRow % kBankRows);
      if ((seen & bank) != 0) ++statistics_.bank_conflicts;
      seen |= bank;
    }
  }
}

void Block::ldmatrix(std::uint32_t (&r)[4], std::int64_t row, bool transposed) {
  if (warp_members() != kLanes) fail("calls ldmatrix in a warp that is not full");
  check_place(row, kRow, "loads a matrix from");
  const auto& rows = collect({static_cast<std::uint64_t>(row)}, transposed ? "ldmatrix_trans" : "ldmatrix");
  const int lane = thread() % kLanes;
  if (lane == 0) count_conflicts(rows);
  const auto row_of = [&](int i) { return static_cast<std::int64_t>(rows[static_cast<std::size_t>(i)][0]); };
  for (int i = 0; i < 4; ++i) {
    if (!transposed) {
      const std::int64_t at = row_of(8 * i + lane / 4) + std::int64_t{4} * (lane % 4);
      check_read(at, 4);
      std::memcpy(&r[i], memory_.data() + at, 4);
      continue;
    }
    std::uint32_t both = 0;
    for (int e = 0; e < 2; ++e) {
      const std::int64_t at = row_of(8 * i + 2 * (lane % 4) + e) + std::int64_t{2} * (lane / 4);
      check_read(at, 2);
      std::uint16_t one = 0;
      std::memcpy(&one, memory_.data() + at, 2);
      both |= static_cast<std::uint32_t>(one) << static_cast<unsigned>(16 * e);
    }
    r[i] = both;
  }
}

namespace {

double of_bf16(std::uint64_t pair, int half) {
  return static_cast<double>(
      std::bit_cast<float>(static_cast<std::uint32_t>(half == 0 ? pair << 16U : pair & 0xffff0000U)));
}

// The f32 next to it, no larger in size.
float cut(double sum) {
  const auto nearest = static_cast<float>(sum);
  return std::abs(static_cast<double>(nearest)) > std::abs(sum) ? std::nextafter(nearest, 0.0F) : nearest;
}

}  // namespace

// Exact products, summed in double and cut to f32 once, as tensor cores cut (Fasi, Higham, Mikaitis, Pranesh: Numerical
// behavior of NVIDIA tensor cores, 2021), which keep a few bits more than f32 has in between.
void Block::mma_bf16(float (&d)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1) {
  if (warp_members() != kLanes) fail("calls mma in a warp that is not full");
  const auto& lanes = collect({a[0], a[1], a[2], a[3], b0, b1}, "mma_bf16");
  const int lane = thread() % kLanes;
  for (int c = 0; c < 4; ++c) {
    const int row = lane / 4 + c / 2 * 8, column = 2 * (lane % 4) + c % 2;
    double sum = static_cast<double>(d[c]);
    for (int k = 0; k < 16; ++k) {
      const auto of_a = static_cast<std::size_t>(row / 8 + k / 8 * 2),
                 of_b = static_cast<std::size_t>(4 + k / 8);
      const auto& left = lanes[static_cast<std::size_t>(row % 8 * 4 + k % 8 / 2)];
      const auto& right = lanes[static_cast<std::size_t>(column * 4 + k % 8 / 2)];
      sum += of_bf16(left[of_a], k % 2) * of_bf16(right[of_b], k % 2);
    }
    d[c] = cut(sum);
  }
}

void Block::mma_tf32(float (&d)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1) {
  if (warp_members() != kLanes) fail("calls mma in a warp that is not full");
  for (const std::uint32_t bits : {a[0], a[1], a[2], a[3], b0, b1}) {
    const bool finite = (bits & 0x7f800000U) != 0x7f800000U;
    if (finite && (bits & 0x1fffU) != 0) fail("gives mma_tf32 a number that to_tf32 has not rounded");
  }
  const auto& lanes = collect({a[0], a[1], a[2], a[3], b0, b1}, "mma_tf32");
  const auto value = [](std::uint64_t bits) {
    return static_cast<double>(std::bit_cast<float>(static_cast<std::uint32_t>(bits)));
  };
  const int lane = thread() % kLanes;
  for (int c = 0; c < 4; ++c) {
    const int row = lane / 4 + c / 2 * 8, column = 2 * (lane % 4) + c % 2;
    double sum = static_cast<double>(d[c]);
    for (int k = 0; k < 8; ++k) {
      const auto& left = lanes[static_cast<std::size_t>(row % 8 * 4 + k % 4)];
      const auto& right = lanes[static_cast<std::size_t>(column * 4 + k % 4)];
      sum += value(left[static_cast<std::size_t>(row / 8 + k / 4 * 2)]) *
             value(right[static_cast<std::size_t>(4 + k / 4)]);
    }
    d[c] = cut(sum);
  }
}

}  // namespace resnet::emulator

// The words of device/words_host.h.
namespace resnet::device {

using emulator::current_block;

int thread() {
  return current_block().thread();
}
int block() {
  return current_block().place().block;
}
int blocks() {
  return current_block().place().blocks;
}
void sync() {
  current_block().sync();
}
const unsigned char* checked_load(std::int64_t offset, int bytes) {
  return current_block().checked_load(offset, bytes);
}
unsigned char* checked_store(std::int64_t offset, int bytes) {
  return current_block().checked_store(offset, bytes);
}
void expect_aligned(const void* address, int bytes) {
  if (reinterpret_cast<std::uintptr_t>(address) % static_cast<std::uintptr_t>(bytes) != 0)
    current_block().fail("goes to global memory for " + std::to_string(bytes) +
                         " bytes at an address that is no multiple");
}
std::uint64_t exchange(std::uint64_t bits, int from_lane) {
  return current_block().exchange(bits, from_lane);
}
void copy16_async_at(std::int64_t offset, const void* from, bool valid) {
  current_block().copy_async(offset, from, valid);
}
void commit() {
  current_block().commit();
}
void wait_for(int groups_under_way) {
  current_block().wait_for(groups_under_way);
}
void ldmatrix_at(std::uint32_t (&r)[4], std::int64_t row, bool transposed) {
  current_block().ldmatrix(r, row, transposed);
}
void mma_bf16(float (&d)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1) {
  current_block().mma_bf16(d, a, b0, b1);
}
void mma_tf32(float (&d)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1) {
  current_block().mma_tf32(d, a, b0, b1);
}

}  // namespace resnet::device
