// One block of a kernel, run by fibers: what the words of device/words_host.h work on, and what they check.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "emulator/fibers.h"

namespace resnet::emulator {

/// In which order the threads of a block, and the blocks of a grid, take their turns. A kernel gives the same
/// bits in both, or it has a race.
enum class Order : std::uint8_t { forward, reverse };

struct Statistics {
  // Rows of ldmatrix, and stores, loads and asynchronous copies of 16 bytes, that have to wait for another
  // that the same bank serves: by matrices and by quarters of a warp. Accesses of lanes belong together by
  // their number since the last barrier.
  std::int64_t bank_conflicts = 0;
};

class Block {
 public:
  struct Place {
    int block = 0, blocks = 1;
    int threads = 1;
    int shared_bytes = 0;
  };
  Block(const Place& place, Order order, Statistics& statistics);

  /// Lets every thread call `body`. Gives what went wrong, with the thread that found it, or "".
  std::string run(const std::function<void()>& body);
  Block(const Block&) = delete;
  Block& operator=(const Block&) = delete;

  // The words.
  int thread() const { return fibers_->running(); }
  const Place& place() const { return place_; }
  void sync();
  std::uint64_t exchange(std::uint64_t bits, int from_lane);
  const unsigned char* checked_load(std::int64_t offset, int bytes);
  unsigned char* checked_store(std::int64_t offset, int bytes);
  void copy_async(std::int64_t offset, const void* from, bool valid);
  void commit();
  void wait_for(int groups_under_way);
  void ldmatrix(std::uint32_t (&r)[4], std::int64_t row, bool transposed);
  void mma_bf16(float (&d)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1);
  void mma_tf32(float (&d)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1);
  /// Ends the run with this message.
  [[noreturn]] void fail(const std::string& message);

 private:
  static constexpr int kLanes = 32, kSlots = 6;
  using Slots = std::array<std::uint64_t, kSlots>;
  struct Barrier {
    int arrived = 0;
    std::int64_t generation = 0;
    std::string_view word;
  };
  // Lanes give each other numbers: two sets, as some may read the last while others write the next.
  struct Warp {
    Barrier barrier;
    std::array<std::array<Slots, kLanes>, 2> slots{};
    std::vector<std::array<std::int64_t, kLanes>> wide;  // places of accesses of 16 bytes; -1: no access
  };
  // What is known of two bytes of shared memory.
  struct Cell {
    bool written = false, under_way = false;
    int writer = -1, reader = -1;                // the last ones; kMany readers
    std::int64_t written_in = -1, read_in = -1;  // the stretch between two barriers
  };
  struct Copy {
    std::int64_t offset;
    const void* from;
    bool valid;
    int group;
  };
  struct Thread {
    std::vector<Copy> copies;
    int groups = 0;                // committed
    std::int64_t collectives = 0;  // words of the warp so far
    std::size_t wide = 0;          // accesses of 16 bytes since the last barrier
  };
  static constexpr int kMany = -2;

  Thread& me() { return threads_[static_cast<std::size_t>(thread())]; }
  Warp& warp() { return warps_[static_cast<std::size_t>(thread() / kLanes)]; }
  int warp_members() const;
  void arrive(Barrier& barrier, int members, std::string_view word);
  // Gives the numbers of all lanes of the warp, once they all have called it.
  const std::array<Slots, kLanes>& collect(const Slots& mine, std::string_view word);
  void check_place(std::int64_t offset, int bytes, std::string_view what);
  void check_read(std::int64_t offset, int bytes);
  void check_write(std::int64_t offset, int bytes, bool written);
  void count_conflicts(const std::array<Slots, kLanes>& rows);
  void land(const Copy& copy);
  void note_wide(std::int64_t offset);
  void count_wide();
  void run_thread(const std::function<void()>& body);
  void pause();

  Place place_;
  Order order_;
  Statistics& statistics_;
  std::unique_ptr<Fibers> fibers_;
  std::vector<unsigned char> memory_;
  std::vector<Cell> cells_;
  std::vector<Thread> threads_;
  std::vector<Warp> warps_;
  Barrier all_;
  std::string fault_;
  std::int64_t progress_ = 0;  // barriers that all have reached, and threads that ended
};

/// The block whose thread runs now.
Block& current_block();

}  // namespace resnet::emulator
