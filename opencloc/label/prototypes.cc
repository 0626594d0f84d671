#include "opencloc/label/prototypes.h"

#include <algorithm>
#include <limits>
#include <map>
#include <unordered_map>

#include <torch/utils.h>

#include "opencloc/base/error.h"
#include "opencloc/base/log.h"
#include "opencloc/base/parallel_for.h"
#include "opencloc/base/progress.h"
#include "opencloc/checkpoint/file/safetensors.h"

namespace opencloc {
namespace {

constexpr size_t kPicturesAtATime = 64;
constexpr const char* kSettingsKey = "settings";

// Pictures with mentions, embedded.
class SeenPictures {
 public:
  SeenPictures(Linker& linker, const PrototypeOptions& options,
               std::vector<std::unique_ptr<Stage>>& before)
      : linker_(linker), options_(options), before_(before) {}

  void read() {
    const auto shards = static_cast<int64_t>(options_.shards.size());
    const int64_t most = options_.pictures == 0 || shards == 0
                             ? std::numeric_limits<int64_t>::max()
                             : (options_.pictures + shards - 1) / shards;
    ProgressBar bar("prototypes", 0, "pictures");
    SkipCounter skips;  // said when the shards are labelled
    for (const auto& shard : options_.shards) {
      ShardReader reader(shard, skips, options_.reader);
      std::vector<LabelSample> batch;
      LabelSample sample;
      for (int64_t n = 0; n < most && reader.next(sample.record); ++n) {
        sample.name = reader.name();
        batch.push_back(std::move(sample));
        sample = {};
        if (batch.size() == kPicturesAtATime) take(batch, bar);
      }
      take(batch, bar);
    }
  }

  torch::Tensor embeddings() const { return parts_.empty() ? torch::Tensor() : torch::cat(parts_); }
  const std::vector<std::vector<Mention>>& mentions() const { return mentions_; }

 private:
  void take(std::vector<LabelSample>& batch, ProgressBar& bar) {
    bar.advance(static_cast<int64_t>(batch.size()));
    std::vector<char> good(batch.size(), 1);
    parallel_for(static_cast<int64_t>(batch.size()), options_.threads, [&](int64_t i) {
      auto& sample = batch[static_cast<size_t>(i)];
      try {
        stored_mentions(sample);
        sample.image = Image::decode(sample.record.image, sample.name);
      } catch (const Error&) {
        good[static_cast<size_t>(i)] = 0;  // counted and named when its shard is labelled
      }
    });
    std::vector<LabelSample> kept;
    for (size_t i = 0; i < batch.size(); ++i) {
      if (good[i] != 0) kept.push_back(std::move(batch[i]));
    }
    batch.clear();
    if (kept.empty()) return;
    for (const auto& stage : before_) stage->run(kept);
    std::vector<const Image*> pictures;
    for (const auto& sample : kept) {
      auto mentions = stored_mentions(sample);
      if (mentions.empty()) continue;
      mentions_.push_back(std::move(mentions));
      pictures.push_back(&sample.image);
    }
    if (!pictures.empty()) parts_.push_back(linker_.encoder()->pictures(pictures));
  }

  Linker& linker_;
  const PrototypeOptions& options_;
  std::vector<std::unique_ptr<Stage>>& before_;
  std::vector<torch::Tensor> parts_;
  std::vector<std::vector<Mention>> mentions_;
};

using Links = std::vector<std::pair<int64_t, int64_t>>;

Links links_of_unambiguous(const SeenPictures& seen, const AliasTable& table) {
  Links links;
  for (size_t i = 0; i < seen.mentions().size(); ++i) {
    for (const Mention& mention : seen.mentions()[i]) {
      const auto candidates = table.candidates(mention.text);
      if (candidates.size() == 1) links.emplace_back(static_cast<int64_t>(i), candidates[0].entity);
    }
  }
  return links;
}

Links links_by_linker(const SeenPictures& seen, const torch::Tensor& pictures, Linker& linker) {
  Links links;
  for (size_t i = 0; i < seen.mentions().size(); ++i) {
    const auto picture = pictures[static_cast<int64_t>(i)];
    for (const LinkScore& one : linker.link(seen.mentions()[i], picture).chosen) {
      if (one.entity >= 0 && linker.keeps(one))
        links.emplace_back(static_cast<int64_t>(i), one.entity);
    }
  }
  return links;
}

// A picture that has an entity twice counts once.
Links distinct(Links links) {
  std::ranges::sort(links);
  links.erase(std::unique(links.begin(), links.end()), links.end());
  return links;
}

// [2, S]: rows of the base in order, pictures.
torch::Tensor seen_rows(const std::unordered_map<int64_t, int64_t>& seen) {
  const std::map<int64_t, int64_t> sorted(seen.begin(), seen.end());
  std::vector<int64_t> entities, pictures;
  for (const auto& [entity, count] : sorted) {
    entities.push_back(entity);
    pictures.push_back(count);
  }
  return torch::stack(
      {torch::tensor(entities, torch::kInt64), torch::tensor(pictures, torch::kInt64)});
}

std::unordered_map<int64_t, int64_t> seen_of(const SafetensorsFile& file) {
  std::unordered_map<int64_t, int64_t> seen;
  const auto rows = file.tensor("seen");
  if (rows.dim() != 2 || rows.size(0) != 2 || rows.scalar_type() != torch::kInt64)
    throw Error::input("the counts of pictures are of another form", file.path(),
                       "remove the file");
  const auto values = rows.accessor<int64_t, 2>();
  for (int64_t i = 0; i < rows.size(1); ++i) seen[values[0][i]] = values[1][i];
  return seen;
}

EntityPrototypes read_prototypes(const SafetensorsFile& file, int64_t entities) {
  EntityPrototypes read;
  const auto rows = file.tensor("entities");
  read.vectors = file.tensor("vectors").clone();
  read.center = file.tensor("center").clone();
  const bool fits = rows.dim() == 1 && rows.scalar_type() == torch::kInt64 &&
                    read.vectors.dim() == 2 && read.vectors.size(0) == rows.size(0) &&
                    read.center.dim() == 1 && read.center.size(0) == read.vectors.size(1) &&
                    (rows.numel() == 0 ||
                     (rows.min().item<int64_t>() >= 0 && rows.max().item<int64_t>() < entities));
  if (!fits)
    throw Error::input("the prototypes do not fit the entities", file.path(), "remove the file");
  const auto values = rows.accessor<int64_t, 1>();
  for (int64_t i = 0; i < rows.size(0); ++i) read.entities.push_back(values[i]);
  return read;
}

}  // namespace

void prepare_prototypes(Linker& linker, const PrototypeOptions& options,
                        std::vector<std::unique_ptr<Stage>>& before,
                        const std::filesystem::path& file, bool overwrite) {
  Json settings = linker.config();
  settings["pictures"] = options.pictures;
  settings["least"] = options.least;
  settings["shards"] = options.shards;
  for (const auto& stage : before) settings["before"][stage->name()] = stage->config();
  const std::string told = dump_json(settings);
  const int64_t size = linker.table().base().size();
  if (std::filesystem::exists(file) && !overwrite) {
    const SafetensorsFile stored(file);
    if (stored.metadata(kSettingsKey) != told) {
      throw Error::input("the prototypes were made with other settings", file.string(),
                         "name another folder for the setting 'out', or pass the setting "
                         "'overwrite'");
    }
    linker.set_seen(seen_of(stored));
    return linker.evidence()->set_prototypes(read_prototypes(stored, size));
  }
  SeenPictures seen(linker, options, before);
  seen.read();
  for (const auto& stage : before) stage->take_report();
  const auto pictures = seen.embeddings();  // [N, E]
  if (!pictures.defined()) {
    log::warn("no picture has a mention: entities are not known by their looks");
    return;
  }
  auto links = distinct(links_of_unambiguous(seen, linker.table()));
  std::unordered_map<int64_t, int64_t> pictures_of;
  for (const auto& [picture, entity] : links) ++pictures_of[entity];
  linker.set_seen(std::move(pictures_of));
  auto made = make_prototypes(pictures, links, options.least);
  log::info("prototypes: round 1, {} entities from {} pictures", made.entities.size(),
            pictures.size(0));
  linker.evidence()->set_prototypes(made);
  for (int round = 2; round <= linker.options().rounds && made.known(); ++round) {
    links = distinct(links_by_linker(seen, pictures, linker));
    made = make_prototypes(pictures, links, options.least);
    log::info("prototypes: round {}, {} entities", round, made.entities.size());
    linker.evidence()->set_prototypes(made);
  }
  if (!made.known()) {
    log::warn("no entity has {} pictures: entities are not known by their looks", options.least);
    return;
  }
  write_safetensors(file,
                    {{"entities", torch::tensor(made.entities)},
                     {"vectors", made.vectors},
                     {"center", made.center},
                     {"seen", seen_rows(linker.seen())}},
                    {{kSettingsKey, told}});
}

}  // namespace opencloc
