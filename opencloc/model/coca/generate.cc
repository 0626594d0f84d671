#include "opencloc/model/coca/generate.h"

#include <algorithm>
#include <limits>

#include <torch/utils.h>

namespace opencloc {
namespace {

constexpr float kNever = -std::numeric_limits<float>::infinity();

// A text that is being written, or an empty place for one.
struct Beam {
  std::vector<int32_t> ids;
  float score = kNever;  // sum of the log-likelihoods of its ids
};

// All texts of one picture.
struct Search {
  std::vector<Beam> beams;
  std::vector<Beam> ended;
  bool done = false;
};

// Model and caches, for rows = pictures times beams.
class Writer {
 public:
  Writer(Cloc& model, const torch::Tensor& captioning, const GenerateOptions& options)
      : model_(model), end_id_(options.end_id) {
    state_ = model_->text_decoder->begin(captioning);
    for (auto& layer : state_.image) layer = layer.repeat_interleave(options.beams, 0);
    never_ = torch::zeros({model_->config().text.vocab_size}, torch::kBool);
    never_[kPadId] = true;
    never_[options.start_id] = true;
    never_.slice(0, options.vocab_size).fill_(true);
    never_[end_id_] = false;
    never_ = never_.to(captioning.device());
  }

  // ids [R] at the next place -> log-likelihoods of what follows [R, V].
  torch::Tensor step(const torch::Tensor& ids) {
    const auto tokens = model_->text->step(ids.to(never_.device()), place_++, text_);  // [R, 1, D]
    const auto normed = model_->text_decoder->step(tokens, state_).squeeze(1);         // [R, D]
    return model_->text_decoder->logits(normed).masked_fill(never_, kNever).log_softmax(1);
  }

  // Row i goes on from row rows[i].
  void reorder(const torch::Tensor& rows) {
    const auto on_device = rows.to(never_.device());
    for (auto* caches : {&text_, &state_.text}) {
      for (auto& cache : *caches) cache = cache.index_select(0, on_device);
    }
  }

 private:
  Cloc& model_;
  const int32_t end_id_;
  int64_t place_ = 0;
  std::vector<torch::Tensor> text_;  // caches of the text tower
  TextDecoderImpl::State state_;     // the image's part is the same for all beams of a picture
  torch::Tensor never_;              // [V]
};

struct Choice {
  int64_t beam;
  int32_t id;
  float score;
};

// The next beams of a picture from its likeliest continuations, best first. Returns for each the
// beam it continues.
std::vector<int64_t> advance(Search& search, const std::vector<Choice>& choices,
                             const GenerateOptions& options, bool room) {
  const auto beams = static_cast<size_t>(options.beams);
  std::vector<Beam> next;
  std::vector<int64_t> from;
  for (size_t rank = 0; rank < choices.size() && next.size() < beams; ++rank) {
    const auto& choice = choices[rank];
    if (!(choice.score > kNever)) break;  // also what is no number
    Beam beam{search.beams[static_cast<size_t>(choice.beam)].ids, choice.score};
    if (choice.id == options.end_id) {
      // An end that is not among the best would only crowd out longer texts.
      if (rank < beams) search.ended.push_back(std::move(beam));
    } else if (room) {
      beam.ids.push_back(choice.id);
      next.push_back(std::move(beam));
      from.push_back(choice.beam);
    }
  }
  // At the greatest length the texts that did not end stay as they are.
  search.done = search.ended.size() >= beams || next.empty();
  if (next.empty()) return {};
  next.resize(beams);
  from.resize(beams, 0);
  search.beams = std::move(next);
  return from;
}

GeneratedText best_of(const Search& search) {
  const bool ended = !search.ended.empty();
  const Beam* best = nullptr;
  double best_mean = kNever;
  for (const auto& beam : ended ? search.ended : search.beams) {
    const double mean = beam.score / static_cast<double>(beam.ids.size() + 1);
    if (mean > best_mean) {
      best = &beam;
      best_mean = mean;
    }
  }
  return best == nullptr ? GeneratedText{} : GeneratedText{best->ids, ended};
}

}  // namespace

int64_t longest_caption(const ModelConfig& config) { return config.text.context_length - 2; }

std::vector<GeneratedText> generate(Cloc& model, const torch::Tensor& captioning,
                                    const GenerateOptions& options) {
  TORCH_CHECK(model->text_decoder, "generate: the model has no text decoder");
  TORCH_CHECK(options.beams >= 1 && options.max_tokens >= 1 &&
                  options.max_tokens <= longest_caption(model->config()),
              "generate: beams or max_tokens out of range");
  const torch::NoGradGuard no_grad;
  const ComputeScope scope(model->precision(), model->backend());
  const int64_t batch = captioning.size(0), beams = options.beams;
  std::vector<Search> searches(static_cast<size_t>(batch));
  for (auto& search : searches) {
    search.beams.resize(static_cast<size_t>(beams));
    search.beams[0].score = 0;  // the others wait for its continuations
  }
  if (batch == 0) return {};
  Writer writer(model, captioning, options);
  auto ids = torch::full({batch * beams}, options.start_id, torch::kInt64);  // [R]
  for (int64_t length = 0; length <= options.max_tokens; ++length) {
    const auto likely = writer.step(ids).to(torch::kCPU, torch::kFloat);  // [R, V]
    std::vector<float> so_far;
    for (const auto& search : searches) {
      for (const auto& beam : search.beams) so_far.push_back(beam.score);
    }
    const int64_t vocabulary = likely.size(1);
    const auto all =
        (likely + torch::tensor(so_far).unsqueeze(1)).view({batch, beams * vocabulary});
    const auto [best, index] = all.topk(std::min(2 * beams, all.size(1)), 1);  // [B, 2 K]
    const auto score = best.accessor<float, 2>();
    const auto place = index.accessor<int64_t, 2>();
    std::vector<int64_t> rows, next_ids;
    bool done = true;
    for (int64_t b = 0; b < batch; ++b) {
      auto& search = searches[static_cast<size_t>(b)];
      std::vector<int64_t> from;
      if (!search.done) {
        std::vector<Choice> choices;
        for (int64_t i = 0; i < best.size(1); ++i) {
          choices.push_back({place[b][i] / vocabulary,
                             static_cast<int32_t>(place[b][i] % vocabulary), score[b][i]});
        }
        from = advance(search, choices, options, length < options.max_tokens);
      }
      done = done && search.done;
      from.resize(static_cast<size_t>(beams), 0);
      for (size_t k = 0; k < from.size(); ++k) {
        rows.push_back(b * beams + from[k]);
        const auto& written = search.beams[k].ids;
        next_ids.push_back(written.empty() ? options.end_id : written.back());
      }
    }
    if (done) break;
    writer.reorder(torch::tensor(rows));
    ids = torch::tensor(next_ids);
  }
  std::vector<GeneratedText> texts;
  for (const auto& search : searches) texts.push_back(best_of(search));
  return texts;
}

}  // namespace opencloc
