#include "opencloc/label/pipeline.h"

#include <algorithm>
#include <chrono>
#include <set>
#include <utility>

#include "opencloc/base/error.h"
#include "opencloc/base/files.h"
#include "opencloc/base/log.h"
#include "opencloc/base/parallel_for.h"
#include "opencloc/base/progress.h"
#include "opencloc/base/publish.h"
#include "opencloc/base/temporary.h"
#include "opencloc/data/remote/remote_names.h"
#include "opencloc/data/shard/shard_writer.h"
#include "opencloc/label/mentions.h"

namespace opencloc {
namespace {

namespace fs = std::filesystem;
using Stages = std::vector<std::unique_ptr<Stage>>;
using Clock = std::chrono::steady_clock;

double since(Clock::time_point began) {
  return std::chrono::duration<double>(Clock::now() - began).count();
}

// Adds the time it lives to a stage's.
class Timed {
 public:
  explicit Timed(double& seconds) : seconds_(seconds), began_(Clock::now()) {}
  ~Timed() { seconds_ += since(began_); }
  Timed(const Timed&) = delete;
  Timed& operator=(const Timed&) = delete;

 private:
  double& seconds_;
  const Clock::time_point began_;
};

Json settings_of(const Stages& stages) {
  Json settings = Json::object();
  for (const auto& stage : stages) settings[stage->name()] = stage->config();
  return settings;
}

// From here to its new report the shard counts as not finished, whatever happens.
void remove_report(const fs::path& report) {
  std::error_code error;
  if (fs::remove(report, error)) return fsync_path(report.parent_path());
  if (error)
    throw Error::failed("cannot remove (" + error.message() + ")", report.string(), "check rights");
}

class Worker {
 public:
  Worker(const LabelOptions& options, Stages& stages)
      : options_(options), stages_(stages), settings_(settings_of(stages)) {
    needs_images_ = std::any_of(stages.begin(), stages.end(),
                                [](const auto& stage) { return stage->needs_images(); });
  }

  // The shard is there, made with these settings.
  bool is_finished(const fs::path& out) const {
    if (options_.overwrite || !fs::exists(out) || !fs::exists(label_report_path(out))) return false;
    const Json report = read_json(label_report_path(out));
    const auto found = report.find("settings");
    if (found != report.end() && *found == settings_) return true;
    throw Error::input(
        "the shard was made with other settings", out.string(),
        "name another folder for the setting 'out', or pass the setting 'overwrite'");
  }

  void make(const std::string& in, const fs::path& out, ProgressBar& bar) {
    const auto began = Clock::now();
    for (const auto& name : {out.filename(), label_report_path(out).filename()})
      remove_abandoned(options_.out, name.string());
    seconds_.clear();
    SkipCounter skips;
    ShardOptions reader_options = options_.reader;
    reader_options.keep_other_members = true;
    ShardReader reader(in, skips, reader_options);
    ShardWriter writer(out);
    int64_t images = 0, regions = 0;
    for (auto batch = read(reader, skips); !batch.empty(); batch = read(reader, skips)) {
      const auto read_samples = static_cast<int64_t>(batch.size());
      decode(batch, skips);
      for (const auto& stage : stages_) {
        const Timed timed(seconds_[stage->name()]);
        if (!batch.empty()) stage->run(batch);
      }
      const Timed timed(seconds_["write"]);
      for (const auto& sample : batch) {
        regions += static_cast<int64_t>(sample.record.regions.size());
        writer.write(sample.record);
      }
      images += static_cast<int64_t>(batch.size());
      bar.advance(read_samples);
      if (images > 0)
        bar.set_note(fmt::format("{:.1f} regions/image, {}",
                                 static_cast<double>(regions) / static_cast<double>(images),
                                 shares()));
    }
    for (const auto& stage : stages_) stage->check_shard(in);
    // A report says that the shard beside it was made with these settings: the old one goes before
    // the shard comes, the new one comes after it. What can fail for want of space is done before.
    writer.finish();
    const double seconds = since(began);
    remove_report(label_report_path(out));
    writer.commit();
    write_file(label_report_path(out),
               dump_json(report(in, images, regions, skips, seconds), 2) + '\n');
    log::info("{}: {} images, {:.1f} regions an image, {:.1f} images/s ({})",
              out.filename().string(), images,
              images > 0 ? static_cast<double>(regions) / static_cast<double>(images) : 0.0,
              static_cast<double>(images) / std::max(seconds, 1e-9), shares());
    summary.images += images;
    summary.regions += regions;
    ++summary.shards;
    for (const auto& [stage, time] : seconds_) summary.stage_seconds[stage] += time;
  }

  LabelSummary summary;

 private:
  std::vector<LabelSample> read(ShardReader& reader, SkipCounter& skips) {
    const Timed timed(seconds_["read"]);
    std::vector<LabelSample> batch;
    LabelSample sample;
    while (static_cast<int64_t>(batch.size()) < options_.batch_size && reader.next(sample.record)) {
      sample.name = reader.name();
      try {  // what an earlier run left must be of its form
        stored_phrases(sample);
        stored_candidates(sample);
        stored_mentions(sample);
        batch.push_back(std::move(sample));
      } catch (const BadSample& bad) {
        skips.add(bad);
      }
      sample = {};
    }
    return batch;
  }

  // Leaves out the samples whose picture is broken.
  void decode(std::vector<LabelSample>& batch, SkipCounter& skips) {
    if (!needs_images_) return;
    const Timed timed(seconds_["decode"]);
    std::vector<std::string> problems(batch.size());
    parallel_for(static_cast<int64_t>(batch.size()), options_.threads, [&](int64_t i) {
      auto& sample = batch[static_cast<size_t>(i)];
      try {
        sample.image = Image::decode(sample.record.image, sample.name);
      } catch (const Error& error) {
        problems[static_cast<size_t>(i)] = error.what();
      }
    });
    size_t kept = 0;
    for (size_t i = 0; i < batch.size(); ++i) {
      if (!problems[i].empty()) {
        skips.add(skip::kBadImage, batch[i].name, problems[i]);
        continue;
      }
      if (kept != i) batch[kept] = std::move(batch[i]);
      ++kept;
    }
    batch.resize(kept);
  }

  // "detect 92 %, caption 5 %"
  std::string shares() const {
    double all = 0;
    std::vector<std::pair<double, std::string>> parts;
    for (const auto& [stage, time] : seconds_) {
      all += time;
      parts.emplace_back(time, stage);
    }
    std::sort(parts.rbegin(), parts.rend());
    std::string text;
    for (size_t i = 0; i < std::min<size_t>(2, parts.size()) && all > 0; ++i) {
      text += fmt::format("{}{} {:.0f} %", i == 0 ? "" : ", ", parts[i].second,
                          100 * parts[i].first / all);
    }
    return text;
  }

  Json report(const std::string& in, int64_t images, int64_t regions, const SkipCounter& skips,
              double seconds) {
    Json report;
    report["input"] = in;
    report["settings"] = settings_;
    report["images"] = images;
    report["regions"] = regions;
    report["skipped"] = skips.json();
    for (const auto& stage : stages_) report["stages"][stage->name()] = stage->take_report();
    report["seconds"] = seconds;
    report["stage_seconds"] = seconds_;
    return report;
  }

  const LabelOptions& options_;
  Stages& stages_;
  const Json settings_;
  bool needs_images_ = false;
  std::map<std::string, double> seconds_;  // of the shard at hand
};

// Where each input's shard goes.
std::vector<std::pair<std::string, fs::path>> plan(const LabelOptions& options) {
  std::set<std::string> names;
  std::vector<std::pair<std::string, fs::path>> all;
  for (const auto& in : options.shards) {
    const fs::path path(in);
    const std::string name = shard_file_name(in);
    if (!names.insert(name).second) {
      throw Error::input("two input shards are named " + name, in,
                         "label them into different folders");
    }
    fs::path folder = path.parent_path();
    if (folder.filename() == kPublishedSet) folder = folder.parent_path();
    std::error_code ignored;  // a folder that is not there yet is another one
    if (fs::equivalent(folder.empty() ? "." : folder, options.out, ignored))
      throw Error::input("the shards would be replaced", options.out.string(),
                         "name another folder for the setting 'out'");
    all.emplace_back(in, options.out / name);
  }
  std::vector<std::pair<std::string, fs::path>> mine;
  for (size_t i = 0; i < all.size(); ++i) {
    if (static_cast<int64_t>(i) % options.share.count == options.share.index)
      mine.push_back(std::move(all[i]));
  }
  return mine;
}

}  // namespace

Json LabelSummary::json() const {
  Json result;
  result["shards"] = shards;
  result["finished_before"] = finished;
  result["images"] = images;
  result["regions"] = regions;
  result["regions_per_image"] =
      images > 0 ? static_cast<double>(regions) / static_cast<double>(images) : 0.0;
  result["images_per_s"] = seconds > 0 ? static_cast<double>(images) / seconds : 0.0;
  result["seconds"] = seconds;
  result["stage_seconds"] = stage_seconds;
  return result;
}

LabelSummary label_shards(const LabelOptions& options, Stages& stages) {
  if (options.share.count < 1 || options.share.index < 0 ||
      options.share.index >= options.share.count) {
    throw Error::input("there is no process " + std::to_string(options.share.index) + " of " +
                           std::to_string(options.share.count),
                       "setting 'shard_index'", "use 0 <= index < count");
  }
  const auto began = Clock::now();
  Worker worker(options, stages);
  std::vector<std::pair<std::string, fs::path>> open;
  for (auto& [in, out] : plan(options)) {
    if (worker.is_finished(out)) {
      ++worker.summary.finished;
    } else {
      open.emplace_back(in, out);
    }
  }
  // Counting what is compressed would mean unpacking it, what is remote, fetching it.
  int64_t samples = 0;
  SkipCounter counted;
  const bool plain = std::all_of(open.begin(), open.end(), [](const auto& pair) {
    return pair.first.ends_with(".tar") && !is_remote(pair.first);
  });
  ShardOptions lenient = options.reader;
  lenient.skip_bad_shards = true;
  for (const auto& [in, out] : open) {
    if (plain) samples += count_samples(in, counted, lenient);
  }
  if (!open.empty()) fs::create_directories(options.out);
  ProgressBar bar("label", samples, "images");
  for (const auto& [in, out] : open) worker.make(in, out, bar);
  worker.summary.seconds = since(began);
  return worker.summary;
}

}  // namespace opencloc
