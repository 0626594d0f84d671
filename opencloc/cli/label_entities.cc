// The stages of `label` that link mentions to entities, and how well they did.
#include <algorithm>

#include "opencloc/base/error.h"
#include "opencloc/base/log.h"
#include "opencloc/base/progress.h"
#include "opencloc/cli/label_flags.h"
#include "opencloc/data/shard/find_shards.h"
#include "opencloc/label/link_evaluation.h"
#include "opencloc/label/link_stage.h"
#include "opencloc/model/device.h"

namespace opencloc::cli {
namespace {

constexpr const char* kPrototypesFile = "entity_prototypes.safetensors";

std::shared_ptr<const AliasTable> read_alias_table(const LabelFlags& flags) {
  if (flags.entities.empty())
    throw Error::input("no base of entities is named", "label",
                       "pass --entities DIR, a folder of 'opencloc data entities'");
  return std::make_shared<const AliasTable>(std::make_shared<const EntityBase>(flags.entities));
}

std::unique_ptr<Stage> make_mention_stage(const LabelFlags& flags,
                                          std::shared_ptr<const AliasTable> table) {
  MentionStageOptions options;
  options.text = flags.mentions_from == "alt_text"  ? MentionText::kAltText
                 : flags.mentions_from == "caption" ? MentionText::kCaption
                                                    : MentionText::kChosen;
  options.threads = thread_count(flags.common);
  return mention_stage(std::move(table), options);
}

std::shared_ptr<Linker> make_linker(const LabelFlags& flags,
                                    std::shared_ptr<const AliasTable> table) {
  LinkOptions options = flags.linking;
  options.weights = parse_link_weights(flags.link);
  options.min_image = parse_image_threshold(flags.min_image_score);
  const auto takes = [&](const char* kind) {
    return std::ranges::find(flags.image_evidence, kind) != flags.image_evidence.end();
  };
  options.evidence.prototypes = takes("prototype");
  options.evidence.types = takes("type");
  options.evidence.texts = takes("text");
  options.evidence.seed = flags.common.seed;
  std::shared_ptr<EntityEncoder> encoder;
  if (!flags.clip.empty()) {
    encoder = clip_entity_encoder(flags.clip, {.device = parse_device(flags.common.device),
                                               .precision = parse_precision(flags.precision),
                                               .backend = parse_backend(flags.common.backend)});
  }
  return std::make_shared<Linker>(std::move(table), std::move(encoder), options);
}

// What must run before entities are known by their looks.
std::vector<std::unique_ptr<Stage>> stages_before_link(
    const LabelFlags& flags, const std::shared_ptr<const AliasTable>& table) {
  std::vector<std::unique_ptr<Stage>> before;
  if (wants_stage(flags, "caption") && wants_stage(flags, "mentions")) {
    if (!flags.captioner_place.empty()) {
      throw Error::input("entities cannot be linked while captions are still written", "--stages",
                         "run caption first, and mentions,link on its output");
    }
    before.push_back(make_caption_stage(flags));
  }
  if (wants_stage(flags, "mentions")) before.push_back(make_mention_stage(flags, table));
  return before;
}

}  // namespace

void add_entity_flags(CLI::App& app, LabelFlags& flags) {
  app.add_option("--entities", flags.entities,
                 "mentions, link: the base, a folder of 'data entities'")
      ->type_name("DIR");
  app.add_option("--mentions-from", flags.mentions_from,
                 "mentions: the text that is read; chosen: by the caption stage, else the caption, "
                 "else the alt-text")
      ->check(CLI::IsMember({"chosen", "alt_text", "caption"}))
      ->capture_default_str();
  app.add_option("--clip", flags.clip, "link: model that compares pictures with entities")
      ->type_name("DIR");
  app.add_option(
         "--link", flags.link,
         "link: weights of the evidence: prior and seen (pictures of the data that name the "
         "entity without ambiguity) are logarithms, context and image standard deviations")
      ->type_name("NAME:WEIGHT,...")
      ->capture_default_str();
  app.add_option("--link-rounds", flags.linking.rounds,
                 "link: rounds of the context, and of what entities look like")
      ->check(CLI::Range(1, 100))
      ->capture_default_str();
  app.add_option("--image-evidence", flags.image_evidence,
                 "link: how a picture is compared with an entity: prototype (pictures linked to "
                 "it), else type (those of its type), else text (name: description)")
      ->delimiter(',')
      ->check(CLI::IsMember({"prototype", "type", "text"}))
      ->capture_default_str();
  app.add_option("--prototype-pictures", flags.prototypes.pictures,
                 "link: pictures that prototypes are made from, the first of every shard; 0 = all")
      ->check(CLI::Range(int64_t{0}, int64_t{1} << 40))
      ->capture_default_str();
  app.add_option("--min-image-score", flags.min_image_score,
                 "link: keep entities whose cosine with the picture is above this percentile of "
                 "its cosines with other entities (p95), above a number (0.2), or all (off)")
      ->capture_default_str();
  app.add_option("--max-entities", flags.linking.max_entities, "link: a picture")
      ->check(CLI::Range(1, 1'000'000))
      ->capture_default_str();
  app.add_option("--against", flags.against,
                 "Label nothing: say how well --data was linked, by the truth under this key (an "
                 "id, or a list of {span, id, visible})")
      ->type_name("KEY");
}

void add_entity_stages(const LabelFlags& flags, const LabelOptions& options,
                       std::vector<std::unique_ptr<Stage>>& stages) {
  if (!wants_stage(flags, "mentions") && !wants_stage(flags, "link")) return;
  const auto table = read_alias_table(flags);
  if (wants_stage(flags, "mentions")) stages.push_back(make_mention_stage(flags, table));
  if (!wants_stage(flags, "link")) return;
  auto linker = make_linker(flags, table);
  const auto& evidence = linker->options().evidence;
  if (linker->counts_pictures() ||
      (linker->uses_pictures() && (evidence.prototypes || evidence.types))) {
    PrototypeOptions prototypes = flags.prototypes;
    prototypes.shards = options.shards;
    prototypes.threads = options.threads;
    prototypes.reader = options.reader;
    auto before = stages_before_link(flags, table);
    std::filesystem::create_directories(options.out);
    prepare_prototypes(*linker, prototypes, before, options.out / kPrototypesFile,
                       options.overwrite);
  }
  stages.push_back(link_stage(std::move(linker)));
}

void print_link_evaluation(const LabelFlags& flags) {
  if (!flags.out.empty())
    throw Error::input("--against writes nothing", "--out " + flags.out, "leave out one of them");
  const auto table = read_alias_table(flags);
  SkipCounter skips;
  const auto shards = find_shards(flags.data, flags.run.reader, skips);
  ProgressBar bar("against", 0, "pictures");
  LinkEvaluationOptions options;
  options.key = flags.against;
  options.shards = flags.run.reader;
  options.progress = [&bar] { bar.advance(); };
  const LinkEvaluation result = evaluate_links(shards, *table, options, skips);
  bar.finish();
  if (flags.json) {
    Json json = result.json();
    json["skipped"] = skips.json();
    std::printf("%s\n", dump_json(json).c_str());
    return;
  }
  std::printf("%lld pictures with truth\n%s", static_cast<long long>(result.pictures),
              result.table().c_str());
  if (skips.total() > 0) log::warn("{}", skips.summary());
}

}  // namespace opencloc::cli
