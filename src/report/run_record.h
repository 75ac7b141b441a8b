// The records of a run's folder: result.json, metrics.csv, and what plots need of config.toml.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "base/files.h"

namespace resnet {
struct CurvePoint;
struct Diagnosis;
struct FitResult;
struct Series;
}  // namespace resnet

namespace resnet::report {

// Files of a run's folder.
inline constexpr const char* kConfigFile = "config.toml";
inline constexpr const char* kMetricsFile = "metrics.csv";
inline constexpr const char* kCurvesFile = "curves.svg";
inline constexpr const char* kResultFile = "result.json";
inline constexpr const char* kDiagnosisFile = "diagnosis.json";
inline constexpr const char* kModelFile = "model.safetensors";
inline constexpr const char* kSummaryFile = "summary.json";  // of the folder around those of seeds
inline constexpr const char* kCheckpoints = "checkpoints";   // a folder

/// The files of a run's folder, or of one around several, that nothing makes again; some may not be there.
std::vector<std::filesystem::path> files_of(const std::filesystem::path& run);
/// Throws IoError where a pipe or a device has the name of a file that is read of a run's folder: nobody waits
/// for one.
void check_files(const std::filesystem::path& run);

/// What to give in the place of `path`, where a person gave that for the folder of a run or its file
/// `wanted`: a hint for the usual mistakes (a folder of runs, another file of a run, a run without this file,
/// a / behind a file), `otherwise` for others.
std::string hint_for_run(const std::filesystem::path& path, const char* wanted, const std::string& otherwise);
/// Whether `path` is called as a run's files are, but not as the `wanted` one.
bool is_other_file_of_run(const std::filesystem::path& path, const char* wanted);

/// One JSON object, a line: loss, train_acc, test_acc, examples_per_second, device, device_name, cpu_model,
/// seed, epochs, steps, step_plan, skipped_steps, rollbacks, seconds, best_epoch, optimizer, threads,
/// threads_from, isa, weights_sha256, complete, version, libraries, plan_sha256, with a validation set
/// val_acc, and of a folder of pictures bad_files, duplicates, overlaps. A number that is not finite is null.
std::string to_json(const FitResult& result);
/// One JSON object, a line: what (a sentence), step, epoch, batch, first and left_in_state (place, name,
/// operation and kind of a number that is not finite, or null), lr, loss, loss_before, skipped_steps,
/// rollbacks, outcome, examples, version.
std::string to_json(const Diagnosis& diagnosis);
/// Writes it, atomically and durably. Throws IoError.
void write_result(const std::filesystem::path& path, const FitResult& result,
                  const KnownFolder* folder = nullptr);
/// What a result.json says; a key that is not there, as earlier versions wrote it, keeps its first value.
/// Throws IoError, or FormatError for what is no result.
FitResult read_result(const std::filesystem::path& path);

/// Header line of metrics.csv, and a point as a line of it; the last column, test_acc or with a validation
/// set val_acc, is empty where it was not measured. Numbers are the shortest that read back as the same
/// double.
std::string metrics_header(bool validated = false);
std::string metrics_line(const CurvePoint& point);

/// The points of a metrics.csv, and whether they are of a validation set. A last line without its end, as a
/// run that died leaves it, is left out; lines may end as on Windows. Throws IoError, or FormatError with
/// file, line and what is wrong, also for more than 262,144 points.
Series read_metrics(const std::filesystem::path& path);

/// What a run's config.toml says of its curves: model, data set and number of epochs (0, unknown, where a
/// number of steps ends it). Throws IoError, or FormatError for what is not TOML.
void read_config(const std::filesystem::path& path, Series& series);

}  // namespace resnet::report
