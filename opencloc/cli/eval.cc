// `opencloc eval`: the tasks of evaluation on a model directory.
#include <cstdio>
#include <memory>

#include "opencloc/base/error.h"
#include "opencloc/base/files.h"
#include "opencloc/checkpoint/model_directory.h"
#include "opencloc/cli/dist_flags.h"
#include "opencloc/cli/outputs.h"
#include "opencloc/cli/verb.h"
#include "opencloc/eval/evaluate.h"
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
  std::string templates;
  std::string out;
  std::string precision = "fp32";
  std::string ground_by = "head";
  int64_t image_size = 0;
  bool json = false;
  EvalOptions options;
};

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
  if (!flags.classes.empty()) options.classes = read_names(flags.classes);
  if (!flags.templates.empty()) options.templates = load_templates(flags.templates);
  return options;
}

void run_eval(const EvalFlags& flags, torch::Device device, dist::Group& group) {
  if (group.is_first())
    check_output_file(
        "--out", flags.out, kJsonOutput,
        {flags.model, flags.data, flags.options.train_data, flags.classes, flags.templates});
  LoadedModel loaded = load_model(flags.model, {flags.architecture});
  if (!loaded.tokenizer) {
    throw Error::input("the model has no tokenizer", flags.model,
                       "put its tokenizer files into the folder");
  }
  if (flags.image_size > 0) loaded.model = with_image_size(loaded.model, flags.image_size);
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
  app.add_option("--tasks", flags->tasks,
                 "By comma; without it the five that compare with texts: zeroshot, retrieval, "
                 "region_recognition, region_retrieval, grounding. Of pictures only: "
                 "instance_retrieval, knn, linear_probe")
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
  app.add_option("--seed", options.seed, "Of the split on which linear_probe chooses its lambda")
      ->capture_default_str();
  app.add_option("--classes", flags->classes,
                 "Candidate names, one a line; without it the names in the data")
      ->type_name("FILE");
  app.add_option("--region-text", options.region_text,
                 "What stands for a region in words: text, or what it has under another key of its "
                 "own: phrase, name")
      ->type_name("KEY")
      ->capture_default_str();
  app.add_option("--region-method", flags->region_methods,
                 "prompter, roi_align, crop, roi_align_penultimate, several by comma, or all; "
                 "without it what the model was trained with (crop for a plain CLIP)")
      ->delimiter(',')
      ->type_name("NAME,...");
  app.add_option("--ground-by", flags->ground_by,
                 "What grounding's boxes come from: head (the text prompt and the BoxHead) or "
                 "search (of all boxes of the patch grid the one nearest to the phrase)")
      ->check(CLI::IsMember({"head", "search"}))
      ->capture_default_str();
  app.add_option("--templates", flags->templates,
                 "Zero-shot prompts: photo, simple or a file with a template ({}) a line; without "
                 "it bare names")
      ->type_name("NAME|FILE");
  app.add_option("--image-size", flags->image_size,
                 "Pixels a side, a multiple of the patch size; 0 = the model's own")
      ->type_name("PX")
      ->check(not_negative())
      ->capture_default_str();
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
      "    --tasks instance_retrieval,knn,linear_probe --probe-label regions");
  app.callback([flags, &app] {
    const dist::Place place = place_of(flags->dist);
    const auto device = parse_device(flags->common.device, place.local_rank);
    // What the processes exchange lies in main memory.
    in_job(flags->dist, place, torch::kCPU, [&](dist::Group& group) {
      require_same_flags(app, group);
      run_eval(*flags, device, group);
    });
  });
}

}  // namespace opencloc::cli
