#include "opencloc/cli/label_flags.h"

#include <algorithm>
#include <cstdlib>

#include "opencloc/base/error.h"
#include "opencloc/base/files.h"
#include "opencloc/base/text_file.h"
#include "opencloc/label/detector.h"
#include "opencloc/label/phrase_stage.h"
#include "opencloc/model/device.h"

namespace opencloc::cli {
namespace {

constexpr const char* kPrompt =
    "Describe this picture in detail: every object, its color, material and number, and where it "
    "is. Write plain sentences and name nothing that is not visible.";

// Usual scores: OWLv2's sigmoid as in the paper; the cosine of a trained CLOC.
constexpr double kOwlv2Threshold = 0.1, kClocThreshold = 0.3;

void add_caption_flags(CLI::App& app, LabelFlags& flags) {
  app.add_option("--text-from", flags.text_from,
                 "Shares of the texts phrases come from: caption:0.8,captions:0.1,alt_text:0.1")
      ->capture_default_str();
  app.add_option("--captioner", flags.captioner_place,
                 "OpenAI-compatible endpoint that sees pictures, http://host:port/v1, or a model "
                 "directory of `train --objective coca`, which needs no server")
      ->type_name("URL|DIR");
  app.add_option("--captioner-max-tokens", flags.captioner_max_tokens,
                 "Of an answer; 0 = 400, or what a model directory's texts have room for")
      ->check(CLI::Range(0, 65536))
      ->capture_default_str();
  app.add_option("--captioner-beams", flags.captioner_beams,
                 "Of a model directory: texts followed at a time, 1 = greedy")
      ->check(CLI::Range(1, 64))
      ->capture_default_str();
  app.add_option("--captioner-model", flags.captioner.model, "Name of its model")
      ->type_name("NAME");
  app.add_option("--prompt-file", flags.prompt_file,
                 "What it is asked; {alt_text} stands for the alt-text")
      ->type_name("FILE");
  app.add_option("--captioner-cache", flags.caption.cache,
                 "Folder for its answers; default OUT/captions")
      ->type_name("DIR");
  app.add_option("--captioner-key-variable", flags.key_variable,
                 "Environment variable that holds its API key")
      ->type_name("NAME");
  app.add_option("--captioner-concurrency", flags.caption.concurrency, "Requests at a time")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  app.add_option("--captioner-attempts", flags.caption.attempts, "Requests a picture at most")
      ->check(CLI::Range(1, 100))
      ->capture_default_str();
  app.add_option("--captioner-timeout", flags.captioner.http.seconds, "Seconds a request")
      ->check(CLI::Range(0.01, 3600.0))
      ->capture_default_str();
  app.add_option("--captioner-back-off", flags.caption.back_off,
                 "Seconds before the first retry, doubled each time")
      ->check(CLI::Range(0.0, 60.0))
      ->capture_default_str();
}

void add_detector_flags(CLI::App& app, LabelFlags& flags) {
  app.add_option("--detector", flags.detector, "Model directory of the detector")->type_name("DIR");
  app.add_option("--detector-kind", flags.detector_kind,
                 "owlv2 (transformers' layout), cloc (a model of ours, by its BoxHead and cycle "
                 "score), none")
      ->check(CLI::IsMember({"owlv2", "cloc", "none"}))
      ->capture_default_str();
  app.add_option("--boxes", flags.boxes,
                 "Boxes or masks of any other detector, in place of --detector: lines of JSON, or "
                 "COCO's results")
      ->type_name("FILE");
  app.add_option("--boxes-annotations", flags.boxes_annotations,
                 "COCO file with the names of the categories and pictures that COCO's results give "
                 "by number")
      ->type_name("FILE");
  app.add_option("--labeller", flags.labeller,
                 "Who made --boxes, where they do not say it ('source'); default: the file's name")
      ->type_name("NAME");
  app.add_option("--tokenizer", flags.tokenizer, "For detectors that come without")
      ->type_name("PATH");
  app.add_option("--resolution", flags.resolution,
                 "Pixels a side of OWLv2's canvas; 0 = as it was trained")
      ->check(CLI::Range(0, 16384))
      ->capture_default_str();
  app.add_option("--precision", flags.precision, "of matrix products")
      ->check(CLI::IsMember({"fp32", "bf16"}))
      ->capture_default_str();
  app.add_option("--threshold", flags.threshold,
                 "Least score of a region; default 0.1 (owlv2), 0.3 (cloc: a cosine), 0 (--boxes)");
  app.add_option("--nms", flags.nms_iou, "Boxes that overlap more (IoU) are one")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
  app.add_option("--max-regions", flags.select.select.most, "A picture")
      ->check(CLI::Range(1, 1'000'000))
      ->capture_default_str();
  app.add_option("--smallest-region", flags.smallest, "Share of the picture")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
  app.add_flag("--keep-candidates", flags.select.keep_candidates,
               "Leave the boxes before the selection in the records, to select again");
}

void add_run_flags(CLI::App& app, LabelFlags& flags) {
  app.add_option("--stages", flags.stages, "Which to run; the others' output is taken as it is")
      ->delimiter(',')
      ->check(CLI::IsMember({"caption", "phrases", "detect", "select", "mentions", "link"}))
      ->capture_default_str();
  app.add_option("--shard-index", flags.shard_index,
                 "This process's number, 0 to count - 1; default from Slurm, MPI or torchrun");
  app.add_option("--shard-count", flags.shard_count, "Processes that share the shards");
  app.add_option("--batch-size", flags.run.batch_size, "Pictures at a time")
      ->check(CLI::Range(1, 65536))
      ->capture_default_str();
  app.add_flag("--overwrite", flags.run.overwrite, "Make finished shards again");
  app.add_flag("--skip-bad-shards", flags.run.reader.skip_bad_shards,
               "Count shards that cannot be read instead of stopping");
  add_cache_flags(app);
}

std::shared_ptr<EmbeddedCaptioner> make_embedded_captioner(const LabelFlags& flags) {
  if (!flags.captioner.model.empty() || !flags.prompt_file.empty() || !flags.key_variable.empty()) {
    throw Error::input("a captioner in a model directory takes no model name, prompt or key",
                       "--captioner " + flags.captioner_place,
                       "leave out --captioner-model, --prompt-file and --captioner-key-variable");
  }
  return embedded_captioner(flags.captioner_place,
                            {.device = parse_device(flags.common.device).str(),
                             .precision = parse_precision(flags.precision),
                             .backend = parse_backend(flags.common.backend),
                             .max_tokens = flags.captioner_max_tokens,
                             .beams = flags.captioner_beams});
}

}  // namespace

std::unique_ptr<Stage> make_caption_stage(const LabelFlags& flags) {
  CaptionStageOptions options = flags.caption;
  options.shares = parse_text_shares(flags.text_from);
  options.seed = flags.common.seed;
  if (std::filesystem::is_directory(flags.captioner_place)) {
    options.embedded = make_embedded_captioner(flags);
  } else if (!flags.captioner_place.empty()) {
    HttpCaptionerOptions captioner = flags.captioner;
    captioner.url = flags.captioner_place;
    if (flags.captioner_max_tokens > 0)
      captioner.max_tokens = static_cast<int>(flags.captioner_max_tokens);
    // What is no URL either is refused below, as that.
    const bool url = captioner.url.find("://") != std::string::npos;
    if (url && captioner.model.empty())
      throw Error::input("no model is named", "--captioner", "pass --captioner-model NAME");
    captioner.prompt = flags.prompt_file.empty() ? kPrompt : read_text(flags.prompt_file, 1 << 20);
    require_utf8(captioner.prompt, flags.prompt_file);
    if (!flags.key_variable.empty()) {
      const char* key = std::getenv(flags.key_variable.c_str());
      if (key == nullptr)
        throw Error::input("$" + flags.key_variable + " is not set", "--captioner-key-variable",
                           "export it");
      captioner.http.bearer_token = key;
    }
    options.captioner = http_captioner(captioner);
    if (options.cache.empty()) options.cache = std::filesystem::path(flags.out) / "captions";
  }
  return caption_stage(options);
}

namespace {

std::unique_ptr<Stage> make_detect_stage(const LabelFlags& flags, double threshold) {
  if (flags.detector.empty()) {
    throw Error::input("no detector is named", "label",
                       "pass --detector DIR, or --detector-kind none for records with boxes");
  }
  const DetectorOptions options{.device = parse_device(flags.common.device),
                                .precision = parse_precision(flags.precision),
                                .backend = parse_backend(flags.common.backend),
                                .tokenizer = flags.tokenizer,
                                .resolution = flags.resolution};
  return detect_stage(flags.detector_kind == "cloc" ? cloc_detector(flags.detector, options)
                                                    : owlv2_detector(flags.detector, options),
                      static_cast<float>(threshold));
}

}  // namespace

void add_label_flags(CLI::App& app, LabelFlags& flags) {
  app.add_option("--data", flags.data, "Shards: GLOB[::GLOB...], {000..123}, or a folder")
      ->type_name("GLOB");
  app.add_option("--out", flags.out, "Folder for the labelled shards (a file with --tensors)")
      ->type_name("PATH");
  app.add_option("--texts", flags.texts, "Phrases alone: a file with one text a line")
      ->type_name("FILE");
  app.add_option("--tensors", flags.tensors,
                 "The detector alone, on ready pixel_values and input_ids")
      ->type_name("FILE");
  add_run_flags(app, flags);
  add_caption_flags(app, flags);
  app.add_option("--phrases", flags.phrases,
                 "noun: noun phrases; ngrams: all n-grams of the text (the paper's rival)")
      ->check(CLI::IsMember({"noun", "ngrams"}))
      ->capture_default_str();
  app.add_option("--max-phrases", flags.noun.most, "A text")
      ->check(CLI::Range(1, 1'000'000))
      ->capture_default_str();
  app.add_option("--max-ngrams", flags.ngrams.most, "A text, the shortest first")
      ->check(CLI::Range(1, 1'000'000))
      ->capture_default_str();
  app.add_option("--ngram-words", flags.ngrams.longest, "Words of the longest n-gram")
      ->check(CLI::Range(1, 1'000'000))
      ->capture_default_str();
  add_detector_flags(app, flags);
  add_entity_flags(app, flags);
  app.add_flag("--json", flags.json, "Results as JSON");
  add_common_flags(app, flags.common);
}

std::shared_ptr<const PhraseExtractor> make_extractor(const LabelFlags& flags) {
  if (flags.phrases == "ngrams") return alt_text_ngrams(flags.ngrams);
  return noun_phrases(flags.noun);
}

std::shared_ptr<GivenBoxes> read_given_boxes(const LabelFlags& flags, SkipCounter& skips) {
  if (flags.boxes.empty()) {
    if (!flags.boxes_annotations.empty() || !flags.labeller.empty()) {
      throw Error::input("no boxes are named",
                         flags.labeller.empty() ? "--boxes-annotations" : "--labeller",
                         "pass --boxes FILE");
    }
    return nullptr;
  }
  if (!flags.detector.empty()) {
    throw Error::input("both a detector and boxes of another one are named", "label",
                       "pass --detector or --boxes");
  }
  return std::make_shared<GivenBoxes>(
      GivenBoxesOptions{
          {flags.boxes.begin(), flags.boxes.end()}, flags.boxes_annotations, flags.labeller},
      skips);
}

double usual_threshold(const std::string& detector_kind) {
  return detector_kind == "cloc" ? kClocThreshold : kOwlv2Threshold;
}

bool wants_stage(const LabelFlags& flags, const char* stage) {
  return std::ranges::find(flags.stages, stage) != flags.stages.end();
}

std::vector<std::unique_ptr<Stage>> make_stages(const LabelFlags& flags,
                                                const std::shared_ptr<GivenBoxes>& boxes,
                                                SkipCounter& skips) {
  const bool detects = flags.detector_kind != "none" || boxes;
  const auto wanted = [&](const char* name) { return wants_stage(flags, name); };
  // Other detectors' scores are on scales of their own: what they wrote down is taken.
  const double usual = boxes ? 0 : usual_threshold(flags.detector_kind);
  const double threshold = flags.threshold < 0 ? usual : flags.threshold;
  std::vector<std::unique_ptr<Stage>> stages;
  if (wanted("caption")) stages.push_back(make_caption_stage(flags));
  // Given boxes need no phrases: only who names the stage gets them as well.
  if (wanted("phrases") && (!boxes || flags.stages_named))
    stages.push_back(phrase_stage(make_extractor(flags), thread_count(flags.common)));
  if (wanted("detect") && boxes) {
    stages.push_back(given_boxes_stage(boxes, static_cast<float>(threshold), skips));
  } else if (wanted("detect") && detects) {
    stages.push_back(make_detect_stage(flags, threshold));
  }
  if (wanted("select") && detects) {
    SelectStageOptions options = flags.select;
    options.source = flags.detector_kind;
    if (boxes) {
      options.source = boxes->sources().empty() ? flags.labeller : boxes->sources().front();
      options.other_sources = boxes->sources();
    }
    options.select.threshold = static_cast<float>(threshold);
    options.select.nms_iou = static_cast<float>(flags.nms_iou);
    options.select.smallest = static_cast<float>(flags.smallest);
    stages.push_back(select_stage(options));
  }
  return stages;
}

}  // namespace opencloc::cli
