// A folder of pictures as a data set, one sub-folder a class: what is in it, and how it is split.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "resnet/data.h"

namespace resnet::data {

/// Which part of a folder a picture lies in: DIR/train/CLASS, DIR/val/CLASS, DIR/test/CLASS, or DIR/CLASS.
enum class Part : std::uint8_t { none, train, val, test };

/// What a folder of this name is: train or training; val, valid or validation; test or testing, in capitals or
/// not. It is that beside the others alone: scan_folder().
Part part_called(const std::string& name);

/// A picture that can be read.
struct Picture {
  std::filesystem::path path;  // below the folder
  std::int32_t label = 0;      // into FolderScan::classes
  Part part = Part::none;
  Dataset::Source::Facts facts;
};

/// A file or folder that cannot be read.
struct BadFile {
  std::filesystem::path path;  // below the folder
  std::string why;
};

/// What a folder holds. It depends on names and contents alone, not on the order in which the file system
/// lists them.
struct FolderScan {
  std::filesystem::path dir;
  std::vector<std::string> classes;  // in the order of their bytes
  std::vector<Picture> pictures;     // by path
  std::vector<BadFile> bad;          // by path
  std::vector<std::string> empty;    // folders in a class's place without a picture: they are no classes
  std::map<std::string, std::int64_t> others;  // files that are no pictures, by the ending of their name
  std::int64_t loose = 0;                      // pictures beside the classes' folders, which have no class
  std::int64_t links = 0;                      // to a folder around them: not followed
  bool has(Part part) const;
};

/// Decodes every picture of `dir`, in threads; what was seen before, and has the same name, size and time, is
/// known from a cache in $XDG_CACHE_HOME/resnet (or ~/.cache/resnet), which can be thrown away. Sub-folders
/// of a class belong to it. Names that begin with a dot, Thumbs.db, desktop.ini and __MACOSX are not looked
/// at; links are followed. A picture is what is called so (.jpg .jpeg .jpe .jfif .png .webp .bmp .dib .ppm
/// .pgm .pnm) or begins as JPEG, PNG or WebP do. Calls options.scanning. Throws IoError if `dir` is no folder
/// that can be read, FormatError for a class whose name no model file can hold, ShapeError for an
/// options.resize that no picture can have.
FolderScan scan_folder(const std::filesystem::path& dir, const DatasetOptions& options = {});

/// What a scan holds twice. Equal pictures are those with equal pixels, in whatever files.
struct Duplicates {
  std::int64_t pictures = 0;      // beyond the first of each
  std::int64_t in_classes = 0;    // different pictures that lie in more than one class
  std::int64_t overlaps = 0;      // files of the test set whose picture is in the training set
  std::int64_t val_overlaps = 0;  // files of the validation set whose picture is in one of the others
};
Duplicates duplicates_of(const FolderScan& scan);

/// Of each picture that several files hold the places of these in FolderScan::pictures, by the first of them.
std::vector<std::vector<std::size_t>> same_pictures(const FolderScan& scan);

/// For each picture of the scan whether it is kept from the training. With train/, and test/ or val/, as they
/// are. Else `val_split` of each class, to within one picture, chosen by seed and content: equal
/// pictures are on one side.
std::vector<Split> split_of(const FolderScan& scan, double val_split, std::uint64_t seed);

/// The folder as a data set, in RGB, every picture at one size: resized so that its shorter side is the one
/// number N, and NxN taken out of its middle, unless options.crop says another part; or resized to exactly
/// height x width; without a resize all pictures must have one size. Pictures are decoded as they are asked
/// for. Their order is that of their contents, so that the first of them are of all classes. Throws what
/// scan_folder() throws, FormatError where there are no pictures, those to be split are all of one class, a
/// class has none in train/, or files cannot be read and options.on_bad_file is `stop`, ShapeError for several
/// sizes without a resize, and ConfigError for what can be no split. Beside test/, val/ is the validation set; else it is the test set.
TrainTest folder(const std::filesystem::path& dir, const DatasetOptions& options = {});
/// The training or the test set, of options.dir.
Dataset folder(Split split, const DatasetOptions& options);

}  // namespace resnet::data
