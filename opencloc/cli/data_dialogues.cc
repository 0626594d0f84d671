// `opencloc data dialogues` and `opencloc data export`.
#include <map>

#include "opencloc/base/json.h"
#include "opencloc/base/log.h"
#include "opencloc/base/progress.h"
#include "opencloc/cli/data_flags.h"
#include "opencloc/cli/outputs.h"
#include "opencloc/data/shard/find_shards.h"
#include "opencloc/dialogue/export.h"

namespace opencloc::cli {
namespace {

struct DialogueFlags : DataFlags {
  std::vector<std::string> tasks;
  DialogueRun run;
};

void add_maker_flags(CLI::App& app, DialogueFlags& flags) {
  MakerOptions& maker = flags.run.maker;
  std::string mix;
  for (const auto& task : dialogue_tasks())
    mix += (mix.empty() ? "" : ",") + fmt::format("{}:{:g}", task, maker.mix.at(task));
  app.add_option("--tasks", flags.tasks, "What to ask, with weights: refer:2,ground")
      ->delimiter(',')
      ->type_name("TASK[:WEIGHT],...")
      ->default_str(mix);
  app.add_option("--per-picture", maker.per_picture, "Questions about a picture, at most")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  app.add_option("--min-score", maker.min_score, "Leave out regions below this score")
      ->capture_default_str();
  const std::map<std::string, OfferOrder> orders = {{"random", OfferOrder::kRandom},
                                                    {"alternating", OfferOrder::kAlternating}};
  app.add_option("--order", maker.order,
                 "Which of two things a question names first: random (training), or alternating "
                 "(as Ferret's LVIS test)")
      ->transform(one_of(orders))
      ->default_str("random");
  app.add_option("--templates", flags.run.templates,
                 "Other wordings: JSON {\"exists\": [\"Is there a {name} in the image?\"], ...}")
      ->type_name("FILE");
}

// What the flags say, once they are parsed.
void finish_flags(DialogueFlags& flags) {
  if (!flags.tasks.empty()) flags.run.maker.mix = parse_mix(flags.tasks);
  flags.run.maker.seed = flags.common.seed;
  flags.run.shards = flags.reader;
  flags.run.threads = thread_count(flags.common);
  if (!flags.run.templates.empty()) Templates(flags.run.templates);  // before the work
}

Json as_json(const std::map<std::string, int64_t>& counts) {
  Json result = Json::object();
  for (const auto& [name, count] : counts) result[name] = count;
  return result;
}

void print_counts(const std::map<std::string, int64_t>& counts, const SkipCounter& skips) {
  for (const auto& [name, count] : counts)
    std::printf("  %-20s %lld\n", name.c_str(), static_cast<long long>(count));
  if (skips.total() > 0) std::printf("  %s\n", skips.summary().c_str());
}

void run_dialogues(DialogueFlags& flags) {
  finish_flags(flags);
  SkipCounter skips;
  const auto shards = find_shards(flags.data, flags.reader, skips);
  ShardSetWriter out(flags.out, flags.writer);
  ProgressBar bar("dialogues", 0, "samples");
  flags.run.progress = [&bar] { bar.advance(); };
  const auto counts = make_dialogues(shards, flags.run, out, skips);
  out.commit();
  bar.finish();
  if (flags.json) {
    const Json result = {{"out", flags.out},
                         {"samples", out.samples()},
                         {"shards", out.shards()},
                         {"questions", as_json(counts)},
                         {"skipped", skips.json()}};
    std::printf("%s\n", dump_json(result).c_str());
    return;
  }
  std::printf("%s: %lld samples in %lld shards\n", flags.out.c_str(),
              static_cast<long long>(out.samples()), static_cast<long long>(out.shards()));
  print_counts(counts, skips);
}

struct ExportFlags : DialogueFlags {
  ExportOptions options;
  std::string qwen = "2.5";
};

void run_export(ExportFlags& flags) {
  check_output_folder("--out", flags.out, {flags.data});
  finish_flags(flags);
  ExportOptions& options = flags.options;
  options.frame.frame = default_frame(options.format);
  if (options.format == ExportFormat::kQwen && flags.qwen == "2")
    options.frame.frame = Frame::kQwen2;
  if (options.format == ExportFormat::kQwen && flags.qwen == "3")
    options.frame.frame = Frame::kQwen3;
  SkipCounter skips;
  const auto shards = find_shards(flags.data, flags.reader, skips);
  ProgressBar bar("export", 0, "samples");
  flags.run.progress = [&bar] { bar.advance(); };
  options.make = flags.run;
  const ExportReport report =
      export_dialogues(shards, flags.out, flags.writer.overwrite, options, skips);
  bar.finish();
  if (flags.json) {
    Json result = {{"out", flags.out},
                   {"pictures", report.pictures},
                   {"conversations", report.conversations},
                   {"questions", report.questions},
                   {"files", as_json(report.files)}};
    if (!report.made.empty()) result["made"] = as_json(report.made);
    result["skipped"] = skips.json();
    std::printf("%s\n", dump_json(result).c_str());
    return;
  }
  std::printf("%s: %lld pictures, %lld conversations, %lld questions\n", flags.out.c_str(),
              static_cast<long long>(report.pictures), static_cast<long long>(report.conversations),
              static_cast<long long>(report.questions));
  print_counts(report.files, skips);
  if (!report.made.empty()) log::info("records without dialogues were given some; see --tasks");
}

}  // namespace

void add_data_dialogues(CLI::App& app) {
  const auto flags = std::make_shared<DialogueFlags>();
  add_input_flags(app, *flags);
  add_maker_flags(app, *flags);
  add_output_flags(app, *flags);
  add_json_flag(app, *flags);
  add_threads_flag(app, flags->common);
  add_seed_flag(app, flags->common);
  add_config_flag(app);
  app.footer(R"(Example:
  opencloc data dialogues --data labelled --seed 1 --out talking
  opencloc data dialogues --data labelled-val --tasks refer --order alternating --out refer-test
The records keep all they have and get "dialogues" (docs/reference/dialogues.md): texts with <box0>
in place of coordinates. 'opencloc data export' writes them for a trainer.)");
  app.callback([flags] { run_dialogues(*flags); });
}

void add_data_export(CLI::App& app) {
  const auto flags = std::make_shared<ExportFlags>();
  const std::map<std::string, ExportFormat> formats = {{"ferret", ExportFormat::kFerret},
                                                       {"llava", ExportFormat::kLlava},
                                                       {"qwen", ExportFormat::kQwen},
                                                       {"internvl", ExportFormat::kInternvl}};
  add_input_flags(app, *flags);
  app.add_option("--format", flags->options.format, "Whose trainer is to read it")
      ->transform(one_of(formats))
      ->required();
  app.add_option("--out", flags->out, "Folder for images/, the trainer's files and export.json")
      ->type_name("DIR")
      ->required();
  app.add_flag("--overwrite", flags->writer.overwrite, "Replace that folder");
  app.add_flag("--join", flags->options.join,
               "All questions about a picture in one conversation, instead of one each");
  app.add_option("--qwen-version", flags->qwen, "Qwen2-VL, Qwen2.5-VL or Qwen3-VL")
      ->check(CLI::IsMember({"2", "2.5", "3"}))
      ->capture_default_str();
  app.add_option("--min-pixels", flags->options.frame.min_pixels,
                 "Of Qwen2.5-VL's resized picture; the trainer's value")
      ->check(CLI::Range(int64_t{28 * 28}, int64_t{1} << 40))
      ->capture_default_str();
  app.add_option("--max-pixels", flags->options.frame.max_pixels,
                 "Of Qwen2.5-VL's resized picture; the trainer's value")
      ->check(CLI::Range(int64_t{28 * 28}, int64_t{1} << 40))
      ->capture_default_str();
  add_maker_flags(app, *flags);
  add_json_flag(app, *flags);
  add_threads_flag(app, flags->common);
  add_seed_flag(app, flags->common);
  add_config_flag(app);
  app.footer(R"(Example:
  opencloc data export --data talking --format llava --join --out llava-data
  opencloc data export --data labelled --format ferret --tasks refer,ground --out ferret-data
Every box is in the coordinates that the trainer's model sees (docs/guide/mllm.md). Records without
dialogues get some, as 'opencloc data dialogues' makes them.)");
  app.callback([flags] { run_export(*flags); });
}

}  // namespace opencloc::cli
