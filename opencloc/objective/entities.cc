#include "opencloc/objective/entities.h"

#include <algorithm>
#include <utility>
#include <vector>

#include <torch/utils.h>

#include "opencloc/base/error.h"
#include "opencloc/base/random_streams.h"
#include "opencloc/base/rng.h"
#include "opencloc/objective/batch_parts.h"
#include "opencloc/objective/beside.h"
#include "opencloc/ops/transfer.h"

namespace opencloc {
namespace {

constexpr const char* kTableKey = "entity_classes";

torch::Tensor ids_tensor(const std::vector<int64_t>& ids) {
  return torch::tensor(ids, torch::kInt64);
}

class EntityWork : public BatchWork {
 public:
  EntityWork(std::unique_ptr<BatchWork> base, const Cloc& model,
             const std::shared_ptr<EntityHead>& head, const EntityOptions& options,
             const Batch& batch, const WorkOptions& work)
      : base_(std::move(base)),
        model_(model),
        head_(head),
        options_(options),
        margin_(margin_at(options, work.step)) {
    TORCH_CHECK(batch.entity.defined(), "a batch without entities");
    const auto all = work.group->gather(batch.entity).rows.contiguous();  // [B of all]
    std::vector<int64_t> positives;
    for (int64_t i = 0; i < all.numel(); ++i)
      if (all.data_ptr<int64_t>()[i] >= 0) positives.push_back(all.data_ptr<int64_t>()[i]);
    all_labelled_ = static_cast<int64_t>(positives.size());
    labelled_ = batch.entity.ge(0).sum().item<int64_t>();
    if (all_labelled_ == 0) return;
    classes_ = sampled_classes(positives, head->classes(), options, work.step);
    find_columns(batch);
    if (!base_->empty()) return;
    parts_ = cut_batch(batch, work.parts);
    for (auto& part : parts_)
      part.batch.pixels = ops::to_device(part.batch.pixels, model->logit_scale.device());
  }

  // The base's; where it encodes nothing, the pictures.
  int64_t pieces() const override { return base_pieces() + static_cast<int64_t>(parts_.size()); }
  bool empty() const override { return base_->empty() && all_labelled_ == 0; }
  bool learns(int64_t piece) const override {
    return piece >= base_pieces() || base_->learns(piece);
  }

  Encoded encode(int64_t piece, const NamedRows& before, bool own_loss) override {
    if (piece < base_pieces()) return base_->encode(piece, before, own_loss);
    Encoded encoded;
    const auto& part = parts_[static_cast<size_t>(piece - base_pieces())];
    encoded.rows.append(
        "image", model_->encode_image(part.batch.pixels, {.any_size = true}).embedding);  // [b, E]
    return encoded;
  }

  Loss loss(const NamedRows& rows) override {
    Loss loss;
    if (!base_->empty()) loss = base_->loss(rows);
    if (all_labelled_ == 0) return loss;
    const BackendScope scope(model_->backend());
    const auto device = model_->logit_scale.device();
    const auto vectors = head_->use(ops::to_device(ids_tensor(classes_), device));  // [S, E]
    const auto found = rows["image"];
    const auto image =
        found.defined() ? normalized(found) : torch::zeros({0, head_->width()}, vectors.options());
    const auto entity = entity_loss(image, vectors, targets_,
                                    {.margin = margin_, .scale = options_.scale, .chunk = 0});
    const auto share = static_cast<double>(labelled_) / static_cast<double>(all_labelled_);
    const auto weighted = (options_.weight * share) * entity.loss;
    loss.value = loss.value.defined() ? loss.value + weighted : weighted;
    const auto count = static_cast<double>(labelled_);
    loss.figures.mean("loss_entity", entity.loss, count);
    loss.figures.mean("entity_acc", entity.accuracy, count);
    return loss;
  }

  Figures counts() const override {
    Figures figures = base_->counts();
    figures.count("labelled", labelled_);
    return figures;
  }

 private:
  int64_t base_pieces() const { return base_->empty() ? 0 : base_->pieces(); }

  // Column of a class among those of the step; -1: it is not.
  int64_t column_of(int64_t entity) const {
    const auto at = std::ranges::lower_bound(classes_, entity);
    return at != classes_.end() && *at == entity ? at - classes_.begin() : -1;
  }

  void find_columns(const Batch& batch) {
    const auto own = batch.entity.contiguous(), begin = batch.entity_others_begin.contiguous(),
               others = batch.entity_others.contiguous();
    std::vector<int64_t> positive, other_begin{0}, other;
    for (int64_t i = 0; i < own.numel(); ++i) {
      positive.push_back(column_of(own.data_ptr<int64_t>()[i]));
      const auto* at = begin.data_ptr<int64_t>() + i;
      for (int64_t k = at[0]; k < at[1]; ++k) {
        const int64_t column = column_of(others.data_ptr<int64_t>()[k]);
        if (column >= 0) other.push_back(column);
      }
      other_begin.push_back(static_cast<int64_t>(other.size()));
    }
    targets_ = {ids_tensor(positive), ids_tensor(other_begin), ids_tensor(other)};
  }

  const std::unique_ptr<BatchWork> base_;
  Cloc model_;
  const std::shared_ptr<EntityHead> head_;
  const EntityOptions options_;
  const double margin_;
  int64_t labelled_ = 0, all_labelled_ = 0;
  std::vector<int64_t> classes_;  // of the step
  EntityTargets targets_;
  std::vector<BatchPart> parts_;
};

class WithEntities : public ObjectiveBeside {
 public:
  WithEntities(std::unique_ptr<Objective> base, const Cloc& model,
               const std::shared_ptr<EntityHead>& head, const EntityOptions& options,
               std::string table)
      : ObjectiveBeside(std::move(base)),
        model_(model),
        head_(head),
        options_(options),
        table_(std::move(table)) {}

  std::unique_ptr<BatchWork> work(const Batch& batch, const WorkOptions& options) override {
    return std::make_unique<EntityWork>(base_->work(batch, options), model_, head_, options_, batch,
                                        options);
  }
  Json state() const override {
    Json state = base_->state();
    state[kTableKey] = table_;
    return state;
  }
  void load_state(const Json& state, std::string_view where) override {
    base_->load_state(state, where);
    if (json_string(state, kTableKey, where, table_) == table_) return;
    throw Error::input("the run began with another table of classes", where,
                       "give the setting 'entity_classes' that table, or begin a new run");
  }

 private:
  const Cloc model_;
  const std::shared_ptr<EntityHead> head_;
  const EntityOptions options_;
  const std::string table_;
};

// What L_entity stands beside where nothing else is to be learned.
class NothingElse : public Objective {
 public:
  std::unique_ptr<BatchWork> work(const Batch& /*batch*/, const WorkOptions& /*how*/) override {
    class Empty : public BatchWork {
     public:
      int64_t pieces() const override { return 0; }
      Encoded encode(int64_t /*piece*/, const NamedRows& /*before*/, bool /*own*/) override {
        return {};
      }
      Loss loss(const NamedRows& /*rows*/) override { return {}; }
    };
    return std::make_unique<Empty>();
  }
};

}  // namespace

std::vector<int64_t> sampled_classes(const std::vector<int64_t>& positives, int64_t classes,
                                     const EntityOptions& options, int64_t step) {
  std::vector<bool> taken(static_cast<size_t>(classes), options.negatives >= classes);
  if (options.negatives < classes) {
    // Floyd's sample: each set of that size with the same probability.
    Rng rng(options.seed, {random_stream::kEntityClasses, static_cast<uint64_t>(step)});
    for (int64_t last = classes - options.negatives; last < classes; ++last) {
      const size_t drawn = rng.below(static_cast<uint64_t>(last) + 1);
      taken[taken[drawn] ? static_cast<size_t>(last) : drawn] = true;
    }
    for (const int64_t positive : positives) taken[static_cast<size_t>(positive)] = true;
  }
  std::vector<int64_t> chosen;
  for (int64_t i = 0; i < classes; ++i)
    if (taken[static_cast<size_t>(i)]) chosen.push_back(i);
  return chosen;
}

double margin_at(const EntityOptions& options, int64_t step) {
  if (step >= options.warmup) return options.margin;
  return options.margin * static_cast<double>(step) / static_cast<double>(options.warmup);
}

std::unique_ptr<Objective> with_entities(std::unique_ptr<Objective> base, const Cloc& model,
                                         const std::shared_ptr<EntityHead>& head,
                                         const EntityOptions& options, const std::string& table) {
  return std::make_unique<WithEntities>(std::move(base), model, head, options, table);
}

std::unique_ptr<Objective> make_entities(const Cloc& /*model*/,
                                         const ObjectiveOptions& /*options*/) {
  return std::make_unique<NothingElse>();
}

}  // namespace opencloc
