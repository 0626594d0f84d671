#include "opencloc/train/report.h"

#include <limits>
#include <utility>

#include <spdlog/fmt/fmt.h>

#include "opencloc/base/html.h"
#include "opencloc/image/encode.h"
#include "opencloc/train/svg_chart.h"

namespace opencloc {
namespace {

constexpr const char* kStyle = R"(<style>
:root{color-scheme:light dark;--line:#d4d4d8;--soft:#71717a;--card:#fafafa}
@media(prefers-color-scheme:dark){:root{--line:#3f3f46;--soft:#a1a1aa;--card:#18181b}}
body{font:15px/1.5 system-ui,sans-serif;max-width:1020px;margin:2rem auto;padding:0 1rem}
h1{font-size:1.5rem}h2{font-size:1.15rem;margin-top:2.2rem}
.charts,.pictures{display:grid;gap:1rem;grid-template-columns:repeat(auto-fill,minmax(310px,1fr))}
figure{margin:0;padding:.7rem;border:1px solid var(--line);border-radius:8px;background:var(--card)}
figcaption{font-weight:600;margin-bottom:.3rem}svg{width:100%;display:block}
svg text{font-size:14px;fill:var(--soft)}svg .g{stroke:var(--line);stroke-width:1}
svg path{fill:none;stroke-width:1.6;stroke-linejoin:round}
.legend{display:flex;flex-wrap:wrap;gap:.2rem 1rem;font-size:13px;color:var(--soft)}
.legend i{display:inline-block;width:.8em;height:.8em;border-radius:2px;margin-right:.35em}
table{border-collapse:collapse;font-variant-numeric:tabular-nums;display:block;overflow-x:auto}
td,th{padding:.25rem .7rem;border-bottom:1px solid var(--line);text-align:right;white-space:nowrap}
td:first-child,th:first-child{text-align:left}
.pictures figcaption{font-weight:400;font-size:13px;margin:.4rem 0 0}
.pictures text{font:bold 16px sans-serif;fill:#4ade80;paint-order:stroke;stroke:#000;stroke-width:3px}
.pictures .p{fill:#fb7185;text-anchor:end}
pre{overflow-x:auto;padding:.7rem;border:1px solid var(--line);border-radius:8px;background:var(--card);font-size:13px}
</style>)";

// The values of `key` over the steps; empty when no line has it.
ChartLine curve(const std::vector<Json>& metrics, const char* key, const char* name) {
  ChartLine line{name, {}};
  for (const Json& entry : metrics) {
    const auto it = entry.find(key);
    if (it == entry.end() || !it->is_number() || !entry.contains("step")) continue;
    line.points.emplace_back(entry["step"].get<double>(), it->get<double>());
  }
  return line;
}

std::string charts(const std::vector<Json>& metrics) {
  const auto of = [&](const char* key, const char* name) { return curve(metrics, key, name); };
  return svg_chart("Loss",
                   {of("loss", "total"), of("loss_clip", "L_CLIP"), of("loss_caption", "L_caption"),
                    of("loss_region", "L_CLOC"), of("loss_grounding", "L_grounding"),
                    of("loss_recovery", "box recovery"), of("loss_quality", "L_quality"),
                    of("loss_distill", "self-distillation"), of("loss_entity", "L_entity")}) +
         svg_chart("Entities of the training batch", {of("entity_acc", "nearest to their class")}) +
         svg_chart("Grounding on the training batch",
                   {of("grounding_iou", "mean IoU"), of("constant_box_iou", "constant box"),
                    of("recovered_iou", "box read back"), of("grounding_spread", "spread"),
                    of("grounding_inverted", "inverted")}) +
         svg_chart("Text filter", {of("removed_share", "pairs removed"),
                                   of("similar_share", "distinct pairs above the threshold")}) +
         svg_chart("Inverse temperature",
                   {of("logit_scale", "images"), of("region_logit_scale", "regions")}) +
         svg_chart("Learning rate", {of("lr", "learning rate")}) +
         svg_chart("Gradient norm", {of("grad_norm", "before clipping")}) +
         svg_chart("Speed", {of("samples_per_s", "samples/s")}) +
         svg_chart("Waiting for data", {of("loader_wait", "share of the time")});
}

// {"task": {"figure": 0.5}} -> {"task figure", 0.5}, nested objects left out.
std::vector<std::pair<std::string, double>> figures(const Json& results) {
  std::vector<std::pair<std::string, double>> out;
  for (const auto& [task, values] : results.items()) {
    if (!values.is_object()) continue;
    for (const auto& [key, value] : values.items()) {
      if (value.is_number_float()) out.emplace_back(task + " " + key, value.get<double>());
    }
  }
  return out;
}

std::string evaluations(const std::vector<Json>& metrics) {
  std::vector<const Json*> evals;
  for (const Json& line : metrics) {
    if (line.contains("eval")) evals.push_back(&line);
  }
  if (evals.empty()) return "";
  constexpr size_t kShown = 6;  // columns: the first one, then the latest
  if (evals.size() > kShown) evals.erase(evals.begin() + 1, evals.end() - (kShown - 1));
  std::string html = "<h2>Evaluation</h2><table><tr><th>figure</th>";
  for (const Json* line : evals) html += fmt::format("<th>step {}</th>", (*line)["step"].dump());
  html += "</tr>";
  for (const auto& [name, last] : figures((*evals.back())["eval"])) {
    html += "<tr><td>" + html_escape(name) + "</td>";
    for (const Json* line : evals) {
      std::string cell = "-";
      for (const auto& [other, value] : figures((*line)["eval"])) {
        if (other == name) cell = fmt::format("{:.4f}", value);
      }
      html += "<td>" + cell + "</td>";
    }
    html += "</tr>";
  }
  return html + "</table>";
}

std::string base64(const std::string& bytes) {
  constexpr std::string_view kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  for (size_t i = 0; i < bytes.size(); i += 3) {
    uint32_t group = 0;
    const size_t count = std::min<size_t>(3, bytes.size() - i);
    for (size_t k = 0; k < 3; ++k) {
      group = group << 8 | (k < count ? static_cast<uint8_t>(bytes[i + k]) : 0U);
    }
    for (size_t k = 0; k < 4; ++k) {
      out += k <= count ? kDigits[group >> (18 - 6 * k) & 63] : '=';
    }
  }
  return out;
}

constexpr float kPictureWidth = 320;  // units of the drawing, whatever the canvas's pixels

std::string rectangle(const Box& box, float width, float height, const char* colour,
                      const char* dash) {
  return fmt::format(
      R"(<rect x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}" fill="none" stroke="{}" )"
      R"(stroke-width="2" stroke-dasharray="{}"/>)",
      box.x0 * width, box.y0 * height, box.width() * width, box.height() * height, colour, dash);
}

// Boxes carry numbers; their texts stand below the picture.
std::string picture_html(const ReportPicture& picture) {
  const float width = kPictureWidth;
  const float height =
      width * static_cast<float>(picture.image.height) / static_cast<float>(picture.image.width);
  std::string svg =
      fmt::format(R"(<figure><svg viewBox="0 0 {0} {1}"><image width="{0}" height="{1}" )"
                  R"(href="data:image/jpeg;base64,{2}"/>)",
                  width, height, base64(encode_jpeg(picture.image)));
  std::string numbers, texts;
  int number = 0;
  for (const auto& [box, predicted, has_prediction, text] : picture.boxes) {
    ++number;
    svg += rectangle(box, width, height, "#22c55e", "none");
    numbers += fmt::format(R"(<text x="{:.1f}" y="{:.1f}">{}</text>)", box.x0 * width + 4,
                           box.y0 * height + 17, number);
    texts += fmt::format("<br>{} {}", number, html_escape(text));
    if (!has_prediction) continue;
    svg += rectangle(predicted, width, height, "#f43f5e", "6 4");
    numbers += fmt::format(R"(<text class="p" x="{:.1f}" y="{:.1f}">{}</text>)",
                           predicted.x1 * width - 4, predicted.y1 * height - 5, number);
    texts += fmt::format(": IoU {:.2f}", iou(box, predicted));
  }
  return svg + numbers + "</svg><figcaption>" + html_escape(picture.text) + texts +
         "</figcaption></figure>\n";
}

std::string page_begin(const std::string& title) {
  return "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">"
         "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\"><title>" +
         html_escape(title) + "</title>" + kStyle + "</head><body><h1>" + html_escape(title) +
         "</h1>\n";
}

std::string pictures_part(const std::vector<ReportPicture>& pictures) {
  std::string html =
      "<p>Green: the given box. Red, dashed: the box the model finds for the text.</p>"
      "<div class=\"pictures\">\n";
  for (const auto& picture : pictures) html += picture_html(picture);
  return html + "</div>";
}

std::string summary(const ReportInput& input) {
  for (auto it = input.metrics.rbegin(); it != input.metrics.rend(); ++it) {
    if (!it->contains("loss")) continue;
    const Json& line = *it;
    const double rate = json_number(line, "samples_per_s", "metrics", 0);
    return fmt::format("<p>Step {}, {} samples, {:.1f} samples/s, loss {:.4f}.{}</p>",
                       line["step"].dump(), line["samples"].dump(), rate,
                       line["loss"].get<double>(),
                       input.skipped.empty() ? "" : " " + html_escape(input.skipped) + ".");
  }
  return "<p>No step has been logged yet.</p>";
}

}  // namespace

std::string pictures_html(const std::string& title, const std::vector<ReportPicture>& pictures) {
  return page_begin(title) + pictures_part(pictures) + "</body></html>\n";
}

std::string report_html(const ReportInput& input) {
  std::string html = page_begin(input.title) + summary(input) + evaluations(input.metrics) +
                     "<h2>Curves</h2><div class=\"charts\">" + charts(input.metrics) + "</div>\n";
  if (!input.pictures.empty()) html += "<h2>Pictures</h2>" + pictures_part(input.pictures);
  if (!input.config.empty()) {
    html += "<h2>Configuration</h2><pre>" + html_escape(input.config) + "</pre>";
  }
  return html + "</body></html>\n";
}

}  // namespace opencloc
