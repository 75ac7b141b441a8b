// A trained network behind HTTP: a page where a picture is dropped, and answers in JSON for programs.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>

#include "resnet/model_file.h"
#include "resnet/predict.h"

namespace resnet {

struct ServeOptions {
  std::string host = "127.0.0.1";  // an address, or localhost; "0.0.0.0" or "::": all of them
  int port = 8000;                 // 0: one that is free
  std::string title = "resnet";    // of the page
  /// Names by which a reverse proxy in front is known ("photos.example"): its requests and its page's are no
  /// other host's.
  std::vector<std::string> names = {};

  std::int64_t top = 5;         // classes of an answer, where a request asks for no other number
  std::int64_t batch_size = 8;  // pictures that go through the network together, where so many wait
  int threads = 0;              // that decode; 0: as many as the engine has
  Views views = Views::one;     // of each picture, whose outputs are averaged

  int connections = 256;       // at once; where more come, the one idle longest is closed, else they wait
  std::int64_t waiting = 256;  // pictures; more are refused with 503
  std::int64_t body = std::int64_t{32} << 20;  // bytes of a request, 413 beyond; eight times that of all
                                               // together, 503 beyond
  double seconds = 60;                         // for a request to arrive (408), and to be taken in
};

/// Answers at an address: GET / is the page, POST /predict takes a picture (or several, as
/// multipart/form-data) and gives what `resnet predict --json` prints, GET /health, and GET /metrics in
/// Prometheus' text form (docs/serve.md).
///
/// A picture that comes while nothing else is there goes through the network at once, by itself. Those that
/// wait go together, in batches of 1, 2, 4, ... up to `batch_size`: an answer has the bits of predict() with
/// one of these batch sizes. Networks whose input has no fixed size take pictures one by one.
///
/// Whatever a client sends ends in a response or in a closed connection: it is limited in bytes, time and
/// number before memory is taken. Where the host is a loopback address, requests are refused whose Host is
/// another (421), and wherever it is, those of pages of other origins (403): see docs/security.md. There
/// is no encryption and no password; for a network, put a reverse proxy in front.
class Server {
 public:
  /// Listens; connections wait until run(). Throws IoError where the address is taken or is none of this
  /// machine, ConfigError for options that are out of range, ShapeError if the network is no classifier, and
  /// MemoryError where its largest batch has no room. The model outlives it, and others may use it meanwhile.
  explicit Server(Model& model, const ServeOptions& options = {});
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  /// "http://127.0.0.1:8000", with the port that was chosen.
  const std::string& address() const noexcept;

  /// Serves until `stop` is set (a signal wakes it; else it looks five times a second), then answers what
  /// has been asked, and returns: at the latest after `seconds`. Once. To be called by the thread that made
  /// it or another, not in a child of fork().
  void run(const std::atomic<bool>& stop);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace resnet
