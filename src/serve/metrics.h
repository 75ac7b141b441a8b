// What a server counts, for GET /metrics.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

namespace resnet::serve {

/// Counts by upper bounds, as Prometheus has them.
class Histogram {
 public:
  explicit Histogram(std::vector<double> bounds) : bounds_(std::move(bounds)), counts_(bounds_.size() + 1) {}
  void add(double value);
  std::string text(const std::string& name, const std::string& help) const;

 private:
  std::vector<double> bounds_;
  std::vector<std::int64_t> counts_;  // the last one: beyond all bounds
  double sum_ = 0;
};

/// What is there now, beside what was counted.
struct Gauges {
  std::int64_t connections = 0, waiting = 0;  // pictures
};

/// Safe to use from several threads.
class Metrics {
 public:
  void count_request(const std::string& path, int status);
  void count_answer(double seconds);           ///< to POST /predict, from its last byte on
  void count_pictures(std::int64_t together);  ///< that went through the network in one call
  void count_bad_picture();
  /// Prometheus' text form, version 0.0.4.
  std::string text(const Gauges& gauges) const;

 private:
  mutable std::mutex mutex_;
  std::map<std::pair<std::string, int>, std::int64_t> requests_;
  std::int64_t pictures_ = 0, bad_pictures_ = 0;
  Histogram seconds_{{0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10}};
  Histogram together_{{1, 2, 4, 8, 16, 32, 64}};
};

}  // namespace resnet::serve
