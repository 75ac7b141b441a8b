// Pictures of requests on their way through the network: decoded side by side, classified together where
// they come together.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/threads.h"
#include "data/preprocess.h"
#include "resnet/serve.h"
#include "serve/metrics.h"
#include "serve/multipart.h"

namespace resnet::serve {

/// The pictures of one request.
struct Ask {
  std::uint64_t client = 0;  // who asked
  std::string body;          // which holds the files
  std::vector<Part> files;
  std::int64_t top = 1;  // classes of an answer
  SteadyTime came = std::chrono::steady_clock::now();
  std::atomic<bool> abandoned{false};  // nobody waits for the answer any more

  std::vector<Prediction> answers;  // in the order of the files
  bool failed = false;              // the fault is not the pictures'
  std::size_t left = 0;             // pictures without an answer
};

/// Decoders in front of threads that classify, as many as calls of the model run at the same time. Nothing
/// waits for company: what is there goes through the network together, in batches of a power of two, so that
/// a model has few plans. A picture in a batch of 8 takes two thirds to nine tenths of the time of one alone.
class Batcher {
 public:
  using Done = std::function<void(std::shared_ptr<Ask>)>;

  /// `done` is called by threads of the batcher, once for each Ask, and must not throw. Throws ShapeError if
  /// the network is no classifier.
  Batcher(Model& model, const ServeOptions& options, Metrics& metrics, Done done);
  ~Batcher();  ///< what is under way is finished, what waits is not
  Batcher(const Batcher&) = delete;
  Batcher& operator=(const Batcher&) = delete;

  void add(const std::shared_ptr<Ask>& ask);
  std::int64_t waiting() const;  ///< pictures without an answer
  std::int64_t classes() const noexcept { return classes_; }

 private:
  struct File {
    std::shared_ptr<Ask> ask;
    std::size_t number = 0;
  };
  struct Picture {
    File of;
    Tensor input;  // [1,H,W,C], preprocessed
  };

  void warm_up();
  void stop() noexcept;
  void decode();
  void classify(std::vector<Picture>& pictures);
  std::optional<File> next_file();
  Picture decoded(File file, std::optional<data::Preprocessor>& preprocessor) const;
  void hand_over(Picture picture);
  bool next_pictures(std::vector<Picture>& pictures);
  void answer(const std::vector<Picture>& pictures);
  void finish(const File& file, Prediction prediction, bool failed = false) noexcept;

  ServeOptions options_;
  Metrics& metrics_;
  Done done_;
  Model& model_;
  std::int64_t most_;  // pictures of a batch; 1 where they have no fixed size
  std::int64_t classes_ = 0;
  std::vector<std::vector<Picture>> batches_;  // of each thread that classifies; they have room for `most_`

  mutable std::mutex mutex_;  // of all that follows, and of Ask's last three members
  std::condition_variable files_changed_, pictures_changed_, room_made_;
  std::deque<File> files_;
  std::deque<Picture> pictures_;
  std::int64_t waiting_ = 0;
  bool stop_ = false;
  Threads decoders_, classifiers_;
};

}  // namespace resnet::serve
