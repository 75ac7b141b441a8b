// Data sets, their preprocessing, and the loader that makes batches of them beside the training.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "resnet/augment.h"
#include "resnet/image_view.h"
#include "resnet/images.h"
#include "resnet/tensor.h"

namespace resnet::data {

using images::Image;
using images::resize_bilinear;

/// Where a resize goes: nothing (keep the size); one number: torchvision's rule (the shorter side
/// becomes it, the longer side keeps the proportion, truncated); two: exactly height x width.
struct Resize {
  std::int64_t height = 0, width = 0;  // pixels; 0 x 0: keep; height > 0, width = 0: the shorter side
  Resize() = default;
  Resize(int shorter_side) : height(shorter_side) {}  // NOLINT(google-explicit-constructor): `.resize = 96`
  Resize(std::int64_t h, std::int64_t w) : height(h), width(w) {}
};

/// What is cut out of the middle, as torchvision's CenterCrop: where the picture is smaller, zeros are around
/// it.
struct Crop {
  std::int64_t height = 0, width = 0;  // pixels; 0 x 0: nothing is cut
  bool operator==(const Crop&) const = default;
};

/// (x - mean) / std for each channel, or with one number each for all; empty: nothing. As torchvision's.
struct Normalization {
  std::vector<double> mean, std;
  bool operator==(const Normalization&) const = default;
};

/// What happens to an image before the network sees it, in this order; stored in a model file.
struct Preprocessing {
  Resize resize = {};
  std::int64_t channels = 1;  // of the network; a picture gives 1 or 3: bytes / 255 -> [0, 1], as ToTensor
  images::Filter filter = images::Filter::bilinear;  // of the resize
  Crop crop = {};                                    // after the resize
  Normalization normalization = {};                  // of what is in [0, 1]
  /// JPEG files are decoded at 1/2, 1/4 or 1/8 where that is still no smaller than the resize, images::Draft:
  /// faster, with other pixels. It is of files; a picture that is given as pixels is taken as it is.
  bool jpeg_draft = false;
  bool operator==(const Preprocessing&) const;
};
/// One line of JSON, and back; "interpolation": "pil_bilinear" is resize_bilinear(). Crop, normalisation and
/// draft are written where there are any, so that programs of before read all else. Throws FormatError, also
/// for a key that it does not know.
std::string to_json(const Preprocessing& preprocessing);
Preprocessing preprocessing_from_json(const std::string& text);

/// [C,H,W] of an image of this size after `preprocessing`. Throws ShapeError if a side of either is zero or
/// larger than 65,535, if the resize or the crop asks for more than 1024x1024 pixels (the shorter side: more
/// than 1024), or if the resize would give more than 2048x2048; ConfigError for a normalisation of another
/// number of channels, of numbers that are not finite or deviations that are not above 0.
Shape preprocessed_shape(const Preprocessing& preprocessing, std::int64_t height, std::int64_t width);
/// The image as f32 after `preprocessing`, in [0, 1] without a normalisation, written to `out` (C*H*W floats)
/// in this layout; gray becomes RGB by repetition and RGB gray by PIL's luma (ITU-R 601-2) where channels
/// differ. Throws ShapeError if `out` has another size, if the channels are neither 1 nor 3, or as
/// resize_bilinear.
void preprocess(const Preprocessing& preprocessing, const Image& image, std::span<float> out,
                ImageLayout layout = ImageLayout::nchw);

/// The part of a data set.
enum class Split { train, test };
/// What becomes of files that cannot be read: the run stops, or goes on without them.
enum class BadFiles { stop, skip };
struct FolderScan;  // folder.h

struct DatasetOptions {
  Resize resize = {};
  std::filesystem::path dir = {};  // empty: $RESNET_DATA_DIR, then the system's folder if it has one
  std::int64_t limit = 0;          // use the first `limit` examples; 0: all
  images::Filter filter = images::Filter::bilinear;  // of the resize
  Crop crop = {};
  Normalization normalization = {};
  bool jpeg_draft = false;

  // Of a folder of pictures, see folder.h.
  double val_split = 0.1;                 // share of the pictures that are kept for testing, 0 to 1
  std::uint64_t seed = 0;                 // of the split
  BadFiles on_bad_file = BadFiles::stop;  // where some files cannot be read
  int scan_threads = 0;  // that look at files, each at a whole picture; 0: as EngineOptions::threads
  // Before a data set of other files is read, of each file of both its splits; what it throws ends that.
  std::function<void(const std::filesystem::path&)> opening = {};
  // In the caller's thread: now and then, and at the end, before bad files are refused.
  std::function<void(std::int64_t done, std::int64_t all)> scanning = {};
  std::function<void(const FolderScan&)> scanned = {};
};

struct TrainTest;
class PictureCache;  // see cached()
/// Where decoded pictures are kept for later epochs, or for later runs too: see cached().
enum class CacheKind : std::uint8_t { none, memory, disk };
struct CacheOptions {
  CacheKind kind = CacheKind::none;
  std::int64_t bytes = 0;  // at most, of what is kept; 0: half of the memory, or of the disk, that is free
};

/// Labelled images, held as they were stored: bytes in memory, or files that are read as they are asked for.
/// Cheap to copy.
class Dataset {
 public:
  /// Where the pictures are. Implementations are immutable and may be read by several threads.
  class Source {
   public:
    /// What is known of a picture without reading it.
    struct Facts {
      std::int64_t height = 0, width = 0;  // as it is decoded
      std::string digest;                  // picture_sha256()
    };
    /// What was found when it was opened.
    struct Counts {
      std::int64_t bad_files = 0;     // left out
      std::int64_t duplicates = 0;    // pictures that are there already, in this set or the other
      std::int64_t overlaps = 0;      // pictures of the test set that are in the training set too
      std::int64_t val_overlaps = 0;  // pictures of the validation set that are in one of the others too
    };

    virtual ~Source() = default;
    virtual std::int64_t size() const = 0;
    virtual std::int32_t label(std::int64_t i) const = 0;
    /// Reuses the memory of `out`. Files may fail: IoError, FormatError.
    virtual void image(std::int64_t i, Image& out) const = 0;
    virtual std::optional<Facts> facts(std::int64_t i) const { return static_cast<void>(i), std::nullopt; }
    virtual std::optional<Counts> counts() const { return std::nullopt; }
    /// What people call the example: a file's name; "" where it has none.
    virtual std::string name(std::int64_t i) const { return static_cast<void>(i), std::string(); }
    /// Whether image() has nothing to decode, so that keeping its pictures would gain nothing.
    virtual bool in_memory() const { return false; }
  };

  /// `classes`: the name of each label. `example`: [C,H,W] of every picture after `preprocessing`, as
  /// preprocessed_shape() gives it. `limit`: its first so many examples are used; 0: all. Throws Error without
  /// a source, ConfigError for a negative limit.
  Dataset(std::shared_ptr<const Source> source, std::string name, std::vector<std::string> classes,
          Preprocessing preprocessing, Shape example, std::int64_t limit = 0);

  std::int64_t size() const noexcept { return size_; }
  const std::string& name() const noexcept { return name_; }
  const std::vector<std::string>& classes() const noexcept { return classes_; }
  const Preprocessing& preprocessing() const noexcept { return preprocessing_; }
  const Shape& example_shape() const noexcept { return example_; }  ///< [C,H,W] after preprocessing
  /// Into classes(). Throws Error if there is none, FormatError where the source has one without a class.
  std::int32_t label(std::int64_t i) const;
  Image image(std::int64_t i) const;  ///< as stored; throws Error if there is none
  /// Its first `limit` examples, or all where it has fewer; 0: all. Throws ConfigError for less.
  Dataset first(std::int64_t limit) const;
  /// The same examples with the classes of another data set or network, found by their names: a class may be
  /// without examples here. Throws FormatError where one of these is not among them.
  Dataset with_classes(const std::vector<std::string>& classes) const;

  /// content_sha256() of its examples, worked out once for it and its copies.
  const std::string& content_sha256() const;

  const Source& source() const noexcept { return *source_; }
  PictureCache* cache() const noexcept { return cache_.get(); }  ///< of its loaders; null: none

 private:
  friend Dataset cached(Dataset dataset, const CacheOptions& options);
  friend TrainTest cached(TrainTest sets, const CacheOptions& options);

  struct Content;

  std::shared_ptr<const Source> source_;
  std::shared_ptr<Content> content_;  // of source_
  std::shared_ptr<PictureCache> cache_;
  std::string name_;
  std::vector<std::string> classes_;
  Preprocessing preprocessing_;
  Shape example_;
  std::int64_t size_ = 0;
};

/// Which picture this is: the SHA-256, in 64 digits, of its size and pixels.
std::string picture_sha256(const Image& image);
/// Which examples these are, wherever and however they are stored: the SHA-256, in 64 digits, of sizes,
/// pixels and label of the first `count` examples of `source` (all that it has, if those are fewer), or of
/// picture_sha256() and label where those are known without reading. Class names do not count.
std::string content_sha256(const Dataset::Source& source, std::int64_t count);

/// Fashion-MNIST: 60,000 and 10,000 gray images of 28x28, ten classes.
/// Throws IoError (with the command that installs the data) or FormatError.
Dataset fashion_mnist(Split split, const DatasetOptions& options = {});
/// The four MNIST files in options.dir: gray, or in colour where the images have four axes; labels of bytes
/// or wider numbers, of QMNIST's table the first column. With or without .gz, with a dot for the second dash,
/// "test" for "t10k", each in a folder of its name, all of them in one folder up to three levels down; with a
/// name in front (emnist-letters-train-...) also as options.dir / that name. Classes are the labels from the
/// lowest to the highest of both splits (of this one where the other is missing), called by their numbers.
/// Throws IoError or FormatError.
Dataset idx(Split split, const DatasetOptions& options);
/// CIFAR's binary records in options.dir, 32x32 RGB. CIFAR-100 has its fine labels. Class names are
/// those of batches.meta.txt or fine_label_names.txt, else numbers. Throws IoError or FormatError.
Dataset cifar10(Split split, const DatasetOptions& options);
Dataset cifar100(Split split, const DatasetOptions& options);
/// What a network is trained on, and what it is tested on; where there is one, also what it is watched on
/// while it is trained (FitOptions::validation).
struct TrainTest {
  Dataset train, test;
  std::optional<Dataset> validation = {};
};

/// The data set that `resnet train --data` calls so, e.g. "cifar10" or "idx:DIR"; the path of a folder means
/// "folder:DIR". Throws IoError for a path that is no folder, and ConfigError for another text, with those
/// that there are, or for options.dir beside a text with a path.
Dataset open(const std::string& text, Split split, const DatasetOptions& options = {});
/// All of its splits; a folder is scanned once.
TrainTest open(const std::string& text, const DatasetOptions& options = {});

/// The same data set with a cache, which its copies share: a loader decodes a picture once, and finds it
/// there in later epochs, as it was decoded if a RandomResizedCrop cuts it, else as it is after the resize.
/// What does not fit is decoded each time. Batches have the same bits with every cache, and the same data set
/// is given back where its pictures are in memory as it is. CacheKind::disk keeps them from run to run in
/// $XDG_CACHE_HOME/resnet/decoded (or ~/.cache), by the SHA-256 of what was decoded; what is damaged there,
/// or cannot be written, is decoded as without it, and all of it may be deleted at any time. Throws
/// ConfigError for less than 0 bytes, and for a disk beside Preprocessing::jpeg_draft, whose pictures have no
/// such hash.
Dataset cached(Dataset dataset, const CacheOptions& options);
/// Those that are read in every epoch, within the same number of bytes: the training set, and the validation
/// set or else the test set.
TrainTest cached(TrainTest sets, const CacheOptions& options);

/// A batch as an engine takes it.
struct Batch {
  Tensor images;        // f32 [N,C,H,W], or [N,H,W,C] by its layout
  Tensor labels;        // i32 [N]
  Tensor mixed_labels;  // i32 [N] where examples are mixed: the second labels; else empty
  Tensor mix;           // f32 [N], the weights of the first labels, likewise
  ImageLayout layout = ImageLayout::nchw;
  ImageView view() const;
  std::int64_t size() const noexcept { return labels.empty() ? 0 : labels.shape()[0]; }
};

/// In which order an epoch visits the examples of a data set.
class Order {
 public:
  /// As stored, every epoch alike.
  static Order sequential() { return {}; }
  /// A permutation of its own for every epoch, which depends on (seed, epoch) alone.
  static Order shuffled(std::uint64_t seed) {
    Order order;
    order.seed_ = seed;
    return order;
  }

  /// As many examples of each class that has any, give or take one: those of a rare class come several times,
  /// equally often, of those of a frequent one some stay out, and come in the next epochs. Shuffled; depends on (seed, epoch) alone.
  static Order balanced(std::uint64_t seed, std::vector<std::int32_t> labels);

  /// The indices of an epoch (from 0), `size` of them: every one of [0, size) once, if the order is not
  /// balanced (then there must be `size` labels). Equal on all machines.
  /// Source of the shuffle: Durstenfeld, "Algorithm 235: random permutation", 1964.
  std::vector<std::int64_t> indices(std::int64_t size, std::int64_t epoch) const;

 private:
  Order() = default;

  std::optional<std::uint64_t> seed_;  // none: sequential
  std::vector<std::int32_t> labels_;   // empty: not balanced
};

struct LoaderOptions {
  std::int64_t batch_size = 256;           // the last batch of an epoch may be shorter
  int prefetch = 0;                        // batches made ahead; 0: ahead() says how many
  int threads = 1;                         // that make them, each with a batch in hand
  ImageLayout layout = ImageLayout::nchw;  // of a batch; for the native engine nhwc is one copy less
  bool drop_last = false;                  // leave out the last batch of an epoch where it is shorter
  Augmentation augment = {};               // of the examples
  std::uint64_t seed = 0;                  // of what it draws

  /// Batches that are made ahead: `prefetch`, or else three, or as many as there are threads.
  int ahead() const noexcept;
};

/// Makes the batches of one epoch at a time, a few ahead of the reader, in threads of its own. What
/// it delivers depends on data set, order, epoch, batch size, augmentation and seed alone, not on threads;
/// what is drawn for an example not even on the order, but on how often the epoch had it before.
/// Memory: ahead() + 1 batches, and the short one at the end; from the second epoch on, nothing is
/// allocated for a batch. One thread reads it. A child of fork() has none of the loader's threads: there it
/// throws Error, and a new one is to be made.
class Loader {
 public:
  /// Throws ConfigError for an option that is out of range or as check(), IoError if the threads cannot be started.
  Loader(Dataset dataset, LoaderOptions options = {});
  ~Loader();
  Loader(Loader&&) noexcept;
  Loader& operator=(Loader&&) noexcept;

  std::int64_t batches() const noexcept;  ///< of an epoch of the whole data set

  /// Begins epoch `epoch` (from 0) of the whole data set with its batch `first_batch` (from 0), which is made
  /// as if those before it had been read; batches of an unfinished epoch are dropped.
  void start(const Order& order = Order::sequential(), std::int64_t epoch = 0, std::int64_t first_batch = 0);
  /// The same for these examples alone, in this order; an index may be there more than once. Throws
  /// ConfigError for an index that is not in the data set.
  void start(std::vector<std::int64_t> indices, std::int64_t epoch = 0);
  /// The next batch, or null at the end of the epoch. It stays valid until the next call.
  /// Rethrows what went wrong in a loader's thread, in the place of the batch that it went wrong with.
  const Batch* next();

 private:
  struct Impl;
  struct End {
    void operator()(Impl* impl) const noexcept;
  };
  std::unique_ptr<Impl, End> impl_;
};

}  // namespace resnet::data
