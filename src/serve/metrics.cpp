#include "serve/metrics.h"

#include <fmt/core.h>

#include <algorithm>

#include "base/memory.h"

namespace resnet::serve {
namespace {

std::string metric_head(const std::string& name, const char* type, const std::string& help) {
  return fmt::format("# HELP {0} {1}\n# TYPE {0} {2}\n", name, help, type);
}

std::string metric_text(const std::string& name, const char* type, const std::string& help,
                        std::int64_t value) {
  return metric_head(name, type, help) + fmt::format("{} {}\n", name, value);
}

}  // namespace

void Histogram::add(double value) {
  const auto bucket = std::ranges::lower_bound(bounds_, value) - bounds_.begin();
  ++counts_[static_cast<std::size_t>(bucket)];
  sum_ += value;
}

std::string Histogram::text(const std::string& name, const std::string& help) const {
  std::string result = metric_head(name, "histogram", help);
  std::int64_t count = 0;
  for (std::size_t i = 0; i < counts_.size(); ++i) {
    count += counts_[i];
    const std::string bound = i < bounds_.size() ? fmt::format("{}", bounds_[i]) : "+Inf";
    result += fmt::format("{}_bucket{{le=\"{}\"}} {}\n", name, bound, count);
  }
  return result + fmt::format("{0}_sum {1}\n{0}_count {2}\n", name, sum_, count);
}

void Metrics::count_request(const std::string& path, int status) {
  const std::scoped_lock lock(mutex_);
  ++requests_[{path, status}];
}

void Metrics::count_answer(double seconds) {
  const std::scoped_lock lock(mutex_);
  seconds_.add(seconds);
}

void Metrics::count_pictures(std::int64_t together) {
  const std::scoped_lock lock(mutex_);
  pictures_ += together;
  together_.add(static_cast<double>(together));
}

void Metrics::count_bad_picture() {
  const std::scoped_lock lock(mutex_);
  ++bad_pictures_;
}

std::string Metrics::text(const Gauges& gauges) const {
  const std::scoped_lock lock(mutex_);
  std::string result = metric_head("resnet_requests_total", "counter", "Responses by path and status.");
  for (const auto& [key, count] : requests_) {
    result +=
        fmt::format("resnet_requests_total{{path=\"{}\",status=\"{}\"}} {}\n", key.first, key.second, count);
  }
  result +=
      seconds_.text("resnet_predict_seconds", "Time from the last byte of a POST /predict to its response.");
  result += together_.text("resnet_batch_pictures", "Pictures that went through the network together.");
  result +=
      metric_text("resnet_pictures_total", "counter", "Pictures that went through the network.", pictures_);
  result += metric_text("resnet_bad_pictures_total", "counter", "Pictures that could not be decoded.",
                        bad_pictures_);
  result +=
      metric_text("resnet_pictures_waiting", "gauge", "Pictures without an answer yet.", gauges.waiting);
  result += metric_text("resnet_connections", "gauge", "Open connections.", gauges.connections);
  result += metric_text("process_resident_memory_bytes", "gauge", "Resident memory.", resident_bytes());
  return result;
}

}  // namespace resnet::serve
