// `opencloc label`: the data engine over shards, or its phrases or its detector alone.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <limits>

#include <torch/utils.h>

#include "opencloc/base/error.h"
#include "opencloc/base/files.h"
#include "opencloc/base/log.h"
#include "opencloc/base/text_file.h"
#include "opencloc/checkpoint/file/safetensors.h"
#include "opencloc/checkpoint/layout/owlv2_layout.h"
#include "opencloc/cli/label_flags.h"
#include "opencloc/cli/outputs.h"
#include "opencloc/data/load/ordered.h"
#include "opencloc/data/shard/find_shards.h"
#include "opencloc/model/device.h"

namespace opencloc::cli {
namespace {

constexpr const char* kLabelFooter =
    R"(Stages: caption -> phrases -> detect -> select, and caption -> mentions -> link. Each sample keeps
what every stage made of it ("phrases", "candidates" with --keep-candidates, "regions",
"entity_mentions", "entities") and how ("vesl"); one stage can run by itself on the output of an
earlier run. One shard in, one shard out, whole or not at all: run the same command again and it
goes on. Several processes share the work by --shard-index. mentions and link label pictures with
entities of a base ('opencloc data entities'): things that the text names and the picture shows.

Examples:
  opencloc label --data 'web/{0000..0999}.tar' --out labelled --detector owlv2-large-patch14 \
      --captioner http://127.0.0.1:8080/v1 --captioner-model qwen --precision bf16
  opencloc label --data web --out captioned --captioner runs/coca/model --detector-kind none
  opencloc label --data web --out by_cloc --detector-kind cloc --detector runs/demo/model
  opencloc label --data coco --out by_dino --boxes dino.jsonl --labeller grounding-dino-b
      # a line of dino.jsonl: {"image": "val2017/000000000139.jpg", "bbox_xyxy": [10, 20, 50, 90],
      #                        "text": "red bus", "score": 0.83}
  opencloc label --data coco --out by_sam --boxes sam3_results.json --threshold 0.5 \
      --boxes-annotations instances_val2017.json --labeller sam3
  opencloc label --texts captions.txt --json
  opencloc label --data web --out linked --stages mentions,link --entities wordnet \
      --clip runs/clip/model --mentions-from alt_text --min-image-score p95
  opencloc label --data linked --entities wordnet --against wnid
  opencloc label --detector owlv2-base-patch16 --tensors inputs.safetensors --out outputs.safetensors)";

// Phrases of each line of a file.
void label_texts(const LabelFlags& flags) {
  struct Line {
    std::vector<std::string> phrases;
    PhraseCounts counts;
  };
  const auto extractor = make_extractor(flags);
  const auto texts = read_text_lines(flags.texts);
  PhraseCounts counts;
  size_t at = 0;
  produce_in_order(
      static_cast<int64_t>(texts.size()), thread_count(flags.common),
      [&](int64_t i) {
        Line line;
        line.phrases = extractor->extract(texts[static_cast<size_t>(i)], line.counts);
        return line;
      },
      [&](Line&& line) {
        const std::string& text = texts[at++];
        counts.add(line.counts);
        if (flags.json) {
          const Json json = {{"text", text}, {"phrases", line.phrases}};
          std::printf("%s\n", dump_json(json).c_str());
          return;
        }
        std::printf("%s\n", text.c_str());
        for (const auto& phrase : line.phrases) std::printf("  %s\n", phrase.c_str());
      });
  log::info("{}", dump_json(counts.json()));
}

// [B, 3, S, S] and ids [Q, T] for all pictures or [B, Q, T]; a query whose first id is 0 is none.
void label_tensors(const LabelFlags& flags) {
  const SafetensorsFile file(flags.tensors);
  const auto pixels = file.tensor("pixel_values"), ids = file.tensor("input_ids");
  const bool fits = pixels.dim() == 4 && pixels.size(1) == 3 && pixels.size(2) == pixels.size(3) &&
                    pixels.scalar_type() == torch::kFloat && ids.scalar_type() == torch::kInt64 &&
                    (ids.dim() == 2 || (ids.dim() == 3 && ids.size(0) == pixels.size(0)));
  if (!fits) {
    throw Error::input("pixel_values are not [B, 3, S, S] F32, or input_ids not [Q, T] I64",
                       flags.tensors, "store them so");
  }
  auto loaded = load_owlv2(flags.detector, pixels.size(2));
  const auto& text = loaded.model->config().text;
  if (ids.size(-1) > text.context_length || ids.min().item<int64_t>() < 0 ||
      ids.max().item<int64_t>() >= text.vocab_size) {
    throw Error::input("input_ids are longer than the detector's context or not of its vocabulary",
                       flags.tensors, "tokenize for this detector");
  }
  const torch::NoGradGuard no_grad;
  const auto device = parse_device(flags.common.device);
  loaded.model->to(device);
  loaded.model->set_precision(parse_precision(flags.precision));
  loaded.model->set_backend(parse_backend(flags.common.backend));
  const auto features = loaded.model->encode_image(pixels.to(device));
  const auto rows = ids.reshape({-1, ids.size(-1)}).to(device);  // [Q or B Q, T]
  auto queries = loaded.model->encode_queries(rows);             // [Q or B Q, E]
  auto is_none = rows.select(1, 0).eq(0);                        // [Q or B Q]
  if (ids.dim() == 3) {
    queries = queries.view({ids.size(0), ids.size(1), -1});  // [B, Q, E]
    is_none = is_none.view({ids.size(0), 1, ids.size(1)});   // [B, 1, Q]
  }
  const auto logits = loaded.model->class_logits(features, queries)
                          .masked_fill(is_none, std::numeric_limits<float>::lowest());
  make_parents(flags.out);
  write_safetensors(flags.out,
                    {{"logits", logits},
                     {"pred_boxes", features.boxes},
                     {"objectness_logits", features.objectness_logits},
                     {"class_embeds", features.class_embeds}},
                    {{"format", "pt"}, {"model", flags.detector}});
}

constexpr size_t kNamesShown = 3;

// What became of --boxes: counts, and the first names of each kind.
Json boxes_json(const GivenBoxes& boxes, const SkipCounter& skips) {
  auto unmatched = boxes.not_taken();
  Json first = Json::object();
  for (const auto& [reason, count] : skips.counts()) first[reason] = skips.first_names(reason);
  const auto missing = static_cast<int64_t>(unmatched.size());
  unmatched.resize(std::min(unmatched.size(), kNamesShown));
  if (missing > 0) first["picture not in the shards"] = unmatched;
  return {{"read", boxes.boxes_read()},
          {"pictures", boxes.pictures()},
          {"pictures_matched", boxes.pictures() - missing},
          {"pictures_not_in_the_shards", missing},
          {"skipped", skips.json()},
          {"first_names", first},
          {"labellers", boxes.sources()}};
}

// Warns of pictures that no sample was. Throws Error (failed) when that is all of them. `whole`:
// this process saw all shards.
void check_boxes(const GivenBoxes& boxes, const LabelSummary& summary, bool whole) {
  const auto unmatched = boxes.not_taken();
  if (!whole || unmatched.empty() || summary.images == 0) return;
  std::string names;
  for (size_t i = 0; i < std::min(unmatched.size(), kNamesShown); ++i)
    names += (i == 0 ? "'" : ", '") + unmatched[i] + "'";
  if (static_cast<int64_t>(unmatched.size()) == boxes.pictures()) {
    throw Error::failed("not one picture of the boxes is in the shards (" + names + ")", "--boxes",
                        "name pictures by the samples' keys ('opencloc inspect SHARD' shows them), "
                        "then label again with --overwrite");
  }
  log::warn("{} of {} pictures of the boxes are not in the shards: {}{}", unmatched.size(),
            boxes.pictures(), names, unmatched.size() > kNamesShown ? ", ..." : "");
}

void label_data(const LabelFlags& flags) {
  LabelOptions options = flags.run;
  SkipCounter skips;
  options.shards = find_shards(flags.data, options.reader, skips);
  if (skips.total() > 0) log::warn("{}", skips.summary());
  options.out = flags.out;
  options.threads = thread_count(flags.common);
  options.share = share_from_environment([](const char* name) { return std::getenv(name); });
  if (flags.shard_index >= 0 || flags.shard_count >= 0) {
    if (flags.shard_index < 0 || flags.shard_count < 0)
      throw Error::input("one of --shard-index and --shard-count alone", "label", "pass both");
    options.share = {flags.shard_index, flags.shard_count};
  }
  SkipCounter of_boxes;
  const auto boxes = read_given_boxes(flags, of_boxes);
  auto stages = make_stages(flags, boxes, of_boxes);
  add_entity_stages(flags, options, stages);
  const LabelSummary summary = label_shards(options, stages);
  const bool whole = options.share.count == 1 && summary.finished == 0;
  if (flags.json) {
    Json json = summary.json();
    if (boxes) json["boxes"] = boxes_json(*boxes, of_boxes);
    std::printf("%s\n", dump_json(json).c_str());
  }
  if (boxes && wants_stage(flags, "detect")) check_boxes(*boxes, summary, whole);
  if (flags.json) return;
  std::printf("%s: %lld shards made, %lld finished before; %lld images, %lld regions\n",
              flags.out.c_str(), static_cast<long long>(summary.shards),
              static_cast<long long>(summary.finished), static_cast<long long>(summary.images),
              static_cast<long long>(summary.regions));
  if (boxes) {
    const auto unmatched = static_cast<int64_t>(boxes->not_taken().size());
    std::printf("boxes: %lld read for %lld pictures, %lld of which are in these shards%s%s\n",
                static_cast<long long>(boxes->boxes_read()),
                static_cast<long long>(boxes->pictures()),
                static_cast<long long>(boxes->pictures() - unmatched),
                of_boxes.total() > 0 ? "; " : "", of_boxes.summary().c_str());
  }
}

void run_label(const LabelFlags& flags) {
  const int modes = !flags.data.empty() + !flags.texts.empty() + !flags.tensors.empty();
  if (modes != 1)
    throw Error::input("one of --data, --texts and --tensors is needed", "label", "see --help");
  if (!flags.texts.empty()) return label_texts(flags);
  if (!flags.against.empty()) return print_link_evaluation(flags);
  if (flags.out.empty()) throw Error::input("--out is missing", "label", "name where to write");
  if (!flags.tensors.empty()) {
    if (flags.detector.empty())
      throw Error::input("--detector is missing", "label", "name OWLv2's model directory");
    check_output_file("--out", flags.out, kSafetensorsOutput, {flags.tensors, flags.detector});
    return label_tensors(flags);
  }
  check_output_folder("--out", flags.out, {flags.data});
  label_data(flags);
}

}  // namespace

void add_label(CLI::App& app) {
  const auto flags = std::make_shared<LabelFlags>();
  add_label_flags(app, *flags);
  app.footer(kLabelFooter);
  app.callback([&app, flags] {
    flags->stages_named = app.count("--stages") > 0;
    run_label(*flags);
  });
}

}  // namespace opencloc::cli
