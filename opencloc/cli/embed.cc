// `opencloc embed`: pictures, texts and regions to embeddings in a safetensors file.
#include <cstdio>
#include <filesystem>
#include <memory>
#include <optional>
#include <utility>

#include "opencloc/base/error.h"
#include "opencloc/base/log.h"
#include "opencloc/base/progress.h"
#include "opencloc/cli/box_file.h"
#include "opencloc/cli/dist_flags.h"
#include "opencloc/cli/outputs.h"
#include "opencloc/cli/verb.h"
#include "opencloc/data/shard/shard_writer.h"
#include "opencloc/encode/count_of_all.h"
#include "opencloc/encode/embedder.h"
#include "opencloc/encode/wire.h"
#include "opencloc/model/clip/resize.h"
#include "opencloc/model/device.h"

namespace opencloc::cli {
namespace {

constexpr const char* kFeatureExtension = "safetensors";

struct EmbedFlags {
  CommonFlags common;
  DistFlags dist;
  std::string model;
  std::string architecture;
  std::string tokenizer;
  std::vector<std::string> images;
  std::string data;
  std::string texts;
  std::string boxes;
  std::string tensors;
  std::string out;
  std::string precision = "fp32";
  bool skip_bad_shards = false;
  bool jpeg_draft = false;
  bool json = false;
  std::string tokens;
  std::string append_to;
  int64_t image_size = 0;
  EmbedderOptions options;
};

void check_flags(const EmbedFlags& flags) {
  const bool pictures = !flags.images.empty() || !flags.data.empty() || !flags.boxes.empty();
  const bool other = pictures || !flags.texts.empty();
  if (!other && flags.tensors.empty()) {
    throw Error::input("nothing to embed", "embed",
                       "give --images, --data, --texts, --boxes or --tensors");
  }
  if (other && !flags.tensors.empty()) {
    throw Error::input("--tensors are ready inputs and stand alone", "embed",
                       "run the other inputs by themselves");
  }
  if (flags.append_to.empty() == flags.out.empty()) {
    throw Error::input(
        flags.out.empty() ? "the result goes nowhere" : "the result goes to two places",
        "--out, --append-to", "give one of the two");
  }
  const bool data_alone =
      flags.images.empty() && flags.boxes.empty() && flags.texts.empty() && flags.tensors.empty();
  if (!flags.append_to.empty() && !data_alone) {
    throw Error::input("features are appended to the shards of --data alone", "--append-to",
                       "give the other inputs an --out");
  }
  if (flags.options.penultimate && flags.options.layer != -2) {
    throw Error::input("--penultimate is layer -2", "--layer", "leave --penultimate out");
  }
}

void check_outputs(const EmbedFlags& flags) {
  std::vector<std::string> inputs = flags.images;
  inputs.insert(inputs.end(), {flags.model, flags.texts, flags.boxes, flags.tensors, flags.data});
  check_output_file("--out", flags.out, kSafetensorsOutput, inputs);
  check_output_folder("--append-to", flags.append_to, {flags.data, flags.model});
}

// --layer alone means LLaVA's choice of its tokens.
Tokens token_choice(const EmbedFlags& flags) {
  if (flags.tokens == "patch") return Tokens::kPatch;
  if (flags.tokens == "cls_patch") return Tokens::kClassAndPatch;
  if (flags.tokens == "regions") return Tokens::kRegions;
  return flags.options.layer != -2 ? Tokens::kPatch : Tokens::kNone;
}

LoadedModel load(const EmbedFlags& flags) {
  LoadedModel loaded = load_model(flags.model, {flags.architecture});
  if (flags.image_size > 0) loaded.model = with_image_size(loaded.model, flags.image_size);
  if (!flags.tokenizer.empty()) {
    if (!std::filesystem::exists(flags.tokenizer))
      throw Error::input("no such tokenizer", flags.tokenizer, "check the path");
    loaded.tokenizer = load_tokenizer(flags.tokenizer);
    check_tokenizer(loaded.model->config().text, *loaded.tokenizer, flags.tokenizer);
  }
  return loaded;
}

// Every sample goes on with its features as one more member, KEY.safetensors; a broken one as it
// is. Rank 0 writes those of all processes, whose `shards` are null.
void append_features(std::vector<SourcePicture>& batch, Embedder& embedder, dist::Group& group,
                     ShardSetWriter* shards) {
  const auto features = embedder.take_features(static_cast<int64_t>(batch.size()));
  std::vector<std::string> records;
  for (size_t i = 0; i < batch.size(); ++i) {
    Record& record = *batch[i].record;
    std::erase_if(record.others,
                  [](const Member& member) { return member.extension == kFeatureExtension; });
    if (!features[i].empty())
      record.others.push_back({kFeatureExtension, safetensors_bytes(features[i])});
    if (shards != nullptr) {
      shards->write(record);
    } else {
      records.push_back(pack_record(record));
    }
  }
  group.collect(pack(records), [&](int /*rank*/, const std::string& bytes) {
    for (const auto& record : unpack(bytes)) shards->write(unpack_record(record));
  });
}

std::vector<std::string> captions_of(const std::vector<SourcePicture>& batch) {
  std::vector<std::string> captions;
  for (const auto& picture : batch) {
    if (picture.from_data && picture.pixels.defined())
      captions.emplace_back(image_text(*picture.record));
  }
  return captions;
}

// One batch of every process; false at the end, which all of them reach together.
bool next_round(PictureSource& source, dist::Group& group, SkipCounter& skips,
                std::vector<SourcePicture>& own) {
  PictureBatch batch = source.next();
  for (auto& one : batch.skipped) skips.add(std::move(one));
  own = std::move(batch.pictures);
  auto last = torch::full({1}, int64_t{batch.last}, torch::kInt64);
  group.max(last);
  return last.item<int64_t>() == 0;
}

void embed_pictures(const EmbedFlags& flags, const LoadedModel& loaded, Embedder& embedder,
                    dist::Group& group, SkipCounter& skips) {
  std::vector<PictureFile> files;
  for (const auto& path : flags.images) files.push_back({path, {}});
  if (!flags.boxes.empty()) add_boxes(flags.boxes, files);
  if (files.empty() && flags.data.empty()) return;
  const bool append = !flags.append_to.empty();
  const PictureSourceOptions options{.batch_size = flags.options.batch_size,
                                     .deal = {group.rank(), group.size()},
                                     .workers = thread_count(flags.common),
                                     .skip_bad_shards = flags.skip_bad_shards,
                                     .keep_records = append,
                                     .jpeg_draft = flags.jpeg_draft};
  std::unique_ptr<ShardSetWriter> shards;
  if (append && group.is_first()) shards = std::make_unique<ShardSetWriter>(flags.append_to);
  PictureSource source(std::move(files), flags.data, loaded.model->config(), options, skips);
  const bool captions = loaded.tokenizer && !append;
  if (!flags.data.empty() && !captions && !append)
    log::warn("the model has no tokenizer: the captions of the data are left out");
  std::optional<ProgressBar> bar;
  if (group.is_first()) bar.emplace("embed", source.expected(), "images");
  std::vector<SourcePicture> batch;
  int64_t shown = 0;
  for (bool more = true; more;) {
    more = next_round(source, group, skips, batch);
    const auto texts = captions ? captions_of(batch) : std::vector<std::string>();
    embedder.begin_round(batch, texts.size());
    embedder.add_pictures(batch);
    embedder.add_texts(texts);
    if (append) append_features(batch, embedder, group, shards.get());
    embedder.end_round();
    const int64_t done = embedder.pictures() + embedder.skipped_pictures();
    if (bar) bar->advance(done - std::exchange(shown, done));
  }
  count_of_all(group, skips);
  if (embedder.pictures() == 0) {
    throw Error::input("not one picture could be read",
                       flags.data.empty() ? "--images" : flags.data, "see the warnings above");
  }
  group.first_alone("writing the shards", [&] {
    if (append) shards->commit();
  });
}

void embed_tensors(const std::string& path, Embedder& embedder) {
  const SafetensorsFile file(path);
  const auto get = [&](const char* name) {
    return file.find(name) != nullptr ? file.tensor(name) : torch::Tensor();
  };
  const auto pixels = get("pixel_values"), ids = get("input_ids");
  if (!pixels.defined() && !ids.defined())
    throw Error::input("neither pixel_values nor input_ids", path, "store one of the two");
  embedder.add_tensors(pixels, ids, path);
}

// The row list first: once the tensors are there, what they mean is there too. Tensors of an
// earlier run are removed before: they would be read with rows that are not theirs.
void write_results(const EmbedFlags& flags, const Embedder& embedder) {
  if (flags.out.empty()) return;
  make_parents(flags.out);
  const std::string rows = flags.out + ".rows.jsonl";
  std::error_code ignored;  // a name that cannot be removed cannot be written either
  std::filesystem::remove(flags.out, ignored);
  std::filesystem::remove(rows, ignored);
  if (!embedder.row_list().empty()) write_file(rows, embedder.row_list());
  TensorMetadata metadata = {{"format", "pt"},
                             {"model", flags.model},
                             {"opencloc_version", OPENCLOC_VERSION},
                             {"precision", flags.precision}};
  if (embedder.regions() > 0) metadata.emplace_back("region_method", embedder.region_method());
  write_safetensors(flags.out, embedder.tensors(), metadata);
}

void report(const EmbedFlags& flags, const Embedder& embedder, const SkipCounter& skips) {
  const auto& cut = embedder.truncation();
  const std::string& out = flags.out.empty() ? flags.append_to : flags.out;
  const std::string named = flags.out.empty() ? "" : ", named in " + flags.out + ".rows.jsonl";
  if (cut.texts_cut() > 0) log::warn("{}", cut.summary());
  if (embedder.skipped_pictures() > 0)
    log::warn("{} broken pictures were skipped{}", embedder.skipped_pictures(), named);
  if (embedder.skipped_regions() > 0)
    log::warn("{} regions lie off the model's canvas{}", embedder.skipped_regions(), named);
  if (skips.total() > 0) log::warn("{}", skips.summary());
  if (!flags.json) {
    std::printf("%s: %lld images, %lld texts, %lld regions; %lld images skipped\n", out.c_str(),
                static_cast<long long>(embedder.pictures()),
                static_cast<long long>(embedder.texts()),
                static_cast<long long>(embedder.regions()),
                static_cast<long long>(embedder.skipped_pictures()) +
                    static_cast<long long>(skips.total()));
    return;
  }
  Json result;
  result["out"] = out;
  result["images"] = embedder.pictures();
  result["texts"] = embedder.texts();
  result["regions"] = embedder.regions();
  result["skipped_images"] = embedder.skipped_pictures();
  result["skipped_regions"] = embedder.skipped_regions();
  result["skipped_samples"] = skips.json();
  result["truncated_texts"] = cut.texts_cut();
  std::printf("%s\n", dump_json(result).c_str());
}

void run_embed(const EmbedFlags& flags, torch::Device device, dist::Group& group) {
  check_flags(flags);
  if (group.is_first()) check_outputs(flags);
  LoadedModel loaded = load(flags);
  EmbedderOptions options = flags.options;
  options.device = device;
  options.tokens = token_choice(flags);
  options.penultimate |= !flags.tensors.empty() && options.tokens == Tokens::kNone;
  options.precision = parse_precision(flags.precision);
  options.group = &group;
  options.backend = parse_backend(flags.common.backend);
  Embedder embedder(loaded, options);
  SkipCounter skips;
  if (!flags.tensors.empty()) embed_tensors(flags.tensors, embedder);
  if (!flags.texts.empty()) embedder.add_texts_of_all(read_text_lines(flags.texts));
  embed_pictures(flags, loaded, embedder, group, skips);
  group.first_alone("writing the embeddings", [&] {
    write_results(flags, embedder);
    report(flags, embedder, skips);
  });
}

}  // namespace

void add_embed(CLI::App& app) {
  const auto flags = std::make_shared<EmbedFlags>();
  auto& options = flags->options;
  app.add_option("--model", flags->model, "model directory (open_clip or Hugging Face layout)")
      ->required();
  add_architecture_flag(app, flags->architecture);
  app.add_option("--out", flags->out,
                 "safetensors file to write; OUT.rows.jsonl says what is in it");
  app.add_option("--append-to", flags->append_to,
                 "folder for copies of the shards of --data instead, with the features of every "
                 "sample as a member KEY.safetensors");
  app.add_option("--images", flags->images, "picture files");
  app.add_option("--data", flags->data, "shards: their pictures, captions and regions");
  app.add_option("--texts", flags->texts, "file with one text a line");
  app.add_option("--boxes", flags->boxes,
                 "file with a region a line: {\"image\": PATH, \"box\": [x0, y0, x1, y1]}, the box "
                 "in [0, 1] of the picture");
  app.add_option("--tensors", flags->tensors,
                 "safetensors file with ready pixel_values and input_ids");
  app.add_option("--tokenizer", flags->tokenizer,
                 "tokenizer file or folder, for models that come without");
  app.add_flag("--save-inputs", options.save_inputs, "also write pixel_values and input_ids");
  app.add_flag("--penultimate", options.penultimate,
               "also write vision_penultimate_hidden, the second-to-last block's tokens (always "
               "with --tensors)");
  app.add_option("--tokens", flags->tokens,
                 "also write image_tokens: patch (without the class token) or cls_patch, of "
                 "--layer; or regions: region_tokens, the Prompter's output")
      ->check(CLI::IsMember({"patch", "cls_patch", "regions"}));
  app.add_option("--layer", options.layer,
                 "layer of image_tokens as transformers counts hidden_states: -1 the last block's, "
                 "-2 the one before (LLaVA), 0 what enters the first")
      ->capture_default_str();
  app.add_option("--image-size", flags->image_size,
                 "side of the pictures the model sees; position embeddings are interpolated")
      ->check(CLI::Range(1, 16384));
  app.add_option("--precision", flags->precision, "of matrix products")
      ->check(CLI::IsMember({"fp32", "bf16"}))
      ->capture_default_str();
  app.add_option("--batch-size", options.batch_size, "pictures or texts encoded at a time")
      ->check(positive())
      ->capture_default_str();
  app.add_option("--region-batch", options.region_batch,
                 "regions encoded at a time; 0 = 512, or 64 with pool all")
      ->check(not_negative())
      ->capture_default_str();
  app.add_flag(
      "--jpeg-draft", flags->jpeg_draft,
      "decode large JPEGs at 1/2, 1/4 or 1/8: faster, not exact (docs/reference/images.md)");
  app.add_flag("--skip-bad-shards", flags->skip_bad_shards,
               "count shards that cannot be read instead of failing");
  add_cache_flags(app);
  add_dist_flags(app, flags->dist);
  app.add_flag("--json", flags->json, "print the summary as JSON");
  add_device_flag(app, flags->common);
  add_threads_flag(app, flags->common);
  add_config_flag(app);
  app.footer(
      "Rows follow the inputs' order: texts as they come, --images, then pictures only --boxes\n"
      "names, then --data. A picture that does not decode has no row: image_index holds every\n"
      "row's number among the pictures, and OUT.rows.jsonl names rows and skipped pictures.\n\n"
      "Example:\n"
      "  opencloc embed --model runs/demo/model --images a.jpg b.jpg --texts names.txt \\\n"
      "    --out embeddings.safetensors\n"
      "  # what LLaVA reads, at 336 x 336, appended to shards\n"
      "  opencloc embed --model clip-b16 --data 'shards/*.tar' --layer -2 --tokens patch \\\n"
      "    --image-size 336 --append-to with-features");
  app.callback([flags, &app] {
    const dist::Place place = place_of(flags->dist);
    const auto device = parse_device(flags->common.device, place.local_rank);
    // What the processes exchange lies in main memory.
    in_job(flags->dist, place, torch::kCPU, [&](dist::Group& group) {
      require_same_flags(app, group);
      run_embed(*flags, device, group);
    });
  });
}

}  // namespace opencloc::cli
