"""What a film is on a page: its HTML, style and two handlers."""

from __future__ import annotations

import base64
import html

# Rules for images of the theme and of Jupyter would shift the frames: hence each !important. Without scripts
# the poster and the check box are what is left; on paper it is the sheet. Captions in frames
# below 56 pixels have no height.
_STYLE = """
.gancourse-film { --accent: var(--pst-color-primary, var(--jp-brand-color1, #1d5c8a)); color: inherit;
  margin: 1rem 0; }
.gancourse-film .window { --across: 1; --down: 1; --x: var(--column); --y: var(--row);
  aspect-ratio: calc(var(--across) * var(--width)) / calc(var(--down) * var(--height));
  background: #fff; box-shadow: 0 0 0 1px #8886; container-type: inline-size; margin: 1px auto;
  overflow: hidden; position: relative; width: min(100% - 2px, var(--across) * var(--width) * 1px); }
.gancourse-film .sheet { left: calc(-100% * var(--x)); position: absolute; top: calc(-100% * var(--y));
  width: calc(100% * var(--columns) / var(--across)); }
.gancourse-film img { background: none !important; border: 0 !important; border-radius: 0 !important;
  display: block !important; filter: none !important; height: auto !important; margin: 0 !important;
  max-width: none !important; padding: 0 !important; width: 100% !important; }
.gancourse-film ol.names { display: none; grid: auto-flow 1fr / repeat(var(--columns), 1fr); inset: 0;
  list-style: none; margin: 0; padding: 0; position: absolute; }
.gancourse-film ol.names li { box-shadow: 0 0 0 0.5px #8886; color: #222;
  font: min(0.72rem, max(0px, (100cqi / var(--columns) - 56px) * 99))/1.5 system-ui, sans-serif; margin: 0;
  min-width: 0; padding: 0; }
.gancourse-film ol.names span { background: #fffb; display: block; max-width: max-content; overflow: hidden;
  padding: 0 0.35em; text-overflow: ellipsis; white-space: nowrap; }
.gancourse-film .here { border: 2px solid #1d5c8a; box-sizing: border-box; display: none; position: absolute;
  height: calc(100% / var(--rows)); left: calc(100% * var(--column) / var(--columns));
  top: calc(100% * var(--row) / var(--rows)); width: calc(100% / var(--columns)); }
.gancourse-film:has(:checked) .window { --across: var(--columns); --down: var(--rows); --x: 0; --y: 0; }
.gancourse-film:has(:checked) ol.names { display: grid; }
.gancourse-film:has(:checked) .here { display: block; }
.gancourse-film .controls { align-items: center; display: flex; flex-wrap: wrap; gap: 0 1rem;
  justify-content: center; margin: 0.4rem auto 0; max-width: 38rem; }
.gancourse-film .controls > * { align-items: center; display: flex; gap: 0.5rem; margin: 0;
  min-height: 44px; }
.gancourse-film button { background: none; border: 0; border-radius: 4px; color: inherit; cursor: pointer;
  font: inherit; justify-content: center; min-width: 5.2rem; padding: 0 0.5rem; }
.gancourse-film button:hover { background: #8882; }
.gancourse-film button::before { background: var(--accent); clip-path: polygon(0 0, 100% 50%, 0 100%);
  content: ""; height: 0.8em; width: 0.7em; }
.gancourse-film[data-playing] button::before { clip-path: polygon(0 0, 35% 0, 35% 100%, 65% 100%,
  65% 0, 100% 0, 100% 100%, 0 100%); }
.gancourse-film .pause, .gancourse-film .next, .gancourse-film[data-playing] .play { display: none; }
.gancourse-film[data-playing] .pause { display: inline; }
.gancourse-film .slide { flex: 1 1 9rem; }
.gancourse-film input { accent-color: var(--accent); cursor: pointer; margin: 0; }
.gancourse-film [type=range] { border-radius: 4px; flex: 1; height: 28px; min-width: 0; width: 100%; }
@media (pointer: coarse) { .gancourse-film [type=range] { height: 44px; } }
.gancourse-film [type=checkbox] { height: 1.1em; width: 1.1em; }
.gancourse-film .controls > output { font-variant-numeric: tabular-nums; padding: 0; }
.gancourse-film :is(button, input):focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
@media (prefers-reduced-motion: reduce) {
  .gancourse-film:not([data-playing]) .play { display: none; }
  .gancourse-film:not([data-playing]) .next { display: inline; } }
@media (scripting: none) { .gancourse-film :is(button, .slide, .here) { display: none !important; } }
@media print { .gancourse-film .window { --across: var(--columns); --down: var(--rows); --x: 0; --y: 0; }
  .gancourse-film ol.names { display: grid; }
  .gancourse-film :is(.controls, .here) { display: none !important; } }
:is(html[data-theme=dark], body[data-jp-theme-light=false]) .gancourse-film .window {
  filter: brightness(0.86); }
html[data-theme=dark] .bd-content div.cell_output div.output.text_html:has(> .gancourse-film) {
  background: none; color: inherit; padding: 0; }
"""
# What a hand does stops a film that plays; what play does is no trusted event.
_SLIDE = """const film = this.closest('figure'), k = +this.value, columns = COLUMNS;
if (event.isTrusted) { clearInterval(film.dataset.playing); delete film.dataset.playing; }
film.style.setProperty('--column', k % columns);
film.style.setProperty('--row', Math.floor(k / columns));
const name = film.querySelectorAll('li')[k].textContent;
film.querySelector('output').value = name;
this.setAttribute('aria-valuetext', name);"""
_PLAY = """const film = this.closest('figure'), range = film.querySelector('[type=range]');
const stop = () => { clearInterval(film.dataset.playing); delete film.dataset.playing; };
const next = () => {
  range.value = (+range.value + 1) % (+range.max + 1);
  range.dispatchEvent(new Event('input'));
};
if (film.dataset.playing) stop();
else {
  next();
  if (!matchMedia('(prefers-reduced-motion: reduce)').matches)
    film.dataset.playing = setInterval(() => {
      if (!film.isConnected || range.value === range.max) stop(); else next();
    }, 250);
}"""
_PAGE = """<figure class="gancourse-film" style="{variables}"><style>{style}</style>
<div class="window"><div class="sheet"><img alt="{alt}" src="data:image/png;base64,{sheet}">
<ol class="names">{names}</ol><div class="here"></div></div></div>
<div class="controls"><button type="button" onclick="{play}"><span class="play">Play</span><span
 class="pause">Pause</span><span class="next">Next</span></button>
<label class="slide">Frame <input type="range" min="0" max="{last}" step="1" value="{poster}"
 autocomplete="off" aria-valuetext="{caption}" oninput="{slide}"></label>
<output aria-live="off" style="min-width:{longest}ch">{caption}</output>
<label><input type="checkbox" autocomplete="off"> all frames</label></div></figure>
"""


def page(
    sheet: bytes, frame: tuple[int, ...], captions: tuple[str, ...], alt: str, columns: int, poster: int
) -> str:
    """Return a sheet (PNG) of frames (H, W, 3) as HTML that needs nothing else."""
    rows = -(-len(captions) // columns)
    variables = {"columns": columns, "rows": rows, "width": frame[1], "height": frame[0]}
    variables |= {"column": poster % columns, "row": poster // columns}
    return _PAGE.format(
        variables=";".join(f"--{name}:{value}" for name, value in variables.items()),
        style=_STYLE,
        alt=html.escape(alt),
        sheet=base64.b64encode(sheet).decode(),
        names="".join(f"<li><span>{html.escape(caption)}</span></li>" for caption in captions),
        play=html.escape(_PLAY, quote=False),
        last=len(captions) - 1,
        poster=poster,
        caption=html.escape(captions[poster]),
        slide=html.escape(_SLIDE.replace("COLUMNS", str(columns)), quote=False),
        longest=min(24, max(map(len, captions))),
    )
