// `opencloc data entities` and `opencloc data classes`.
#include "opencloc/base/error.h"
#include "opencloc/base/log.h"
#include "opencloc/base/progress.h"
#include "opencloc/cli/data_flags.h"
#include "opencloc/cli/outputs.h"
#include "opencloc/cli/tensor_parts.h"
#include "opencloc/data/entities/classes.h"
#include "opencloc/data/entities/make_entities.h"
#include "opencloc/data/shard/find_shards.h"

namespace opencloc::cli {
namespace {

struct EntityFlags : DataFlags {
  MakeEntitiesOptions make;
  std::string vectors;
};

void run_entities(EntityFlags& flags) {
  check_output_folder("--out", flags.out, {flags.make.source.string(), flags.vectors});
  if (std::filesystem::exists(flags.out) && !flags.writer.overwrite)
    throw Error::input("the folder is there already", flags.out,
                       "name another one, or pass --overwrite");
  if (!flags.make.wordnet.empty() && flags.make.format != "emoji")
    throw Error::input("--wordnet is for --format emoji", "data entities", "leave it out");
  const bool listed = flags.make.format == "tsv" || flags.make.format == "spacy";
  if (!flags.vectors.empty() && (!listed || flags.make.min_popularity > 0))
    throw Error::input("--vectors needs rows in the order of a list of one's own", "data entities",
                       "use it with --format tsv or spacy, without --min-popularity");
  const TensorParts* parts = flags.vectors.empty() ? nullptr : &tensor_parts();
  ProgressBar bar("entities", 0, "entities");
  flags.make.progress = [&bar] { bar.advance(); };
  const MadeEntities made = make_entities(
      flags.make, flags.out, [&](const std::filesystem::path& folder, int64_t entities) {
        if (parts != nullptr) parts->write_entity_vectors(flags.vectors, folder, entities);
      });
  bar.finish();
  if (flags.json) {
    Json result = {{"out", flags.out}};
    result.update(made.json());
    std::printf("%s\n", dump_json(result).c_str());
    return;
  }
  std::printf("%s: %lld entities, %lld aliases\n", flags.out.c_str(),
              static_cast<long long>(made.entities), static_cast<long long>(made.aliases));
  for (const auto& [reason, count] : made.left_out)
    std::printf("  left out: %s %lld\n", reason.c_str(), static_cast<long long>(count));
}

struct ClassFlags : DataFlags {
  EntityClassOptions options;
};

void run_classes(ClassFlags& flags) {
  check_output_file("--out", flags.out, kTableOutput, {flags.data});
  flags.options.shards = flags.reader;
  SkipCounter skips;
  const auto shards = find_shards(flags.data, flags.reader, skips);
  ProgressBar bar("classes", 0, "samples");
  flags.options.progress = [&bar] { bar.advance(); };
  const EntityClasses classes = count_entity_classes(shards, flags.options, skips);
  bar.finish();
  if (classes.kept.empty()) {
    throw Error::input("no entity is on enough pictures and not on too many", flags.data,
                       "label the data with 'label --stages mentions,link', or lower --min-images");
  }
  write_entity_classes(classes, flags.out);
  const Json result = {{"out", flags.out},
                       {"classes", classes.kept.size()},
                       {"pictures", classes.pictures},
                       {"labelled_pictures", classes.labelled},
                       {"labels", classes.labels},
                       {"kept_labels", classes.kept_labels},
                       {"rare_entities", classes.rare},
                       {"common_entities", classes.common},
                       {"skipped", skips.json()}};
  if (flags.json) {
    std::printf("%s\n", dump_json(result).c_str());
    return;
  }
  std::printf(
      "%s: %zu classes with %lld labels of %lld; left out: %lld rare entities, %lld too "
      "common; %lld of %lld pictures have an entity\n",
      flags.out.c_str(), classes.kept.size(), static_cast<long long>(classes.kept_labels),
      static_cast<long long>(classes.labels), static_cast<long long>(classes.rare),
      static_cast<long long>(classes.common), static_cast<long long>(classes.labelled),
      static_cast<long long>(classes.pictures));
  if (skips.total() > 0) std::printf("  %s\n", skips.summary().c_str());
}

}  // namespace

void add_data_entities(CLI::App& app) {
  const auto flags = std::make_shared<EntityFlags>();
  app.add_option("--format", flags->make.format, "What the source is")
      ->required()
      ->check(CLI::IsMember(entity_formats()));
  app.add_option("--source", flags->make.source,
                 "wordnet: the folder of data.noun; emoji: emoji-test.txt; tsv: a folder with "
                 "entities.tsv and aliases.tsv; spacy: a folder, or a file WD_id|alias; wikidata: "
                 "the unpacked JSON dump, - for standard input")
      ->required()
      ->type_name("PATH");
  app.add_option("--wordnet", flags->make.wordnet,
                 "emoji: WordNet's folder, for synonyms and descriptions where it means the same "
                 "kind of thing")
      ->type_name("DIR");
  app.add_option("--language", flags->make.language, "wikidata: of names and descriptions")
      ->capture_default_str();
  app.add_option("--min-popularity", flags->make.min_popularity,
                 "Leave out less known entities (wikidata: links to Wikipedias; wordnet: uses in "
                 "its tagged texts)")
      ->check(not_negative())
      ->capture_default_str();
  app.add_option("--vectors", flags->vectors,
                 "tsv, spacy: safetensors with entity_vectors [n, d], rows in the order of the "
                 "source, for the context of links; without them descriptions serve")
      ->type_name("FILE");
  app.add_option("--out", flags->out, "Folder of the base")->type_name("DIR")->required();
  app.add_flag("--overwrite", flags->writer.overwrite, "Replace that folder");
  add_json_flag(app, *flags);
  add_config_flag(app);
  app.footer(R"(Example:
  opencloc data entities --format wordnet --source /usr/share/wordnet --out wordnet
  opencloc data entities --format emoji --source /usr/share/unicode/emoji/emoji-test.txt \
      --wordnet /usr/share/wordnet --out emoji
  bzcat latest-all.json.bz2 | opencloc data entities --format wikidata --source - \
      --min-popularity 5 --out wikidata
The folder holds entities.tsv, aliases.tsv and entities.json; 'opencloc label --stages mentions,link'
labels pictures with them (docs/guide/mofi.md).)");
  app.callback([flags] { run_entities(*flags); });
}

void add_data_classes(CLI::App& app) {
  const auto flags = std::make_shared<ClassFlags>();
  add_input_flags(app, *flags);
  app.add_option("--min-images", flags->options.min_images,
                 "Entities on fewer pictures are no classes")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 40))
      ->capture_default_str();
  app.add_option("--max-share", flags->options.max_share,
                 "Nor are those on more than this share of the pictures")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
  app.add_option("--out", flags->out, "The table: class, id, name, images")
      ->type_name("FILE")
      ->required();
  add_json_flag(app, *flags);
  add_config_flag(app);
  app.footer(R"(Example:
  opencloc data classes --data labelled --min-images 5 --max-share 0.01 --out classes.tsv
The data are shards that 'opencloc label --stages mentions,link' wrote.)");
  app.callback([flags] { run_classes(*flags); });
}

}  // namespace opencloc::cli
