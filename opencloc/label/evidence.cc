#include "opencloc/label/evidence.h"

#include <algorithm>
#include <cmath>

#include <torch/utils.h>

#include "opencloc/base/rng.h"
#include "opencloc/model/cloc/cloc.h"

namespace opencloc {
namespace {

constexpr int64_t kFewestPrototypes = 8;  // fewer give no deviation worth the name
constexpr int64_t kFewestOfType = 3;      // prototypes that make one of their type

// values [n] -> [n - 1]; all of them where the place is none
torch::Tensor without(const torch::Tensor& values, int64_t place) {
  if (place < 0) return values;
  return torch::cat({values.slice(0, 0, place), values.slice(0, place + 1)});
}

}  // namespace

EntityPrototypes make_prototypes(const torch::Tensor& pictures,
                                 const std::vector<std::pair<int64_t, int64_t>>& links,
                                 int64_t least) {
  EntityPrototypes made;
  if (pictures.size(0) == 0) return made;
  std::map<int64_t, std::vector<int64_t>> pictures_of;  // in order of the entities
  for (const auto& [picture, entity] : links) pictures_of[entity].push_back(picture);
  made.center = pictures.mean(0);  // [E]
  std::vector<torch::Tensor> rows;
  for (const auto& [entity, mine] : pictures_of) {
    if (static_cast<int64_t>(mine.size()) < least) continue;
    made.entities.push_back(entity);
    rows.push_back((pictures.index_select(0, torch::tensor(mine)) - made.center).mean(0));  // [E]
  }
  if (!rows.empty()) made.vectors = normalized(torch::stack(rows));  // [P, E]
  return made;
}

Evidence place_among(EvidenceKind kind, double cosine, const torch::Tensor& others) {
  const auto values = others.to(torch::kDouble);
  const auto deviation = values.std(/*unbiased=*/false).item<double>();
  const auto below = values.lt(cosine).to(torch::kDouble).mean().item<double>();
  return {kind, cosine, (cosine - values.mean().item<double>()) / std::max(deviation, 1e-6),
          100 * below};
}

PictureEvidence::PictureEvidence(std::shared_ptr<const AliasTable> table, EntityEncoder& encoder,
                                 const EvidenceOptions& options)
    : table_(std::move(table)), encoder_(encoder), options_(options) {}

void PictureEvidence::set_prototypes(EntityPrototypes prototypes) {
  prototypes_ = std::move(prototypes);
  prototype_of_.clear();
  types_.clear();
  compared_ = torch::Tensor();
  if (!prototypes_.known()) return;
  compared_step_ = std::max<int64_t>(
      1, prototypes_.vectors.size(0) / std::max<int64_t>(1, options_.most_compared));
  compared_ = prototypes_.vectors.slice(0, 0, {}, compared_step_).contiguous();  // [C, E]
  std::map<std::string, std::vector<int64_t>> of_type;
  for (size_t i = 0; i < prototypes_.entities.size(); ++i) {
    const int64_t entity = prototypes_.entities[i];
    prototype_of_[entity] = static_cast<int64_t>(i);
    const std::string_view type = table_->base()[entity].type;
    if (!type.empty()) of_type[std::string(type)].push_back(static_cast<int64_t>(i));
  }
  for (const auto& [type, rows] : of_type) {
    if (static_cast<int64_t>(rows.size()) >= kFewestOfType)
      types_[type] =
          normalized(prototypes_.vectors.index_select(0, torch::tensor(rows)).mean(0, true))[0];
  }
}

torch::Tensor PictureEvidence::texts(const std::vector<int64_t>& entities) {
  std::vector<std::string> texts;
  texts.reserve(entities.size());
  for (const int64_t row : entities) {
    const auto& entity = table_->base()[row];
    texts.emplace_back(entity.name);
    if (!entity.description.empty()) texts.back().append(": ").append(entity.description);
  }
  return encoder_.texts(texts);
}

const torch::Tensor& PictureEvidence::references() {
  if (!references_.defined()) {
    std::vector<int64_t> chosen;
    Rng rng(options_.seed, {static_cast<uint64_t>(table_->base().size())});
    for (int64_t i = 0; i < options_.references; ++i)
      chosen.push_back(
          static_cast<int64_t>(rng.below(static_cast<uint64_t>(table_->base().size()))));
    std::ranges::sort(chosen);
    chosen.erase(std::unique(chosen.begin(), chosen.end()), chosen.end());
    references_ = texts(chosen);  // [R, E]
  }
  return references_;
}

std::vector<std::optional<Evidence>> PictureEvidence::of(const torch::Tensor& picture,
                                                         const std::vector<int64_t>& entities) {
  std::vector<std::optional<Evidence>> evidence(entities.size());
  const bool enough = prototypes_.known() && prototypes_.vectors.size(0) >= kFewestPrototypes;
  torch::Tensor centered, others;
  if (enough) {
    centered = normalized((picture - prototypes_.center).unsqueeze(0))[0];  // [E]
    others = compared_.mv(centered);                                        // [C]
  }
  std::vector<int64_t> by_text;
  std::vector<size_t> places;
  for (size_t i = 0; i < entities.size(); ++i) {
    const auto own = prototype_of_.find(entities[i]);
    const auto type = types_.find(std::string(table_->base()[entities[i]].type));
    if (enough && options_.prototypes && own != prototype_of_.end()) {
      const bool among = own->second % compared_step_ == 0;
      evidence[i] = place_among(EvidenceKind::kPrototype,
                                prototypes_.vectors[own->second].dot(centered).item<double>(),
                                without(others, among ? own->second / compared_step_ : -1));
    } else if (enough && options_.types && type != types_.end()) {
      evidence[i] =
          place_among(EvidenceKind::kType, type->second.dot(centered).item<double>(), others);
    } else if (options_.texts) {
      by_text.push_back(entities[i]);
      places.push_back(i);
    }
  }
  if (by_text.empty()) return evidence;
  const auto cosines = texts(by_text).mv(picture);  // [n]
  const auto random = references().mv(picture);     // [R]
  for (size_t i = 0; i < places.size(); ++i)
    evidence[places[i]] =
        place_among(EvidenceKind::kText, cosines[static_cast<int64_t>(i)].item<double>(), random);
  return evidence;
}

}  // namespace opencloc
