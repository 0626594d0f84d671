#include "opencloc/mllm/mllm_model.h"

#include <array>
#include <utility>
#include <vector>

#include <torch/ordered_dict.h>
#include <torch/utils.h>

#include "opencloc/base/error.h"
#include "opencloc/base/files.h"
#include "opencloc/checkpoint/layout/weights.h"
#include "opencloc/checkpoint/model_directory.h"
#include "opencloc/model/clip/features.h"
#include "opencloc/ops/transfer.h"

namespace opencloc {
namespace fs = std::filesystem;
namespace {

constexpr const char* kConfigFile = "mllm_config.json";
constexpr const char* kWeightsFile = "model.safetensors";
constexpr const char* kVision = "vision";
constexpr int64_t kFormat = 1;

constexpr std::array<std::pair<Frame, const char*>, 2> kFrames = {
    {{Frame::kFerret, "ferret"}, {Frame::kLlava, "llava"}}};
constexpr std::array<std::pair<RegionSource, const char*>, 4> kSources = {
    {{RegionSource::kNone, "none"},
     {RegionSource::kMean, "mean"},
     {RegionSource::kSampler, "sampler"},
     {RegionSource::kEmbedding, "prompter"}}};

template <typename Names, typename Value>
const char* name_of(const Names& names, Value value) {
  for (const auto& [each, name] : names)
    if (each == value) return name;
  return "?";
}

template <typename Names>
auto value_of(const Names& names, std::string_view name, const char* what) {
  std::string known;
  for (const auto& [value, each] : names) {
    if (name == each) return value;
    known += (known.empty() ? "" : ", ") + std::string(each);
  }
  throw Error::input("'" + std::string(name) + "' is no " + what, what, "give one of " + known);
}

// The embeddings of regions, a kind of prompt at a time, in the batch's order -> [R, E]
torch::Tensor prompted(Cloc& vision, ImageFeatures& features, const Batch& batch) {
  vision->prepare_prompts(features);
  if (!batch.prompt_kind.defined())
    return vision->encode_regions(features, box_prompts(batch.boxes, batch.region_image));
  const auto point = batch.prompt_kind.eq(static_cast<int64_t>(PromptKind::kPoint));
  std::vector<torch::Tensor> rows, embeddings;
  for (const bool points : {false, true}) {
    const auto of_kind = point.eq(points).nonzero().squeeze(1);
    if (of_kind.size(0) == 0) continue;
    const auto at = ops::to_device(of_kind, batch.boxes.device());
    const auto image = batch.region_image.index_select(0, of_kind);
    embeddings.push_back(vision->encode_regions(
        features, points ? point_prompts(batch.points.index_select(0, at).slice(1, 0, 1), image)
                         : box_prompts(batch.boxes.index_select(0, at), image)));
    rows.push_back(of_kind);
  }
  const auto order = torch::cat(rows).argsort();
  return torch::cat(embeddings).index_select(0, ops::to_device(order, batch.boxes.device()));
}

MllmRegions regions_of(MllmModel& model, ImageFeatures& features, const Batch& batch, bool frozen) {
  MllmRegions regions;
  const RegionSource source = model.settings.model.region_source;
  if (source == RegionSource::kNone || batch.regions() == 0) return regions;
  regions.image_index = ops::to_device(batch.region_image, batch.boxes.device());
  if (source != RegionSource::kEmbedding) {
    regions.points = batch.clouds;
    return regions;
  }
  const torch::AutoGradMode learns(!frozen && torch::GradMode::is_enabled());
  regions.embeddings = prompted(model.vision, features, batch);
  return regions;
}

}  // namespace

void MllmModel::set_precision(Precision precision) { vision->set_precision(precision); }
void MllmModel::set_backend(Backend backend) { vision->set_backend(backend); }
void MllmModel::to(torch::Device device) {
  vision->to(device);
  reader->to(device);
}
torch::Device MllmModel::device() const { return vision->logit_scale.device(); }

SequenceOptions MllmModel::sequence_options() const {
  const auto& vision_config = vision->config().vision;
  return {.frame = {.frame = settings.frame},
          .image_tokens = vision_config.patches(),
          .context_length = settings.model.language.context_length,
          .region_symbols = settings.model.region_source != RegionSource::kNone};
}

int64_t MllmModel::cloud_points() const {
  const MllmConfig& model = settings.model;
  const bool looks =
      model.region_source == RegionSource::kMean || model.region_source == RegionSource::kSampler;
  return looks ? model.sampler.points : 0;
}

const char* to_string(Frame frame) { return name_of(kFrames, frame); }
Frame parse_frame(std::string_view name) { return value_of(kFrames, name, "frame"); }
const char* to_string(RegionSource source) { return name_of(kSources, source); }
RegionSource parse_region_source(std::string_view name) {
  return value_of(kSources, name, "source of regions");
}

void fit_to_tower(const Cloc& vision, MllmSettings& settings) {
  const ModelConfig& tower = vision->config();
  const int64_t layers = tower.vision.layers;
  if (settings.vision_layer > layers || settings.vision_layer < -layers - 1) {
    throw Error::input("the tower has " + std::to_string(layers) + " blocks, not layer " +
                           std::to_string(settings.vision_layer),
                       "setting 'layer'", "-1 is the last one, -2 the one before");
  }
  MllmConfig& model = settings.model;
  if (tower.vision.patches() >= model.language.context_length) {
    throw Error::input("a picture of " + std::to_string(tower.vision.patches()) +
                           " tokens leaves no room in a context of " +
                           std::to_string(model.language.context_length),
                       "setting 'context_length'", "give a longer one, 512 is usual");
  }
  model.token_width = tower.vision.width;
  if (model.region_source != RegionSource::kEmbedding) return;
  if (!tower.region_part) {
    throw Error::input("the tower has no Prompter", "setting 'region_source=prompter'",
                       "use a tower that was trained as a CLOC, or another source of regions");
  }
  model.embedding_width = tower.embed_dim;
}

MllmModel new_mllm(Cloc vision, std::shared_ptr<const Tokenizer> tokenizer, MllmSettings settings) {
  fit_to_tower(vision, settings);
  settings.model.language.vocab_size = tokenizer->vocab_size();
  settings.model.image_id = symbol_id(*tokenizer, kImageSymbol);
  settings.model.region_id = symbol_id(*tokenizer, kRegionSymbol);
  MllmModel model;
  model.vision = std::move(vision);
  model.tokenizer = std::move(tokenizer);
  model.reader = Mllm(settings.model);
  model.settings = std::move(settings);
  return model;
}

NamedTensors reader_weights(const MllmModel& model) {
  NamedTensors weights;
  for (const auto& item : model.reader->named_parameters())
    weights.emplace_back(item.key(), item.value());
  return weights;
}

Json mllm_settings_json(const MllmSettings& settings) {
  const MllmConfig& model = settings.model;
  Json rounds = Json::array();
  for (const auto& round : model.sampler.rounds) rounds.push_back({round.kept, round.neighbours});
  return {{"format", kFormat},
          {"language",
           {{"vocab_size", model.language.vocab_size},
            {"context_length", model.language.context_length},
            {"width", model.language.width},
            {"layers", model.language.layers},
            {"heads", model.language.heads}}},
          {"image_id", model.image_id},  // as the tokenizer has them: for other readers
          {"region_id", model.region_id},
          {"region_source", to_string(model.region_source)},
          {"sampler", {{"points", model.sampler.points}, {"rounds", rounds}}},
          {"frame", to_string(settings.frame)},
          {"vision_layer", settings.vision_layer},
          {"blind", settings.blind}};
}

MllmSettings mllm_settings_from_json(const Json& json, const std::string& where) {
  if (json_int(json, "format", where, 0) != kFormat)
    throw Error::input("a multimodal language model of another version of opencloc", where,
                       "use the version that wrote it");
  MllmSettings settings;
  const Json& language = json_at(json, "language", where);
  auto& words = settings.model.language;
  words.vocab_size = json_int(language, "vocab_size", where, 0);
  words.context_length = json_int(language, "context_length", where, 0);
  words.width = json_int(language, "width", where, 0);
  words.layers = json_int(language, "layers", where, 0);
  words.heads = json_int(language, "heads", where, 0);
  const bool sound = words.vocab_size > 0 && words.context_length > 0 && words.width > 0 &&
                     words.layers > 0 && words.heads > 0 && words.width % words.heads == 0;
  if (!sound)
    throw Error::input("sizes of a language model that cannot be", where,
                       "take the file from the directory that training wrote");
  settings.model.region_source =
      parse_region_source(json_string(json, "region_source", where, "none"));
  const Json& sampler = json_at(json, "sampler", where);
  settings.model.sampler.points = json_int(sampler, "points", where, 0);
  settings.model.sampler.rounds.clear();
  for (const Json& round : json_at(sampler, "rounds", where)) {
    if (!round.is_array() || round.size() != 2 || !round[0].is_number_integer() ||
        !round[1].is_number_integer())
      throw Error::input("a round of the sampler is not two numbers", where,
                         "give [points kept, neighbours of each]");
    settings.model.sampler.rounds.push_back({round[0].get<int64_t>(), round[1].get<int64_t>()});
  }
  settings.frame = parse_frame(json_string(json, "frame", where, "ferret"));
  settings.vision_layer = json_int(json, "vision_layer", where, -2);
  settings.blind = json_bool(json, "blind", where, false);
  return settings;
}

void save_mllm(const fs::path& folder, const MllmModel& model, const Json& about) {
  write_folder(folder, [&](const fs::path& into) {
    SaveOptions vision;
    vision.region_heads = model.vision->config().region_part;
    save_model(into / kVision, model.vision, vision);
    Json json = mllm_settings_json(model.settings);
    json["about"] = about;
    write_file(into / kConfigFile, dump_json(json, 2) + '\n');
    write_safetensors(into / kWeightsFile, reader_weights(model), {{"format", "pt"}});
    for (const auto& file : model.tokenizer->files()) write_file(into / file.name, file.bytes);
  });
}

MllmModel load_mllm(const fs::path& folder) {
  const fs::path config = folder / kConfigFile;
  if (!fs::exists(config)) {
    throw Error::input("no multimodal language model (" + std::string(kConfigFile) + " is missing)",
                       folder.string(), "name the 'model' folder of an 'opencloc mllm train' run");
  }
  const Json json = read_json(config);
  MllmSettings settings = mllm_settings_from_json(json, config.string());
  auto tokenizer = load_tokenizer(folder);
  if (tokenizer->vocab_size() != settings.model.language.vocab_size) {
    throw Error::input("the tokenizer has " + std::to_string(tokenizer->vocab_size()) +
                           " ids, the language model " +
                           std::to_string(settings.model.language.vocab_size),
                       folder.string(), "take both from the same directory");
  }
  MllmModel model = new_mllm(load_model(folder / kVision).model, std::move(tokenizer), settings);
  load_weights(open_weights(folder / kWeightsFile), reader_weights(model), stored_plainly,
               ignore_none);
  model.about = json.contains("about") ? json["about"] : Json::object();
  return model;
}

torch::Tensor embed_sequences(MllmModel& model, const Batch& batch, FrozenParts frozen) {
  ImageFeatures features;
  {
    const torch::AutoGradMode learns(!frozen.tower && torch::GradMode::is_enabled());
    features = model.vision->encode_image(batch.pixels, {model.settings.vision_layer});
  }
  auto tokens = patch_tokens(features.hidden).to(torch::kFloat);  // [B, N, D]
  if (model.settings.blind) tokens = torch::zeros_like(tokens);
  const ComputeScope scope(model.vision->precision(), model.vision->backend());
  const MllmRegions regions = regions_of(model, features, batch, frozen.tower && frozen.regions);
  return model.reader->embed(batch.sequence_ids, tokens, regions);
}

torch::Tensor read_sequences(MllmModel& model, const Batch& batch, FrozenParts frozen) {
  const auto embeddings = embed_sequences(model, batch, frozen);
  const ComputeScope scope(model.vision->precision(), model.vision->backend());
  return model.reader->language_model(embeddings);
}

}  // namespace opencloc
