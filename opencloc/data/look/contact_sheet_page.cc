#include "opencloc/data/look/contact_sheet_page.h"

#include <spdlog/fmt/fmt.h>

#include "opencloc/base/html.h"

namespace opencloc {
namespace {

// No script or picture from elsewhere: the policy in the head says so to the browser as well.
constexpr const char* kHead = R"(<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
  content="default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; --line: #8884; --soft: #888; --card: #8881; }}
body {{ font: 14px/1.4 system-ui, sans-serif; margin: 0 1rem 2rem; }}
header {{ position: sticky; top: 0; z-index: 1; display: flex; flex-wrap: wrap; gap: .6rem 1rem;
  align-items: center; padding: .6rem 0; background: Canvas; border-bottom: 1px solid var(--line); }}
h1 {{ font-size: 1rem; margin: 0; }}
header input[type=search] {{ flex: 1 1 14rem; max-width: 30rem; padding: .35rem .6rem; font: inherit; }}
main {{ display: grid; gap: 1rem; padding-top: 1rem;
  grid-template-columns: repeat(auto-fill, minmax({size}px, 1fr)); align-items: start; }}
article {{ background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: .6rem; }}
article.labelled {{ grid-column: 1 / -1; display: grid; gap: 1rem;
  grid-template-columns: minmax(0, {size}px) minmax(0, 1fr); }}
.picture {{ position: relative; width: fit-content; height: fit-content; margin: 0 auto .5rem; }}
.picture img {{ display: block; max-width: 100%; height: auto; }}
.picture svg {{ position: absolute; inset: 0; width: 100%; height: 100%; overflow: visible; }}
rect {{ fill: none; stroke-width: 2; vector-effect: non-scaling-stroke; }}
rect.candidate {{ stroke: #fff; stroke-width: 1; stroke-dasharray: 4 3; visibility: hidden; }}
.candidates rect.candidate {{ visibility: visible; }}
.tag {{ position: absolute; font-size: 11px; line-height: 1.2; padding: 0 .2rem; color: #000;
  white-space: nowrap; pointer-events: none; }}
.no-boxes svg, .no-boxes .tag, .no-names .tag {{ display: none; }}
.picture.one rect, .picture.one .tag {{ opacity: .12; }}
.picture.one rect.on {{ opacity: 1; stroke-width: 4; visibility: visible; }}
h2 {{ font-size: 12px; font-weight: 600; color: var(--soft); margin: .6rem 0 .2rem; }}
.texts p.from {{ border-left: 4px solid #2979ff; padding-left: .4rem; }}
.dropped li {{ border-color: var(--line); text-decoration: line-through; color: var(--soft); }}
.dropped small {{ display: inline-block; text-decoration: none; margin-left: .3rem; }}
.open li {{ border-color: var(--line); }}
.labelled .alt::before {{ content: 'alt-text: '; }}
.stages {{ display: grid; margin-top: .7rem; grid-template-columns: repeat(auto-fit, minmax(11rem, 1fr)); gap: .5rem; }}
.stages section {{ border-top: 1px solid var(--line); font-size: 12px; overflow-wrap: anywhere; }}
.stages h2 {{ margin-top: .2rem; }}
dl {{ display: grid; grid-template-columns: auto 1fr; gap: 0 .5rem; margin: 0; }}
dt {{ color: var(--soft); }} dd {{ margin: 0; }}
@media (max-width: 45rem) {{ article.labelled {{ grid-template-columns: 1fr; }} }}
p {{ margin: .25rem 0; overflow-wrap: anywhere; }}
.key, .alt {{ color: var(--soft); font-size: 12px; }}
ul {{ list-style: none; margin: .4rem 0 0; padding: 0; display: flex; flex-wrap: wrap; gap: .25rem; }}
li {{ border-left: 4px solid; border-radius: 3px; background: var(--card); padding: 0 .4rem;
  cursor: default; overflow-wrap: anywhere; }}
li small {{ color: var(--soft); }}
[hidden] {{ display: none; }}
</style></head><body>
<header><h1>{title}</h1>
<input type="search" id="q" placeholder="search keys, captions, phrases, labels" autofocus>
<select id="f"><option value="">all</option><option value="dropped">with dropped phrases</option>
<option value="bare">without regions</option></select>
<label><input type="checkbox" id="b" checked> boxes</label>
<label><input type="checkbox" id="t" checked> names</label>
<label><input type="checkbox" id="c"> candidates</label>
<span id="n">{count} samples</span></header>
<main>
)";

constexpr const char* kTail = R"(</main>
<script>
const cards = [...document.querySelectorAll('article')];
const texts = cards.map(c =>
  [...c.querySelectorAll('[data-find]')].map(e => e.textContent).join(' ').toLowerCase());
const q = document.getElementById('q'), f = document.getElementById('f');
const fits = {
  '': () => true, dropped: c => c.dataset.dropped > 0, bare: c => c.dataset.regions == 0 };
const filter = () => {
  const words = q.value.toLowerCase().split(/\s+/).filter(Boolean);
  let shown = 0;
  cards.forEach((c, i) => {
    c.hidden = !fits[f.value](c) || !words.every(w => texts[i].includes(w));
    shown += !c.hidden;
  });
  document.getElementById('n').textContent = shown + ' of ' + cards.length + ' samples';
};
q.addEventListener('input', filter);
f.addEventListener('change', filter);
const toggle = (id, name, when) => document.getElementById(id).addEventListener('change', e =>
  document.body.classList.toggle(name, e.target.checked === when));
toggle('b', 'no-boxes', false);
toggle('t', 'no-names', false);
toggle('c', 'candidates', true);
document.querySelectorAll('li[data-i]').forEach(li => {
  const picture = li.closest('article').querySelector('.picture');
  const rects = picture.querySelectorAll('rect');
  const set = on => {
    picture.classList.toggle('one', on);
    li.dataset.i.split(' ').forEach(i => rects[i].classList.toggle('on', on));
  };
  li.addEventListener('mouseenter', () => set(true));
  li.addEventListener('mouseleave', () => set(false));
});
</script></body></html>
)";

}  // namespace

std::string contact_sheet_head(const std::string& title, int size, int64_t samples) {
  return fmt::format(kHead, fmt::arg("title", html_escape(title)), fmt::arg("size", size + 20),
                     fmt::arg("count", samples));
}

std::string contact_sheet_tail() { return kTail; }

}  // namespace opencloc
