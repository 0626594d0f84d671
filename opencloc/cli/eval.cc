// `opencloc eval`: the tasks of evaluation on a model directory.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <memory>
#include <string_view>
#include <utility>

#include "opencloc/base/error.h"
#include "opencloc/base/files.h"
#include "opencloc/base/text_file.h"
#include "opencloc/checkpoint/model_directory.h"
#include "opencloc/cli/dist_flags.h"
#include "opencloc/cli/outputs.h"
#include "opencloc/cli/verb.h"
#include "opencloc/eval/evaluate.h"
#include "opencloc/eval/protocol.h"
#include "opencloc/eval/templates.h"
#include "opencloc/model/clip/resize.h"
#include "opencloc/model/device.h"

namespace opencloc::cli {
namespace {

struct EvalFlags {
  CommonFlags common;
  DistFlags dist;
  std::string model;
  std::string architecture;
  std::string data;
  std::vector<std::string> tasks{"zeroshot", "retrieval", "region_recognition", "region_retrieval",
                                 "grounding"};
  std::vector<std::string> region_methods;
  std::string classes;
  std::string names_map;
  std::string templates;
  std::string region_templates = "none";
  std::string protocol;
  std::string resize_mode;
  std::string distractors = "none";
  std::string out;
  std::string precision = "fp32";
  std::string ground_by = "head";
  int64_t image_size = 0;
  bool json = false;
  EvalOptions options;
};

constexpr std::pair<const char*, CanvasRule> kResizeModes[] = {{"longest", CanvasRule::kLongest},
                                                               {"shortest", CanvasRule::kShortest},
                                                               {"squash", CanvasRule::kSquash},
                                                               {"corner", CanvasRule::kCorner}};

// --distractors: none, given, or a number of random ones beside the given ones.
int64_t parse_distractors(const std::string& text) {
  if (text == "none") return -1;
  if (text == "given") return 0;
  const auto number = parse_number(text);
  if (number && *number >= 0 && *number <= 10000 && *number == std::floor(*number))
    return static_cast<int64_t>(*number);
  throw Error::input("\"" + text + "\" is no number of boxes", "--distractors",
                     "use none, given, or how many random boxes a picture gets");
}

void take_classes(const EvalFlags& flags, EvalOptions& options) {
  ClassNames classes;
  if (!flags.names_map.empty()) {
    classes = read_names_map(flags.names_map);
  } else if (!flags.classes.empty()) {
    classes = load_classes(flags.classes);
  }
  options.classes = std::move(classes.names);
  options.class_labels = std::move(classes.labels);
}

// Settings of the protocol become flags, unless the flag was given. -> the settings that were.
std::vector<std::string> apply_protocol(CLI::App& app, const EvalFlags& flags) {
  std::vector<std::string> changed;
  const bool own_classes = !flags.names_map.empty();
  if (own_classes && !flags.classes.empty())
    throw Error::input("--names-map and --classes both give the names", "eval", "give one of them");
  if (flags.protocol.empty()) return changed;
  const Protocol& protocol = find_protocol(flags.protocol);
  for (const auto& [name, value] : protocol.settings) {
    std::string flag = std::string("--") + name;
    std::replace(flag.begin(), flag.end(), '_', '-');
    CLI::Option* option = app.get_option(flag);
    if (option->count() > 0 || (own_classes && flag == "--classes")) {
      changed.emplace_back(name);
      continue;
    }
    option->add_result(value);
    option->run_callback();
  }
  const auto is_quoted = [&](const std::string& task) {
    return std::any_of(protocol.headline.begin(), protocol.headline.end(),
                       [&](std::string_view path) { return path.starts_with(task + "/"); });
  };
  if (std::none_of(flags.tasks.begin(), flags.tasks.end(), is_quoted)) {
    throw Error::input(
        "the protocol " + flags.protocol + " quotes figures of another task than --tasks",
        "--protocol", "leave --tasks out");
  }
  return changed;
}

EvalOptions options_of(const EvalFlags& flags, const LoadedModel& loaded) {
  EvalOptions options = flags.options;
  options.region_heads = loaded.has_region_heads;
  options.workers = thread_count(flags.common);
  options.ground_by_search = flags.ground_by == "search";
  options.tasks.clear();
  for (const auto& name : flags.tasks) options.tasks.push_back(parse_task(name));
  if (flags.region_methods == std::vector<std::string>{"all"}) {
    options.region_methods = available_methods(loaded.model->config(), options.region_heads);
  } else {
    for (const auto& name : flags.region_methods) {
      options.region_methods.push_back(parse_region_method(name));
    }
  }
  take_classes(flags, options);
  options.region_templates = load_templates(flags.region_templates);
  options.boxes.distractors = parse_distractors(flags.distractors);
  options.boxes.seed = options.seed;
  if (!flags.templates.empty()) options.templates = load_templates(flags.templates);
  return options;
}

void run_eval(const EvalFlags& flags, const std::vector<std::string>& changed, torch::Device device,
              dist::Group& group) {
  if (group.is_first())
    check_output_file("--out", flags.out, kJsonOutput,
                      {flags.model, flags.data, flags.options.train_data, flags.classes,
                       flags.templates, flags.region_templates, flags.names_map});
  LoadedModel loaded = load_model(flags.model, {flags.architecture});
  if (!loaded.tokenizer) {
    throw Error::input("the model has no tokenizer", flags.model,
                       "put its tokenizer files into the folder");
  }
  if (flags.image_size > 0) loaded.model = with_image_size(loaded.model, flags.image_size);
  for (const auto& [name, rule] : kResizeModes)
    if (flags.resize_mode == name) loaded.model->set_resize_mode(rule);
  EvalOptions options = options_of(flags, loaded);
  options.group = &group;
  loaded.model->to(device);
  loaded.model->set_precision(parse_precision(flags.precision));
  loaded.model->set_backend(parse_backend(flags.common.backend));

  Json results = evaluate(loaded.model, *loaded.tokenizer, flags.data, options);
  if (!group.is_first()) return;
  results["model"] = flags.model;
  results["data"] = flags.data;
  if (!options.train_data.empty()) results["train_data"] = options.train_data;
  results["precision"] = flags.precision;
  results["region_text"] = options.region_text;
  results["image_size"] = loaded.model->config().vision.image_size;
  results["image_resize_mode"] = to_string(loaded.model->config().preprocess.resize_mode);
  if (!flags.protocol.empty())
    results["protocol"] = protocol_report(find_protocol(flags.protocol), changed, results);
  const std::string text = dump_json(results, 2) + "\n";
  if (!flags.out.empty()) write_file(flags.out, text);
  std::fputs((flags.json ? text : results_table(results)).c_str(), stdout);
}

}  // namespace

void add_eval(CLI::App& app) {
  const auto flags = std::make_shared<EvalFlags>();
  auto& options = flags->options;
  app.add_option("--model", flags->model, "Model directory")->type_name("DIR")->required();
  add_architecture_flag(app, flags->architecture);
  app.add_option("--data", flags->data, "Shards: GLOB[::GLOB...], {000..123}, or a folder")
      ->type_name("GLOB")
      ->required();
  std::string names;
  for (const auto& protocol : protocols())
    names += (names.empty() ? "" : ", ") + std::string(protocol.name);
  app.add_option(
         "--protocol", flags->protocol,
         "A published evaluation, which sets what it fixes where the flag is not given: " + names)
      ->type_name("NAME");
  app.add_option("--tasks", flags->tasks,
                 "By comma; without it the five that compare with texts: zeroshot, retrieval, "
                 "region_recognition, region_retrieval, grounding. Also: choice, "
                 "object_retrieval. Of pictures only: instance_retrieval, knn, linear_probe")
      ->delimiter(',')
      ->type_name("NAME,...");
  app.add_option(
         "--train-data", options.train_data,
         "Shards that knn and linear_probe learn from, named as --data; without it knn asks "
         "for every picture of --data among the others")
      ->type_name("GLOB");
  app.add_option("--probe-label", options.probe_label,
                 "What linear_probe learns: label, regions (how many), quadrant (of the largest "
                 "region's centre), or a key of the records")
      ->type_name("KEY")
      ->capture_default_str();
  app.add_option("--seed", options.seed,
                 "Of the split on which linear_probe chooses its lambda, and of random distractors")
      ->capture_default_str();
  app.add_option("--classes", flags->classes,
                 "Candidate names, one a line, or imagenet (1,000 synsets with open_clip's names); "
                 "without it the names in the data")
      ->type_name("FILE|imagenet");
  app.add_option("--names-map", flags->names_map,
                 "Candidate names by the data's labels, a line each: label, tab, name")
      ->type_name("FILE");
  app.add_option("--region-text", options.region_text,
                 "What stands for a region in words: text, or what it has under another key of its "
                 "own: phrase, name")
      ->type_name("KEY")
      ->capture_default_str();
  app.add_option("--region-method", flags->region_methods,
                 "prompter, roi_align, crop, roi_align_penultimate, several by comma, or all; of "
                 "published evaluations dense, dense_raw, crop:1.5; without it what the model was "
                 "trained with (crop for a plain CLIP)")
      ->delimiter(',')
      ->type_name("NAME,...");
  app.add_option("--ground-by", flags->ground_by,
                 "What grounding's boxes come from: head (the text prompt and the BoxHead) or "
                 "search (of all boxes of the patch grid the one nearest to the phrase)")
      ->check(CLI::IsMember({"head", "search"}))
      ->capture_default_str();
  app.add_option("--templates", flags->templates,
                 "Zero-shot prompts: photo, simple, openai, vild or a file with a template ({}) a "
                 "line; without it bare names")
      ->type_name("NAME|FILE");
  app.add_option("--region-templates", flags->region_templates,
                 "The same for region recognition; none: bare names")
      ->type_name("NAME|FILE")
      ->capture_default_str();
  app.add_flag("--lower-case", options.lower_case, "Prompts and texts of choices in lower case");
  app.add_flag("--crowd", options.boxes.crowd,
               "Also boxes around many objects (data import --crowd keeps them)");
  app.add_option("--min-box-area", options.boxes.min_area,
                 "Square pixels of the stored picture; smaller boxes do not count")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  app.add_option("--max-box-area", options.boxes.max_area,
                 "The same for larger ones; 0 = all count")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  app.add_option("--distractors", flags->distractors,
                 "Boxes among which text -> region has to find the right one: none, given (the "
                 "data's boxes without a text), or so many random ones a picture beside them")
      ->type_name("none|given|N")
      ->capture_default_str();
  app.add_flag("--every-phrase", options.every_phrase,
               "Grounding also asks for phrases that occur twice in a picture");
  app.add_option("--image-size", flags->image_size,
                 "Pixels a side, a multiple of the patch size; 0 = the model's own")
      ->type_name("PX")
      ->check(not_negative())
      ->capture_default_str();
  app.add_option(
         "--image-resize-mode", flags->resize_mode,
         "longest, shortest, squash or corner (longest, padded right and below); without it "
         "the model's own")
      ->check(CLI::IsMember({"longest", "shortest", "squash", "corner"}));
  app.add_option("--out", flags->out, "Write the results as JSON")->type_name("FILE");
  app.add_flag("--json", flags->json, "Print JSON, not a table");
  app.add_option("--precision", flags->precision, "Of matrix products")
      ->check(CLI::IsMember({"fp32", "bf16"}))
      ->capture_default_str();
  app.add_option("--batch-size", options.batch_size, "Pictures encoded at a time")
      ->check(positive())
      ->capture_default_str();
  app.add_option("--region-batch", options.region_batch,
                 "Region prompts encoded at a time; 0 = 512, or 64 with pool all")
      ->check(not_negative())
      ->capture_default_str();
  app.add_option("--max-samples", options.max_samples,
                 "Stop after this many samples of --data, and of --train-data; 0 = all")
      ->check(not_negative())
      ->capture_default_str();
  app.add_flag("--skip-bad-shards", options.skip_bad_shards,
               "Count shards that cannot be read instead of stopping");
  add_cache_flags(app);
  add_dist_flags(app, flags->dist, Exchanged::kInMemory);
  add_device_flag(app, flags->common);
  add_threads_flag(app, flags->common);
  add_config_flag(app);
  app.footer(
      "Example:\n"
      "  opencloc eval --model runs/demo/model --data 'val/*.tar' --region-method all \\\n"
      "    --out results.json\n"
      "  opencloc eval --model runs/demo/model --data 'val/*.tar' --train-data 'train/*.tar' \\\n"
      "    --tasks instance_retrieval,knn,linear_probe --probe-label regions\n"
      "  opencloc eval --model clip-b16 --data shards/coco-val --protocol fg-clip");
  app.callback([flags, &app] {
    const auto changed = apply_protocol(app, *flags);
    const dist::Place place = place_of(flags->dist);
    const auto device = parse_device(flags->common.device, place.local_rank);
    // What the processes exchange lies in main memory.
    in_job(flags->dist, place, torch::kCPU, [&](dist::Group& group) {
      require_same_flags(app, group);
      run_eval(*flags, changed, device, group);
    });
  });
}

}  // namespace opencloc::cli
