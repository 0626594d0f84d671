// `opencloc label`: the data engine over shards, or its phrases or its detector alone.
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
  auto stages = make_stages(flags);
  add_entity_stages(flags, options, stages);
  const LabelSummary summary = label_shards(options, stages);
  if (flags.json) {
    std::printf("%s\n", dump_json(summary.json()).c_str());
    return;
  }
  std::printf("%s: %lld shards made, %lld finished before; %lld images, %lld regions\n",
              flags.out.c_str(), static_cast<long long>(summary.shards),
              static_cast<long long>(summary.finished), static_cast<long long>(summary.images),
              static_cast<long long>(summary.regions));
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
  app.callback([flags] { run_label(*flags); });
}

}  // namespace opencloc::cli
