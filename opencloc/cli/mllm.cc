// `opencloc mllm`: a multimodal language model that sees through a tower of ours.
#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>
#include <tuple>
#include <vector>

#include "opencloc/base/error.h"
#include "opencloc/base/files.h"
#include "opencloc/base/log.h"
#include "opencloc/cli/outputs.h"
#include "opencloc/cli/run_flags.h"
#include "opencloc/mllm/answers.h"
#include "opencloc/mllm/evaluate.h"
#include "opencloc/mllm/gguf_export.h"
#include "opencloc/mllm/llava_export.h"
#include "opencloc/mllm/question.h"
#include "opencloc/mllm/report_answers.h"
#include "opencloc/mllm/trainer.h"
#include "opencloc/model/device.h"

namespace opencloc::cli {
namespace {

struct MllmTrainFlags : RunFlags {
  MllmTrainConfig config;
  std::string language = "4x192", region_source = "sampler", frame = "ferret",
              sampler = "512/128/32/24";
};

void add_model_flags(CLI::App& app, MllmTrainFlags& flags) {
  auto& config = flags.config;
  const char* group = "Model";
  auto* vision = app.add_option("--vision", config.vision, "model directory of the image tower");
  vision->group(group);
  auto* init =
      app.add_option("--init", config.init,
                     "multimodal model to go on from, in place of --vision and what is said below");
  init->excludes(vision)->group(group);
  app.add_option("--lm", flags.language, "language model, LAYERSxWIDTH, trained from scratch")
      ->capture_default_str()
      ->excludes(init)
      ->group(group);
  app.add_option("--context-length", config.settings.model.language.context_length,
                 "places of a sequence, the picture's included")
      ->check(CLI::Range(16, 1 << 20))
      ->default_val(512)
      ->excludes(init)
      ->group(group);
  app.add_option("--vocab-size", config.vocab_size,
                 "of the tokenizer, at most; it is built from the dialogues")
      ->check(CLI::Range(300, 1'000'000))
      ->capture_default_str()
      ->excludes(init)
      ->group(group);
  app.add_option("--region-source", flags.region_source,
                 "what a region of a question is, beside its numbers: none, mean (of its tokens), "
                 "sampler (Ferret's), prompter (CLOC's)")
      ->check(CLI::IsMember({"none", "mean", "sampler", "prompter"}))
      ->capture_default_str()
      ->excludes(init)
      ->group(group);
  app.add_option("--sampler", flags.sampler,
                 "sizes of the sampler: points, points kept after each round, neighbours")
      ->type_name("POINTS/KEPT/KEPT/NEIGHBOURS")
      ->capture_default_str()
      ->excludes(init)
      ->group(group);
  app.add_option("--layer", config.settings.vision_layer,
                 "whose tokens are read: -1 the last block's, -2 those before it, as LLaVA does")
      ->capture_default_str()
      ->excludes(init)
      ->group(group);
  app.add_option("--frame", flags.frame, "how boxes are written: ferret or llava")
      ->check(CLI::IsMember({"ferret", "llava"}))
      ->capture_default_str()
      ->excludes(init)
      ->group(group);
  app.add_flag("--blind", config.settings.blind,
               "experiments: the picture's tokens are zeros, only words answer")
      ->excludes(init)
      ->group(group);
}

void add_what_learns_flags(CLI::App& app, MllmTrainFlags& flags) {
  auto& config = flags.config;
  const char* group = "What learns";
  app.add_flag("--projector-only", config.projector_only,
               "the language model is frozen (LLaVA's first stage)")
      ->group(group);
  app.add_flag("--unlock-vision", config.unlock_vision, "the image tower learns, too")
      ->group(group);
  app.add_option("--vision-lr-scale", config.vision_lr_scale,
                 "learning rate of the image tower beside the rest")
      ->check(positive())
      ->capture_default_str()
      ->group(group);
  app.add_flag("--train-prompter", config.train_prompter,
               "with --region-source prompter: it learns, too (CLOC*)")
      ->group(group);
}

int64_t whole_number(const std::string& text, const std::string& flag, const std::string& value) {
  try {
    size_t end = 0;
    const long long number = std::stoll(text, &end);
    if (end == text.size() && number > 0) return number;
  } catch (const std::exception&) {  // said below
  }
  throw Error::input("'" + text + "' is no whole number above 0", flag + " " + value,
                     "see 'opencloc mllm train --help'");
}

std::vector<std::string> split(const std::string& text, char at) {
  std::vector<std::string> parts{""};
  for (const char c : text) {
    if (c == at) {
      parts.emplace_back();
    } else {
      parts.back() += c;
    }
  }
  return parts;
}

// "4x192": heads of 64 where the width allows it, as GPT-2, else of 32 or 16.
void set_language(const std::string& text, LanguageConfig& language) {
  std::tie(language.layers, language.width) = layers_by_width(text, "--lm");
  for (const int64_t head : {64, 32, 16}) {
    if (language.width % head != 0) continue;
    language.heads = language.width / head;
    return;
  }
  throw Error::input(
      "a width of " + std::to_string(language.width) + " has no heads of 64, 32 or 16",
      "--lm " + text, "give a width that 16 divides");
}

void set_sampler(const std::string& text, RegionSamplerConfig& sampler) {
  const auto sizes = split(text, '/');
  if (sizes.size() != 4)
    throw Error::input("'" + text + "' is no size of a sampler", "--sampler",
                       "give four numbers, e.g. 512/128/32/24 (Ferret's)");
  std::vector<int64_t> numbers;
  for (const auto& size : sizes) numbers.push_back(whole_number(size, "--sampler", text));
  sampler.points = numbers[0];
  sampler.rounds = {{numbers[1], numbers[3]}, {numbers[2], numbers[3]}};
  if (numbers[1] > numbers[0] || numbers[2] > numbers[1] || numbers[3] > numbers[1])
    throw Error::input("a sampler that keeps more than there is", "--sampler " + text,
                       "keep at most the points there are, with at most as many neighbours as the "
                       "first round keeps");
}

MllmTrainConfig mllm_config(const MllmTrainFlags& flags, int local_rank) {
  MllmTrainConfig config = flags.config;
  apply_run_flags(flags, local_rank, config);
  auto& model = config.settings.model;
  set_language(flags.language, model.language);
  set_sampler(flags.sampler, model.sampler);
  model.region_source = parse_region_source(flags.region_source);
  config.settings.frame = parse_frame(flags.frame);
  if (config.val.empty()) return config;
  MllmEvalOptions options;
  if (!flags.eval_tasks.empty()) options.tasks = split(flags.eval_tasks, ',');
  for (const auto& task : options.tasks) check_scored_task(task);
  options.max_samples = flags.eval_samples;
  options.threads = thread_count(flags.common);
  options.skip_bad_shards = config.skip_bad_shards;
  options.progress = false;
  config.evaluate = [options, data = config.val](MllmModel& trained, int64_t step,
                                                 dist::Group& group) {
    Json results = Json::object();
    group.first_alone("answering", [&] {
      results = evaluate_mllm(trained, data, options);
      log::info("after step {}:\n{}", step, mllm_results_table(results));
    });
    return results;
  };
  return config;
}

void add_mllm_train(CLI::App& app) {
  const auto flags = std::make_shared<MllmTrainFlags>();
  flags->config.lr = 1e-3;
  flags->config.batch_size = 32;
  flags->config.adamw.weight_decay = 0.1;
  add_source_flags(app, flags->config);
  app.add_option("--dialogues", flags->config.dialogues,
                 "of a picture that are read at a time, drawn anew each time; 0 = all")
      ->check(not_negative())
      ->capture_default_str()
      ->group("Data");
  add_model_flags(app, *flags);
  add_what_learns_flags(app, *flags);
  add_optimisation_flags(app, *flags, flags->config);
  add_folder_flags(app, *flags, flags->config);
  add_exchange_flags(app, *flags, flags->config);
  add_dist_flags(app, flags->dist, Exchanged::kOnDevice);
  add_common_flags(app, flags->common);
  app.footer(R"(Example:
  opencloc data dialogues --data scenes --out talking
  opencloc mllm train --vision runs/demo/model --data talking --region-source prompter \
    --steps 1000 --out runs/reader
  # killed or interrupted? the same command goes on where it stood
  opencloc mllm eval runs/reader/model --data talking-val

The run directory holds model/, checkpoints/, metrics.jsonl, config.toml and report.html
(docs/guide/mllm.md).)");
  app.callback([flags, &app] {
    check_output_folder("--out", flags->out, {flags->config.data, flags->config.vision});
    const dist::Place place = place_of(flags->dist);
    MllmTrainConfig config = mllm_config(*flags, place.local_rank);
    config.effective = effective_flags(app);
    run_in_job(*flags, place, config,
               [&](dist::Group& group) { return train_mllm(config, group); });
  });
}

// Flags of a model that answers.
struct AskFlags {
  CommonFlags common;
  std::string model, precision = "fp32";
  AnswerOptions answers;
  bool json = false;
};

void add_asking_flags(CLI::App& app, AskFlags& flags) {
  app.add_option("MODEL", flags.model, "the 'model' folder of an 'opencloc mllm train' run")
      ->required();
  app.add_option("--max-ids", flags.answers.max_ids, "of an answer, which is cut off there")
      ->check(positive())
      ->capture_default_str();
  app.add_option("--precision", flags.precision, "of matrix products: fp32 or bf16")
      ->check(CLI::IsMember({"fp32", "bf16"}))
      ->capture_default_str();
  app.add_flag("--json", flags.json, "print JSON");
}

MllmModel open_model(const AskFlags& flags) {
  MllmModel model = load_mllm(flags.model);
  model.to(parse_device(flags.common.device));
  model.set_backend(parse_backend(flags.common.backend));
  model.set_precision(parse_precision(flags.precision));
  return model;
}

struct MllmEvalFlags : AskFlags {
  std::string data, out, answers_file;
  std::vector<std::string> tasks;
  MllmEvalOptions options;
};

void add_mllm_eval(CLI::App& app) {
  const auto flags = std::make_shared<MllmEvalFlags>();
  add_asking_flags(app, *flags);
  app.add_option("--data", flags->data, "shards with dialogues; several patterns joined by ::")
      ->required();
  app.add_option("--tasks", flags->tasks,
                 "of refer,point,name,ground,ground_many,exists,count,"
                 "relation; without it all that are there")
      ->delimiter(',');
  app.add_option("--max-samples", flags->options.max_samples, "pictures, at most; 0 = all")
      ->check(not_negative())
      ->capture_default_str();
  app.add_option("--batch-size", flags->answers.batch, "questions of one length at a time")
      ->check(positive())
      ->capture_default_str();
  app.add_flag("--skip-bad-shards", flags->options.skip_bad_shards,
               "count shards that cannot be read instead of failing");
  app.add_option("--out", flags->out, "also write the JSON to this file");
  app.add_option("--answers", flags->answers_file,
                 "also write every question with its answer to this file, as JSON lines");
  add_cache_flags(app);
  add_common_flags(app, flags->common);
  app.footer(R"(Example:
  opencloc data dialogues --data scenes-val --order alternating --out test
  opencloc mllm eval runs/reader/model --data test --json

Referring is scored by Ferret's rule and by a strict one, grounding at an IoU of 0.5 beside a box
that never changes, existence as POPE does it (docs/reference/dialogues.md).)");
  app.callback([flags] {
    check_output_file("--out", flags->out, kJsonOutput, {flags->data});
    check_output_file("--answers", flags->answers_file, kJsonLinesOutput, {flags->data});
    make_parents(flags->answers_file);
    flags->options.answers_file = flags->answers_file;
    flags->options.tasks = flags->tasks;
    for (const auto& task : flags->tasks) check_scored_task(task);
    flags->options.threads = thread_count(flags->common);
    flags->options.answers = flags->answers;
    MllmModel model = open_model(*flags);
    const Json results = evaluate_mllm(model, flags->data, flags->options);
    const std::string text = dump_json(results, 2);
    if (!flags->out.empty()) {
      make_parents(flags->out);
      write_file(flags->out, text + '\n');
    }
    std::printf("%s", flags->json ? (text + '\n').c_str() : mllm_results_table(results).c_str());
  });
}

struct MllmAskFlags : AskFlags {
  std::string picture, question, html;
};

void print_answer(const MllmAskFlags& flags, const Answer& answer,
                  const std::vector<FoundBox>& boxes) {
  if (!flags.json) {
    std::printf("%s\n", answer.text.c_str());
    return;
  }
  Json found = Json::array();
  for (const auto& [phrase, box] : boxes)
    found.push_back({{"phrase", phrase}, {"box", {box.x0, box.y0, box.x1, box.y1}}});
  const Json json = {{"answer", answer.text}, {"boxes", found}, {"ended", answer.ended}};
  std::printf("%s\n", dump_json(json).c_str());
}

void add_mllm_ask(CLI::App& app) {
  const auto flags = std::make_shared<MllmAskFlags>();
  add_asking_flags(app, *flags);
  app.add_option("PICTURE", flags->picture, "a picture's file")->required();
  app.add_option("QUESTION", flags->question,
                 "may point at boxes [x0, y0, x1, y1] and points [x, y], in the model's frame: "
                 "thousandths of the picture (ferret), shares of its padded square (llava)")
      ->required();
  app.add_option("--html", flags->html, "also write a page with the picture and the boxes");
  add_common_flags(app, flags->common);
  app.footer(R"(Example:
  opencloc mllm ask runs/reader/model fox.jpg 'Where is the fox?' --html answer.html
  opencloc mllm ask runs/reader/model fox.jpg 'What is the object [120, 300, 580, 910]?')");
  app.callback([flags] {
    check_output_file("--html", flags->html, kPageOutput, {flags->picture});
    const auto picture =
        std::make_shared<Image>(Image::decode(read_file(flags->picture), flags->picture));
    MllmModel model = open_model(*flags);
    const PictureSize size{picture->width, picture->height};
    const FrameOptions frame{.frame = model.settings.frame};
    const Dialogue dialogue = parse_question(flags->question, size, frame);
    const Answer answer = opencloc::answer(model, {{dialogue, picture}}, flags->answers).front();
    if (!answer.ended) log::warn("the answer has no end: it was cut off");
    print_answer(*flags, answer, find_boxes(answer.text, size, frame));
    if (flags->html.empty()) return;
    make_parents(flags->html);
    write_file(
        flags->html,
        pictures_html("Answer", {answered_picture(model, *picture, {dialogue}, {answer.text})}));
  });
}

void add_mllm_export(CLI::App& app) {
  struct Flags {
    std::string model, out, to = "hf", dtype = "f32";
    bool overwrite = false;
  };
  const auto flags = std::make_shared<Flags>();
  app.add_option("MODEL", flags->model, "the 'model' folder of an 'opencloc mllm train' run")
      ->required();
  app.add_option("--out", flags->out, "folder to write")->required();
  app.add_option("--to", flags->to,
                 "hf: transformers' LLaVA. gguf: llama.cpp's two files, model.gguf and mmproj.gguf")
      ->check(CLI::IsMember({"hf", "gguf"}))
      ->capture_default_str();
  app.add_option("--dtype", flags->dtype, "gguf: how matrices are stored")
      ->check(CLI::IsMember({"f32", "f16", "bf16", "q8_0"}))
      ->capture_default_str();
  app.add_flag("--overwrite", flags->overwrite, "replace an earlier folder");
  add_config_flag(app);
  app.footer(R"(Example:
  opencloc mllm export runs/reader/model --out reader-llava
  # transformers.LlavaForConditionalGeneration.from_pretrained("reader-llava")
  opencloc mllm export runs/reader/model --to gguf --out reader-gguf
  # llama-mtmd-cli -m reader-gguf/model.gguf --mmproj reader-gguf/mmproj.gguf --image fox.jpg

A model with a source of regions answers there, too, as long as no question has a <region>.)");
  app.callback([flags] {
    check_output_folder("--out", flags->out, {flags->model});
    if (std::filesystem::exists(flags->out) && !flags->overwrite)
      throw Error::input("the folder is there already", flags->out,
                         "name another one, or replace it with --overwrite");
    if (flags->to == "hf" && flags->dtype != "f32")
      throw Error::input("transformers' LLaVA is written as f32", "--dtype " + flags->dtype,
                         "leave it out, or use --to gguf");
    const MllmModel model = load_mllm(flags->model);
    if (flags->to == "gguf") {
      export_gguf(flags->out, model, dtype_from(flags->dtype));
    } else {
      export_llava(flags->out, model);
    }
    std::printf("%s\n", flags->out.c_str());
  });
}

}  // namespace

void add_mllm(CLI::App& app) {
  app.require_subcommand(1);
  add_mllm_train(
      *app.add_subcommand("train", "Train a language model that reads a tower's tokens"));
  add_mllm_eval(*app.add_subcommand("eval", "Score answers: referring, grounding, existence, ..."));
  add_mllm_ask(*app.add_subcommand("ask", "Ask about a picture"));
  add_mllm_export(*app.add_subcommand("export", "Write it for transformers or llama.cpp"));
  app.footer(R"(Example:
  opencloc data dialogues --data scenes --out talking
  opencloc mllm train --vision runs/demo/model --data talking --steps 1000 --out runs/reader
  opencloc mllm ask runs/reader/model fox.jpg 'Where is the fox?')");
}

}  // namespace opencloc::cli
