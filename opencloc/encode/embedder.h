// Runs a model over pictures, their regions and texts, and collects rows: what `embed` writes.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "opencloc/checkpoint/file/safetensors.h"
#include "opencloc/checkpoint/model_directory.h"
#include "opencloc/dist/group.h"
#include "opencloc/encode/picture_source.h"
#include "opencloc/encode/text_encoder.h"

namespace opencloc {

// Features for a language model: of the patches, with or without the class token in front, of
// EmbedderOptions::layer; or the Prompter's of the regions.
enum class Tokens { kNone, kPatch, kClassAndPatch, kRegions };

struct EmbedderOptions {
  torch::Device device = torch::kCPU;
  Precision precision = Precision::kFp32;  // of matrix products
  Backend backend = Backend::kKernels;     // of the CPU
  int64_t batch_size = 32;                 // pictures or texts at a time
  int64_t region_batch = 0;                // region prompts at a time; 0: regions_at_a_time()
  bool penultimate = false;                // also vision_penultimate_hidden; layer is -2 then
  Tokens tokens = Tokens::kNone;
  int64_t layer = -2;        // as transformers counts hidden_states
  bool save_inputs = false;  // also pixel_values and input_ids
  // Regions are cut out and encoded as pictures of their own: an encode for each. The pictures come
  // with their images (PictureSourceOptions::keep_images).
  bool crop_regions = false;
  int workers = 1;  // threads that cut them
  // The processes that share the work. Rank 0 ends with what one process would have.
  dist::Group* group = &dist::alone();
};

// Rows gather on the CPU: about 4 (E + [penultimate, tokens] T D + [save_inputs] 3 S S) bytes per
// picture. T = [1+]N tokens. Of several processes only rank 0 keeps rows, the others those of one
// batch. Not thread-safe.
class Embedder {
 public:
  // `loaded` outlives the embedder.
  Embedder(LoadedModel& loaded, const EmbedderOptions& options);

  // "prompter" or "roi_align" with trained heads; "image_roi_align" for a plain CLIP: RoIAlign on
  // the patch tokens, projected as the image is; "crop" with crop_regions.
  std::string region_method() const;

  // Around one batch of every process, of pictures and their captions, which are added between the
  // two: rows and pictures are numbered on through the batches, in order of the ranks. Afterwards
  // rank 0 has the rows of all and the others none. Calls of all processes.
  void begin_round(const std::vector<SourcePicture>& pictures, size_t captions);
  void end_round();

  // Good pictures become rows of image_embeds, their regions of region_embeds; broken pictures and
  // regions off the canvas become a "skipped" line in the row list.
  void add_pictures(const std::vector<SourcePicture>& pictures);
  // Every text becomes a row of text_embeds. Error (input) without a tokenizer.
  void add_texts(const std::vector<std::string>& texts) { add_texts(texts, dist::alone()); }
  // A call of all processes with the same texts, which share the work. Not within a round.
  void add_texts_of_all(const std::vector<std::string>& texts);
  // Ready inputs; either may be undefined. pixels [B, 3, S, S] float, ids [B, T] integer.
  // Error (input) naming `where` when they do not fit the model. A call of all processes with the
  // same tensors.
  void add_tensors(const torch::Tensor& pixels, const torch::Tensor& ids, const std::string& where);

  // Of all processes.
  int64_t pictures() const { return seen_.image_rows; }
  int64_t texts() const { return seen_.text_rows; }
  int64_t regions() const { return seen_.region_rows; }
  int64_t skipped_pictures() const { return seen_.skipped_pictures; }
  int64_t skipped_regions() const { return seen_.skipped_regions; }
  // Rank 0's are of all processes.
  const TruncationCounter& truncation() const { return texts_ ? texts_->truncation() : no_texts_; }

  // image_embeds [n, E], image_index [n], text_embeds [m, E], region_embeds [r, E],
  // region_image [r], region_quality [r] (of models with a quality head: predicted IoUs of the
  // boxes with an object), ...: those there are rows for. With tokens: image_tokens [n, N or T, D],
  // or region_tokens [r, E], which are region_embeds before the normalisation.
  NamedTensors tensors() const;
  // The rows of the last `pictures` pictures (broken ones: none), picture by picture, without the
  // leading axis but for the regions; region_index [r]: which of the picture's regions. Forgets all
  // rows and the row list.
  std::vector<NamedTensors> take_features(int64_t pictures);
  // One JSON object per line: which input each row comes from, and what was skipped.
  const std::string& row_list() const { return row_list_; }

 private:
  struct Seen {
    int64_t pictures = 0;  // good and broken ones
    int64_t image_rows = 0, text_rows = 0, region_rows = 0;
    int64_t skipped_pictures = 0, skipped_regions = 0;
  };
  struct Rows {  // of one output tensor
    std::vector<torch::Tensor> parts;
    void add(const torch::Tensor& part) { parts.push_back(part.detach().cpu()); }
  };
  struct NamedRows {
    const char* name;
    Rows Embedder::*rows;
  };
  static const std::array<NamedRows, 9> kRows;

  void begin_round(const Seen& batch);
  void add_texts(const std::vector<std::string>& texts, dist::Group& group);
  TextEncoder& text_encoder();
  void for_own_parts(const torch::Tensor& rows, int64_t Seen::*count,
                     const std::function<void(const torch::Tensor& part)>& work);
  std::string pack_rows() const;
  void add_rows(const std::string& bytes);
  void forget_rows();
  void encode_pictures(const torch::Tensor& pixels,
                       const std::vector<const SourcePicture*>& source);
  void encode_regions(ImageFeatures& features, const std::vector<const SourcePicture*>& source);
  void add_ids(const torch::Tensor& ids, const torch::Tensor& embeddings);
  void list(Json line);

  LoadedModel& loaded_;
  const EmbedderOptions options_;
  Rows image_embeds_, penultimate_, image_tokens_, pixel_values_, text_embeds_, input_ids_,
      region_embeds_, region_tokens_, region_quality_;
  std::vector<int64_t> image_index_, region_image_, region_index_;
  std::string row_list_;
  std::optional<TextEncoder> texts_;
  const TruncationCounter no_texts_{};
  Seen seen_;
  Seen after_round_;
};

}  // namespace opencloc
