#include "opencloc/train/preflight.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <map>
#include <utility>

#include <spdlog/fmt/fmt.h>

#include "opencloc/base/error.h"
#include "opencloc/base/progress.h"
#include "opencloc/base/random_streams.h"
#include "opencloc/base/rng.h"
#include "opencloc/train/memory_estimate.h"

namespace opencloc {
namespace {

using Verdict = PreflightLine::Verdict;

constexpr uint64_t kLooked = 256;  // samples read

// What the samples that were looked at hold.
struct Findings {
  int64_t looked = 0;
  int64_t broken = 0;
  int64_t regions = 0;
  int64_t with_regions = 0;
  int64_t labelled = 0;                     // with an entity that is a class
  std::map<std::string, int64_t> reasons;   // of broken ones
  std::map<std::string, int64_t> captions;  // how often each
  int64_t without_text = 0;
  TruncationCounter truncation, captions_read, regions_read;

  int64_t good() const { return looked - broken; }
};

void look_at(const Record& record, const SampleOptions& options, const Tokenizer& tokenizer,
             Rng& rng, Findings& found) {
  const int64_t context = options.context_length;
  Image::decode(record.image, record.key);
  const std::string text = example_text(record, options, rng);
  size_t classes = 0;
  if (options.entities && options.entities->classes() > 0) {
    const auto entities = options.entities->of(record, record.key);
    classes = entities.known.size();
    found.labelled += classes > 0 ? 1 : 0;
  }
  require_learnable(record, {text, classes}, options, record.key);
  if (text.empty()) {
    ++found.without_text;
  } else {
    ++found.captions[text];
    const auto tokens = tokenize(tokenizer, text, context);
    found.truncation.add(tokens);
    found.captions_read.add(tokens);
  }
  for (const auto& region : record.regions) {
    const auto tokens = tokenize(tokenizer, region.text, context);
    found.truncation.add(tokens);
    found.regions_read.add(tokens);
  }
  found.regions += static_cast<int64_t>(record.regions.size());
  found.with_regions += record.regions.empty() ? 0 : 1;
}

void look(const SampleStore& store, const TrainConfig& config, const Tokenizer& tokenizer,
          Findings& found) {
  Rng rng(config.seed, {random_stream::kPreflight});
  Rng texts(config.seed, {random_stream::kPreflight, 1});
  std::vector<std::pair<int, uint64_t>> places;
  if (store.total() <= kLooked) {
    for (int source = 0; source < store.sources(); ++source) {
      for (uint64_t i = 0; i < store.size(source); ++i) places.emplace_back(source, i);
    }
  } else {
    for (uint64_t i = 0; i < kLooked; ++i) {
      const auto source = static_cast<int>(i) % store.sources();
      places.emplace_back(source, rng.below(store.size(source)));
    }
  }
  for (const auto& [source, index] : places) {
    ++found.looked;
    try {
      look_at(store.read(source, index), config.sample, tokenizer, texts, found);
    } catch (const BadSample& bad) {
      ++found.broken;
      ++found.reasons[bad.reason()];
    } catch (const Error&) {
      ++found.broken;
      ++found.reasons[std::string(skip::kBadImage)];
    }
  }
}

// 0 when unknown.
double available_memory() {
  std::ifstream info("/proc/meminfo");
  std::string key, unit;
  double kib = 0;
  while (info >> key >> kib >> unit) {
    if (key == "MemAvailable:") return kib * 1024;
  }
  return 0;
}

std::string bytes_text(double bytes) {
  return bytes >= 1e9 ? fmt::format("{:.1f} GB", bytes / 1e9)
                      : fmt::format("{:.0f} MB", bytes / 1e6);
}
std::string percent(double share) { return fmt::format("{:.1f}%", 100 * share); }
double ratio(int64_t part, int64_t whole) {
  return whole > 0 ? static_cast<double>(part) / static_cast<double>(whole) : 0;
}

std::string reasons_text(const std::map<std::string, int64_t>& reasons) {
  std::string text;
  for (const auto& [reason, count] : reasons) {
    text += fmt::format("{}{} {}", text.empty() ? "" : ", ", count, reason);
  }
  return text;
}

// How many others of its batch share a caption, on average: they are negatives of it all the same,
// and L_CLIP cannot fall below the log of one more than that. The share of equal pairs among those
// looked at is that of all pairs, however many texts the data has; how often texts repeat is not.
double equal_in_batch(const TrainConfig& config, const Findings& found) {
  const int64_t texts = found.good() - found.without_text;
  int64_t equal = 0;
  for (const auto& [text, count] : found.captions) equal += count * (count - 1);
  return static_cast<double>(config.batch_size - 1) * ratio(equal, texts * (texts - 1));
}

PreflightLine equal_captions(const TrainConfig& config, const Findings& found) {
  const double others = equal_in_batch(config, found);
  if (config.objective_options.mask_equal_texts) {
    return {"equal captions",
            fmt::format("{:.2f} others of a batch have a sample's caption: no negatives of it",
                        others)};
  }
  const bool many = others > 0.2;
  return {"equal captions",
          fmt::format("{:.2f} others of a batch have a sample's caption{}", others,
                      many ? fmt::format(": they count as negatives of each other in L_CLIP, which "
                                         "stays above about {:.2f}",
                                         std::log(1 + others))
                           : ""),
          many ? Verdict::kWarning : Verdict::kFine};
}

void judge_data(const TrainConfig& config, const SampleStore& store, const Findings& found,
                std::vector<PreflightLine>& lines) {
  const auto total = static_cast<double>(store.total());
  const double epochs = static_cast<double>(config.steps * config.batch_size) / total;
  lines.push_back({"data", fmt::format("{} samples in {} source(s), {}; {:.2f} epochs",
                                       store.total(), store.sources(),
                                       bytes_text(static_cast<double>(store.bytes())), epochs)});
  const double broken = ratio(found.broken, found.looked);
  lines.push_back({"readable",
                   fmt::format("{} of {} looked at{}", found.good(), found.looked,
                               found.broken > 0 ? " (" + reasons_text(found.reasons) + ")" : ""),
                   broken > 0.05 ? Verdict::kWarning : Verdict::kFine});
  if (config.objective_options.clip) {
    lines.push_back(equal_captions(config, found));
    const bool none = found.without_text == found.good();
    lines.push_back(
        {"image texts",
         fmt::format("{} of {} pictures have one{}", found.good() - found.without_text,
                     found.good(),
                     found.without_text == 0    ? ""
                     : config.learns_entities() ? "; the others train without one"
                                                : "; the others train by their regions alone"),
         none ? Verdict::kWarning : Verdict::kFine});
  }
  const double cut = ratio(found.truncation.texts_cut(), found.truncation.texts());
  lines.push_back({"texts",
                   found.truncation.summary() +
                       (cut > 0.1 ? "; a larger setting 'context_length' keeps more" : ""),
                   cut > 0.1 ? Verdict::kWarning : Verdict::kFine});
  if (config.objective->regions) {
    const double per_image = ratio(found.regions, found.good());
    lines.push_back({"regions",
                     fmt::format("{:.1f} an image, {} of images have any", per_image,
                                 percent(ratio(found.with_regions, found.good()))),
                     found.regions == 0 ? Verdict::kWarning : Verdict::kFine});
  }
}

// Error (input) where no class is to be found.
void judge_entities(const TrainConfig& config, const Findings& found,
                    std::vector<PreflightLine>& lines) {
  if (!config.learns_entities()) return;
  const int64_t classes = config.sample.entities->classes();
  if (found.labelled == 0) {
    throw Error::input(
        fmt::format("no picture of {} looked at has an entity that is a class", found.looked),
        "setting 'entity_classes'",
        "label the data with the verb 'label', and make the table from it with 'data classes'");
  }
  const double share = ratio(found.labelled, found.looked);
  const auto negatives = std::min(classes, config.entities.negatives);
  lines.push_back(
      {"entities",
       fmt::format("{} classes; {} of the pictures have one; {} per step as negatives", classes,
                   percent(share), negatives == classes ? "all" : std::to_string(negatives)),
       share < 0.1 ? Verdict::kWarning : Verdict::kFine});
}

void judge_recipe(const TrainConfig& config, std::vector<PreflightLine>& lines, uint64_t samples) {
  const bool large = static_cast<uint64_t>(config.batch_size) > samples;
  lines.push_back({"batch",
                   fmt::format("{}{}", config.batch_size,
                               large ? ": larger than the data, samples meet themselves as "
                                       "negatives"
                                     : ""),
                   large ? Verdict::kWarning : Verdict::kFine});
  // CLIP-style recipes lie between 1e-4 (large models) and 2e-3 (small ones, large batches).
  const bool high = config.lr > 3e-3, low = config.lr < 1e-6;
  const bool short_warmup = config.warmup < 10 && config.steps > 100;
  lines.push_back(
      {"learning rate",
       fmt::format("{:g}, warm-up {} of {} steps{}{}", config.lr, config.warmup, config.steps,
                   high  ? ": high, likely to diverge"
                   : low ? ": very low"
                         : "",
                   short_warmup ? "; a longer warm-up is safer" : ""),
       high || low || short_warmup ? Verdict::kWarning : Verdict::kFine});
}

// A teacher that keeps most of what it began with says nothing that training has found.
bool is_slow(double kept) { return kept > 0.5; }
std::string slowness(double kept, int64_t steps, const char* setting) {
  if (!is_slow(kept)) return "";
  return fmt::format(
      ": in {} steps it keeps {} of its first weights; a lower setting '{}' learns faster", steps,
      percent(kept), setting);
}

PreflightLine self_distillation(const TrainConfig& config, const ModelConfig& model) {
  const DistillationOptions& options = config.distillation;
  double kept = 1;
  for (int64_t step = 0; step < config.steps && kept > 1e-3; ++step)
    kept *= options.momentum_after(step);
  return {"self-distillation",
          fmt::format("{} prototypes, a teacher of {} layers with momentum {:g} to {:g}{}",
                      options.head.prototypes, model.vision.layers, options.momentum,
                      options.momentum_end, slowness(kept, config.steps, "distill_momentum")),
          is_slow(kept) ? Verdict::kWarning : Verdict::kFine};
}

PreflightLine crop_distillation(const TrainConfig& config, const ModelConfig& model) {
  const CropDistillationOptions& options = config.crop_distillation;
  const bool frozen = options.momentum == 1;
  const double kept = frozen ? 0 : std::pow(options.momentum, static_cast<double>(config.steps));
  return {"crop distillation",
          fmt::format("{} boxes per picture, crops of {} px, {}{}", options.boxes,
                      options.size_for(model),
                      frozen ? std::string("a frozen teacher")
                             : fmt::format("a teacher with momentum {:g}", options.momentum),
                      slowness(kept, config.steps, "crop_distill_momentum")),
          is_slow(kept) ? Verdict::kWarning : Verdict::kFine};
}

SampleShape shape_of(const TrainConfig& config, const Findings& found) {
  SampleShape shape;
  shape.caption_tokens = ratio(found.captions_read.tokens(), found.captions_read.texts());
  shape.region_tokens = ratio(found.regions_read.tokens(), found.regions_read.texts());
  shape.regions = std::min(ratio(found.regions, found.good()),
                           static_cast<double>(config.sample.regions_per_image));
  return shape;
}

}  // namespace

std::string Preflight::table() const {
  std::string text;
  for (const auto& line : lines) {
    text += fmt::format("  {:<16} {:<4} {}\n", line.subject,
                        line.verdict == Verdict::kWarning ? "warn" : "ok", line.finding);
  }
  return text;
}

Preflight preflight(const TrainConfig& config, const ModelConfig& model, int64_t weights,
                    int64_t trained, const SampleStore& store, const Tokenizer& tokenizer) {
  Findings found;
  Preflight result;
  look(store, config, tokenizer, found);
  if (found.good() == 0) judge_entities(config, found, result.lines);  // the reason may be there
  if (found.good() == 0) {
    throw Error::input(fmt::format("none of {} samples looked at can be used ({})", found.looked,
                                   reasons_text(found.reasons)),
                       config.data, "check the data (data stats)");
  }
  judge_data(config, store, found, result.lines);
  judge_entities(config, found, result.lines);
  judge_recipe(config, result.lines, store.total());
  if (config.image_size_schedule) {
    const ImageSizeSchedule& schedule = *config.image_size_schedule;
    result.lines.push_back(
        {"image sizes",
         fmt::format("{} px in {} of {} steps, then {} px", schedule.size,
                     schedule.early_steps(config.steps), config.steps, model.vision.image_size)});
  }
  if (config.distillation.on()) result.lines.push_back(self_distillation(config, model));
  if (config.crop_distillation.on()) result.lines.push_back(crop_distillation(config, model));
  result.lines.push_back({"model", format_count(static_cast<double>(trained)) + " parameters"});
  const double needed = estimate_memory(config, model, weights, trained, shape_of(config, found)),
               free = available_memory();
  const bool tight = config.device == "cpu" && free > 0 && needed > 0.8 * free;
  result.lines.push_back({"memory",
                          fmt::format("about {} of {} free{}", bytes_text(needed), bytes_text(free),
                                      tight ? ": give a larger setting 'accum_freq'" : ""),
                          tight ? Verdict::kWarning : Verdict::kFine});
  return result;
}

}  // namespace opencloc
