// The latent playground: the smallest GAN that can be played by hand. Chapter 1 of the book.
//
// One ES module: Jupyter runs it through anywidget; the book's pages run the same text, wrapped in a function by
// tools/playground_script.py, so that it works from file:// too. It asks the network for nothing.
// gancourse/widgets/game.py is the same arithmetic in Python, and a test holds the two together.

// ------------------------------------------------------------------ the game

export const START = { w: 0.6, b: 0, a: 0.5, c: 0 }; // G(z) = w z + b, D(x) = sigmoid(a x + c)
export const RATE_D = 0.12;
export const RATE_G = 0.08;
export const BATCH = 16;
export const SEED = 2014;
const MODE_STD = 0.2; // of each mode of p_data, for the analytic D*: gancourse.data.bimodal()
const NARROWEST = 0.02; // of p_g, for the same: at w = 0 it would have no density

const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
export const sigmoid = (t) => 1 / (1 + Math.exp(-t));
// log(1 + e^t) without overflow: -log sigmoid(t) is softplus(-t), -log(1 - sigmoid(t)) is softplus(t).
const softplus = (t) => Math.max(t, 0) + Math.log1p(Math.exp(-Math.abs(t)));
export const D = (game, x) => sigmoid(game.a * x + game.c);
export const G = (game, z) => game.w * z + game.b;

// A batch: real samples at -1 or +1, each as likely, and z from N(0, 1). Mulberry32 and Box-Muller: both are a few
// lines in any language. `draws` is the generator's state, a 32-bit integer.
export function batch(draws) {
  let state = draws;
  const uniform = () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
  const normal = () => {
    const radius = Math.sqrt(-2 * Math.log(1 - uniform()));
    return radius * Math.cos(2 * Math.PI * uniform());
  };
  const real = Array.from({ length: BATCH }, () => (uniform() < 0.5 ? -1 : 1));
  const z = Array.from({ length: BATCH }, normal);
  return { real, z, draws: state >>> 0 };
}

// What both players lose on the batch: D's summed loss, and both of G's.
export function losses(game) {
  const fake = game.z.map((z) => game.a * G(game, z) + game.c);
  const real = game.real.map((x) => game.a * x + game.c);
  return {
    d: mean(real.map((t) => softplus(-t))) + mean(fake.map(softplus)),
    nonSaturating: mean(fake.map((t) => softplus(-t))),
    minimax: -mean(fake.map(softplus)),
  };
}

// The next batch, seen by the players as they are now. It is what the next step learns from.
function deal(game) {
  const next = { ...game, ...batch(game.draws) };
  return { ...next, losses: [...game.losses, losses(next)] };
}

export function start(seed = SEED) {
  return deal({ ...START, dSteps: 0, gSteps: 0, draws: seed >>> 0, losses: [] });
}

// D ascends mean log D(x) + mean log(1 - D(G(z))).
export function stepD(game) {
  const fake = game.z.map((z) => G(game, z));
  const up = game.real.map((x) => 1 - D(game, x));
  const down = fake.map((x) => D(game, x));
  const slopeA = mean(up.map((s, i) => s * game.real[i])) - mean(down.map((s, i) => s * fake[i]));
  const slopeC = mean(up) - mean(down);
  return deal({
    ...game,
    a: game.a + RATE_D * slopeA,
    c: game.c + RATE_D * slopeC,
    dSteps: game.dSteps + 1,
  });
}

// How G's loss falls as a generated sample x moves to the right.
export function push(game, x, minimax) {
  return (minimax ? D(game, x) : 1 - D(game, x)) * game.a;
}

// G descends -mean log D(G(z)), or mean log(1 - D(G(z))) where minimax is true.
export function stepG(game, minimax = false) {
  const slopes = game.z.map((z) => push(game, G(game, z), minimax));
  return deal({
    ...game,
    w: game.w + RATE_G * mean(slopes.map((s, i) => s * game.z[i])),
    b: game.b + RATE_G * mean(slopes),
    gSteps: game.gSteps + 1,
  });
}

export const stepBoth = (game, minimax = false) => stepG(stepD(game), minimax);

const normalDensity = (x, center, std) =>
  Math.exp((-0.5 * (x - center) ** 2) / std ** 2) / (std * Math.sqrt(2 * Math.PI));
export const pData = (x) => (normalDensity(x, -1, MODE_STD) + normalDensity(x, 1, MODE_STD)) / 2;
export const pG = (game, x) => normalDensity(x, game.b, Math.max(Math.abs(game.w), NARROWEST));

// p_data / (p_data + p_g), in logarithms: far from both densities each of them is 0 in floating point.
export function bestD(game, x) {
  const logNormal = (center, std) => (-0.5 * (x - center) ** 2) / std ** 2 - Math.log(std);
  const [near, far] = [logNormal(Math.sign(x) || 1, MODE_STD), logNormal(-(Math.sign(x) || 1), MODE_STD)];
  const real = near + Math.log1p(Math.exp(far - near)) - Math.log(2);
  return sigmoid(real - logNormal(game.b, Math.max(Math.abs(game.w), NARROWEST)));
}

// ------------------------------------------------------------------ the pictures

const EDGE = 2.5; // x and z are shown in [-EDGE, EDGE]
const LEFT = 50;
const RIGHT = 16;
const PLOT = { top: 34, bottom: 176, real: 262, fake: 330, latent: 388, height: 398 };
const LOSS = { top: 34, bottom: 136, height: 160 };
const LOG4 = Math.log(4);
const PAPER = {
  ink: "#1f2933", soft: "#55606e", line: "#d5dae1", sheet: "#ffffff", real: "#005f9e", fake: "#b04500", judge: "#6a3d9a",
};
// A color as a style, which a theme may replace; the value beside it is for where no theme speaks.
const ink = (name, what = "fill") => `${what}:var(--game-${name},${PAPER[name]})`;
const pixel = (value) => value.toFixed(1);
const inside = (x) => Math.abs(x) <= EDGE;
const number = (value) => (Math.abs(value) < 0.005 ? 0 : value).toFixed(2).replace("-", "\u2212");

// The sheet's color around the letters keeps them legible where a line crosses them.
const text = (x, y, words, { anchor = "start", color = "ink", size = 13, bold = false } = {}) =>
  `<text x="${pixel(x)}" y="${pixel(y)}" text-anchor="${anchor}" font-size="${size}" ` +
  `${bold ? 'font-weight="600" ' : ""}paint-order="stroke" stroke-width="4" stroke-linejoin="round" ` +
  `style="${ink(color)};${ink("sheet", "stroke")}">${words}</text>`;
const line = (x1, y1, x2, y2, color, extra = "") =>
  `<path d="M${pixel(x1)} ${pixel(y1)}L${pixel(x2)} ${pixel(y2)}" fill="none" style="${ink(color, "stroke")}" ${extra}/>`;
const curve = (points, color, extra) =>
  `<path d="M${points.map(([x, y]) => `${pixel(x)} ${pixel(y)}`).join("L")}" fill="none" ` +
  `stroke-linejoin="round" style="${ink(color, "stroke")}" ${extra}/>`;
const diamond = (x, y, r, extra) =>
  `<path d="M${pixel(x)} ${pixel(y - r)}l${r} ${r}l${-r} ${r}l${-r} ${-r}z" ${extra}/>`;
const dot = (x, y, r, extra) => `<circle cx="${pixel(x)}" cy="${pixel(y)}" r="${r}" ${extra}/>`;

function svg(width, height, label, parts) {
  return (
    `<svg role="img" aria-label="${label}" viewBox="0 0 ${width} ${height}" ` +
    `width="${width}" height="${height}" style="max-width:100%;height:auto" ` +
    `font-family="system-ui,'Segoe UI',Roboto,Arial,sans-serif">` +
    `<rect width="${width}" height="${height}" style="${ink("sheet")}"/>${parts.join("")}</svg>`
  );
}

function hill(density, across, base, color) {
  const points = [];
  for (let i = 0; i <= 125; i += 1) {
    const x = -EDGE + (i * 2 * EDGE) / 125;
    points.push(`${pixel(across(x))} ${pixel(base - Math.min(58, 34 * density(x)))}`);
  }
  return (
    `<path d="M${pixel(across(-EDGE))} ${base}L${points.join("L")}L${pixel(across(EDGE))} ${base}z" ` +
    `style="${ink(color)}" opacity=".18"/>` + line(across(-EDGE), base, across(EDGE), base, "line")
  );
}

function axes(across, up) {
  const parts = [];
  for (const [value, words] of [[0, "0"], [0.5, "\u00bd"], [1, "1"]]) {
    parts.push(line(across(-EDGE), up(value), across(EDGE), up(value), "line", value === 0.5 ? 'stroke-dasharray="2 4"' : ""));
    parts.push(text(LEFT - 8, up(value) + 4, words, { anchor: "end", color: "soft", size: 12 }));
  }
  for (const x of [-1, 1]) parts.push(line(across(x), PLOT.top, across(x), PLOT.real, "line", 'stroke-dasharray="2 4"'));
  for (const x of [-2, -1, 0, 1, 2])
    parts.push(text(across(x), PLOT.bottom + 16, number(x).replace(".00", ""), { anchor: "middle", color: "soft", size: 12 }));
  parts.push(text(across(EDGE), PLOT.bottom + 16, "x", { anchor: "middle", color: "soft", size: 12 }));
  return parts;
}

// Real samples share two places: they are piled up, so that each can be counted.
function piles(game, across) {
  return [-1, 1].flatMap((x) => {
    const many = game.real.filter((value) => value === x).length;
    const pitch = Math.min(7, 56 / Math.max(many, 1));
    return Array.from({ length: many }, (_, i) =>
      dot(across(x), PLOT.real - 4 - i * pitch, 3.2, `stroke-width=".8" style="${ink("real")};${ink("sheet", "stroke")}"`),
    );
  });
}

// From z up to the sample x, or towards it as far as the picture goes.
function thread(z, x, across, foot, color, extra) {
  const part = inside(x) ? 1 : (Math.sign(x) * EDGE - z) / (x - z);
  const head = foot + part * (PLOT.fake - foot);
  return line(across(z), foot, across(z + part * (x - z)), head, color, extra);
}

// How many generated samples lie beyond each side of the picture.
function beyond(game, across) {
  const fake = game.z.map((z) => G(game, z));
  const [left, right] = [fake.filter((x) => x < -EDGE).length, fake.filter((x) => x > EDGE).length];
  const note = (x, words, anchor) => text(across(x), PLOT.fake - 26, words, { anchor, color: "fake", size: 12 });
  return [
    ...(left ? [note(-EDGE, `\u25c2 ${left} beyond`, "start")] : []),
    ...(right ? [note(EDGE, `${right} beyond \u25b8`, "end")] : []),
  ];
}

function threads(game, across) {
  const parts = [];
  for (const z of game.z) {
    const x = G(game, z);
    if (inside(z)) parts.push(dot(across(z), PLOT.latent, 2.4, `style="${ink("soft")}"`));
    if (inside(z)) parts.push(thread(z, x, across, PLOT.latent, "fake", 'stroke-width="1" opacity=".35"'));
    if (inside(x))
      parts.push(diamond(across(x), PLOT.fake, 4.5, `stroke-width=".8" style="${ink("fake")};${ink("sheet", "stroke")}"`));
  }
  return parts;
}

// The slider's z: up to where G sends it, on to what D says of it, and where G's loss pushes it.
function probe(game, z, minimax, across, up) {
  const x = G(game, z);
  const lead = thread(z, x, across, PLOT.height, "fake", 'stroke-width="2.2"');
  if (!inside(x)) return [lead];
  const [at, says, force] = [across(x), up(D(game, x)), push(game, x, minimax)];
  const reach = Math.max(-1, Math.min(1, 2 * force));
  const tip = Math.max(across(-EDGE), Math.min(across(EDGE), across(x + reach)));
  const turn = Math.sign(force) * 7;
  const parts = [
    lead,
    line(at, PLOT.fake, at, says, "fake", 'stroke-width="1.3" stroke-dasharray="3 3"'),
    dot(at, says, 5.5, `stroke-width="2" style="${ink("judge")};${ink("sheet", "stroke")}"`),
  ];
  if (Math.abs(tip - at) > 12) {
    const y = PLOT.fake - 18;
    parts.push(line(at, y, tip - turn, y, "fake", 'stroke-width="2.6"'));
    parts.push(`<path d="M${pixel(tip)} ${y}l${-turn * 1.2} -5v10z" style="${ink("fake")}"/>`);
  }
  parts.push(dot(at, PLOT.fake, 7.5, `stroke-width="2.6" style="${ink("sheet")};${ink("fake", "stroke")}"`));
  return parts;
}

// Where a legend begins: it may be as wide as a telephone.
const legendFrom = (width) => (width < 400 ? 6 : LEFT);

function legend(width) {
  const from = legendFrom(width);
  const best = width < 480 ? "D*(x), the best D" : "D*(x), the best D against this G";
  const end = width < 260 ? "D*(x), best" : best;
  return [
    line(from, 16, from + 24, 16, "judge", 'stroke-width="3"'),
    text(from + 30, 20, "D(x)", { color: "judge", bold: true }),
    line(from + 82, 16, from + 108, 16, "judge", 'stroke-width="1.8" stroke-dasharray="6 4"'),
    text(from + 114, 20, end, { color: "judge" }),
  ];
}

export function describe(game, z) {
  const count = (x) => game.real.filter((value) => value === x).length;
  const fake = game.z.map((value) => G(game, value));
  return (
    `D goes from ${number(D(game, -EDGE))} at x = ${number(-EDGE)} to ${number(D(game, EDGE))} at x = ${number(EDGE)}. ` +
    `Real samples: ${count(-1)} at \u22121 and ${count(1)} at 1. ` +
    `Generated samples: from ${number(Math.min(...fake))} to ${number(Math.max(...fake))}. ` +
    `G sends z = ${number(z)} to ${number(G(game, z))}, of which D says ${number(D(game, G(game, z)))}.`
  );
}

// The whole game over x: D and D*, the real row, the generated row, and z below, from which threads lead up.
export function drawGame(game, z, minimax, width) {
  const across = (x) => LEFT + ((x + EDGE) / (2 * EDGE)) * (width - LEFT - RIGHT);
  const up = (value) => PLOT.bottom - value * (PLOT.bottom - PLOT.top);
  const graph = (f) => Array.from({ length: 126 }, (_, i) => -EDGE + (i * 2 * EDGE) / 125).map((x) => [across(x), up(f(x))]);
  return svg(width, PLOT.height, describe(game, z), [
    ...legend(width),
    ...axes(across, up),
    hill(pData, across, PLOT.real, "real"),
    ...piles(game, across),
    hill((x) => pG(game, x), across, PLOT.fake, "fake"),
    curve(graph((x) => bestD(game, x)), "judge", 'stroke-width="1.8" stroke-dasharray="6 4"'),
    curve(graph((x) => D(game, x)), "judge", 'stroke-width="3"'),
    ...threads(game, across),
    ...beyond(game, across),
    ...probe(game, z, minimax, across, up),
    text(6, PLOT.real - 4, "real", { color: "real", bold: true }),
    text(6, PLOT.fake + 4, "G(z)", { color: "fake", bold: true }),
    text(6, PLOT.latent + 4, "z", { color: "soft", bold: true }),
  ]);
}

// At most 300 points of a long game: more would not be seen.
function thinned(values) {
  const stride = Math.ceil(values.length / 300);
  return values.map((value, i) => [i, value]).filter(([i]) => i % stride === 0 || i === values.length - 1);
}

export function drawLosses(game, minimax, width) {
  const d = game.losses.map((entry) => entry.d);
  const g = game.losses.map((entry) => (minimax ? entry.minimax : entry.nonSaturating));
  const steps = Math.max(20, d.length - 1);
  const [low, high] = [Math.min(0, ...g), Math.max(1.7, ...d, ...g)];
  const across = (i) => LEFT + (i / steps) * (width - LEFT - RIGHT);
  const up = (value) => LOSS.bottom - ((value - low) / (high - low)) * (LOSS.bottom - LOSS.top);
  const path = (values) => thinned(values).map(([i, value]) => [across(i), up(value)]);
  const last = d.length - 1;
  const from = legendFrom(width);
  const small = width < 260 ? [10, 11, from + 104] : [16, 12, from + 116];
  const [swatch, size, second] = width < 400 ? small : [24, 13, from + 140];
  const label =
    `Losses over ${last} steps. D's summed loss is ${number(d[last])}, log 4 is ${number(LOG4)}; G's loss is ${number(g[last])}.`;
  const tick = (value) => text(LEFT - 8, up(value) + 4, number(value).replace(".00", ""), { anchor: "end", color: "soft", size: 12 });
  return svg(width, LOSS.height, label, [
    line(from, 16, from + swatch, 16, "judge", 'stroke-width="2.4"'),
    text(from + swatch + 6, 20, `D's loss ${number(d[last])}`, { color: "judge", bold: true, size }),
    line(second, 16, second + swatch, 16, "fake", 'stroke-width="2.4" stroke-dasharray="7 2"'),
    text(second + swatch + 6, 20, `G's loss ${number(g[last])}`, { color: "fake", bold: true, size }),
    line(LEFT, up(0), width - RIGHT, up(0), "line"),
    line(LEFT, up(LOG4), width - RIGHT, up(LOG4), "soft", 'stroke-width="1.2" stroke-dasharray="2 4"'),
    text(LEFT - 8, up(LOG4) + 4, "log 4", { anchor: "end", color: "soft", size: 12 }),
    tick(0),
    ...(low < -0.4 ? [tick(-0.5)] : []),
    text(LEFT, LOSS.height - 6, "0", { anchor: "middle", color: "soft", size: 12 }),
    text(width - RIGHT, LOSS.height - 6, `${steps} steps`, { anchor: "end", color: "soft", size: 12 }),
    curve(path(g), "fake", 'stroke-width="2" stroke-dasharray="7 2"'),
    curve(path(d), "judge", 'stroke-width="2"'),
    dot(across(last), up(g[last]), 3.4, `style="${ink("fake")}"`),
    dot(across(last), up(d[last]), 3.4, `style="${ink("judge")}"`),
  ]);
}

// ------------------------------------------------------------------ the page

const STYLE = `
:host { display: block; container-type: inline-size; }
.game { position: relative; --game-ink: #1f2933; --game-soft: #55606e; --game-line: #d5dae1; --game-sheet: #ffffff; --game-real: #005f9e;
  --game-fake: #b04500; --game-judge: #6a3d9a; --game-button: #f3f4f6; --game-border: #838c97; color-scheme: light;
  background: var(--game-sheet); border: 1px solid var(--game-line); border-radius: 10px; box-sizing: border-box;
  color: var(--game-ink); font: 15px/1.45 system-ui, "Segoe UI", Roboto, Arial, sans-serif; margin: 4px; padding: 12px 14px; }
.game.dark { --game-ink: #e6e9ee; --game-soft: #a9b3bf; --game-line: #3b444f; --game-sheet: #171c23; --game-real: #79c0ff;
  --game-fake: #ffa657; --game-judge: #cbaaff; --game-button: #252c36; --game-border: #7b8794; color-scheme: dark; }
.formulas { display: flex; flex-wrap: wrap; font-size: 16px; font-variant-numeric: tabular-nums; font-weight: 600;
  gap: 2px 26px; margin: 6px 0; }
.g { color: var(--game-fake); } .d { color: var(--game-judge); }
svg { display: block; }
.slide { font-variant-numeric: tabular-nums; margin-top: 2px; }
input[type=range] { -webkit-appearance: none; appearance: none; background: transparent; box-sizing: border-box; cursor: pointer;
  display: block; height: 32px; margin: 0 ${RIGHT - 13}px 0 ${LEFT - 13}px; padding: 0; touch-action: pan-y;
  width: calc(100% - ${LEFT + RIGHT - 26}px); }
input[type=range]::-webkit-slider-runnable-track { background: var(--game-border); border-radius: 3px; height: 4px; }
input[type=range]::-moz-range-track { background: var(--game-border); border-radius: 3px; height: 4px; }
input[type=range]::-webkit-slider-thumb { -webkit-appearance: none; background: var(--game-fake);
  border: 3px solid var(--game-sheet); border-radius: 50%; box-sizing: border-box; height: 26px; margin-top: -11px; width: 26px; }
input[type=range]::-moz-range-thumb { background: var(--game-fake); border: 3px solid var(--game-sheet); border-radius: 50%;
  box-sizing: border-box; height: 26px; width: 26px; }
.controls { display: flex; flex-wrap: wrap; gap: 8px; margin: 8px 0 10px; }
button { background: var(--game-button); border: 1px solid var(--game-border); border-radius: 7px; color: var(--game-ink);
  cursor: pointer; font: inherit; font-weight: 600; min-height: 44px; padding: 6px 14px; touch-action: manipulation; }
button:hover { border-color: var(--game-ink); }
button.g, button.d { border-width: 2px; }
button.g { border-color: var(--game-fake); color: var(--game-fake); }
button.d { border-color: var(--game-judge); color: var(--game-judge); }
button:focus-visible, input:focus-visible { outline: 3px solid var(--game-real); outline-offset: 2px; }
input[type=range]:focus-visible { border-radius: 16px; outline-offset: -2px; }
fieldset { border: 0; display: flex; flex-wrap: wrap; gap: 0 18px; margin: 0 0 6px; min-width: 0; padding: 0; }
legend { float: left; margin-right: 14px; padding: 8px 0 0; }
fieldset label { align-items: center; cursor: pointer; display: inline-flex; gap: 7px; min-height: 38px; }
input[type=radio] { accent-color: var(--game-fake); height: 18px; margin: 0; width: 18px; }
p { margin: 4px 0 0; } sub { line-height: 0; } .count { font-variant-numeric: tabular-nums; font-weight: 600; }
.caption { color: var(--game-soft); font-size: 13.5px; }
.said { clip-path: inset(50%); height: 1px; overflow: hidden; position: absolute; white-space: nowrap; width: 1px; }
@container (max-width: 460px) {
  .game { padding: 10px 8px; }
  .formulas { font-size: 13px; }
  .controls { gap: 6px; }
  .controls button { flex: 1 1 27%; font-size: 14px; padding: 6px 2px; white-space: nowrap; }
  legend { margin: 0; padding: 0; width: 100%; }
}
@media print { .controls, fieldset, .slide { display: none; } }
`;

const BODY = `
<p>D learns to say 1 to real samples and 0 to generated ones. G learns to make samples that D says 1 to.</p>
<p class="formulas"><span class="g"></span><span class="d"></span></p>
<div class="plot"></div>
<input type="range" id="z" min="${-EDGE}" max="${EDGE}" step="0.05" value="1">
<p class="slide"><label for="z">Slide <span class="g">z</span>:</label> <span class="told"></span></p>
<div class="controls">
<button type="button" class="d" data-do="d">Step D</button>
<button type="button" class="g" data-do="g">Step G</button>
<button type="button" data-do="both">Step both</button>
<button type="button" data-do="run">Run slowly</button>
<button type="button" data-do="reset">Reset</button>
</div>
<fieldset><legend>G's loss:</legend>
<label><input type="radio" name="loss" value="non-saturating" checked>non-saturating</label>
<label><input type="radio" name="loss" value="minimax">minimax</label></fieldset>
<div class="loss"></div>
<p class="count"></p>
<p class="caption">Each step learns from the ${BATCH} real and ${BATCH} generated samples that are shown, then new ones are drawn. The
arrow is where G's loss pushes the sample made from your z. A D that always says \u00bd loses log 4 \u2248 1.39. D* needs densities (the shaded hills): it takes
p<sub>data</sub> to be two Gaussians of standard deviation ${MODE_STD} at \u00b11, where the real samples sit exactly, and
p<sub>g</sub>\u00a0=\u00a0N(b,\u00a0w\u00b2).</p>
<div class="said" role="status" aria-live="polite"></div>
`;

const EVERY = 250; // ms between steps while it runs
const signed = (value) => (number(value).startsWith("\u2212") ? `\u2212 ${number(-value)}` : `+ ${number(value)}`);
const counted = (game) => `D: ${game.dSteps} ${game.dSteps === 1 ? "step" : "steps"}, G: ${game.gSteps} ${game.gSteps === 1 ? "step" : "steps"}`;

// What is shown, as numbers: with a kernel, LatentPlayground.state.
function snapshot(game, slider, minimax) {
  const { w, b, a, c, real, z } = game;
  const last = game.losses[game.losses.length - 1];
  return {
    w, b, a, c, real, z, generated: z.map((value) => G(game, value)), d_steps: game.dSteps, g_steps: game.gSteps, slider,
    loss_d: last.d, loss_g: minimax ? last.minimax : last.nonSaturating,
  };
}

// Each host says in its own way whether it is dark: the book, JupyterLab, Colab, VS Code, else the system.
function isDark() {
  const [root, body] = [document.documentElement, document.body];
  const said = root.dataset.theme || root.getAttribute("theme");
  if (said === "dark" || said === "light") return said === "dark";
  if (body.dataset.jpThemeLight) return body.dataset.jpThemeLight === "false";
  if (body.dataset.vscodeThemeKind) return !body.dataset.vscodeThemeKind.includes("light");
  return matchMedia("(prefers-color-scheme: dark)").matches;
}

function followTheme(panel) {
  const apply = () => panel.classList.toggle("dark", isDark());
  const observer = new MutationObserver(apply);
  const options = { attributes: true, attributeFilter: ["data-theme", "theme", "data-jp-theme-light", "data-vscode-theme-kind"] };
  for (const node of [document.documentElement, document.body]) observer.observe(node, options);
  const system = matchMedia("(prefers-color-scheme: dark)");
  system.addEventListener("change", apply);
  apply();
  return () => {
    observer.disconnect();
    system.removeEventListener("change", apply);
  };
}

export function render({ model, el }) {
  const host = document.createElement("div");
  const shadow = host.attachShadow({ mode: "open" }); // the page's own styles stay out, ours stay in
  shadow.innerHTML = `<style>${STYLE}</style><div class="game" role="group" aria-label="Latent playground">${BODY}</div>`;
  el.append(host);
  const find = (selector) => shadow.querySelector(selector);
  const seed = model.get("seed") ?? SEED;
  let game = start(seed);
  let timer = null;
  let width = 0;
  const slider = () => Number(find("#z").value);
  const minimax = () => find("[value=minimax]").checked;

  function show() {
    const x = G(game, slider());
    find(".formulas .g").textContent = `G(z) = w\u2009z + b = ${number(game.w)}\u2009z ${signed(game.b)}`;
    find(".formulas .d").textContent = `D(x) = \u03c3(a\u2009x + c) = \u03c3(${number(game.a)}\u2009x ${signed(game.c)})`;
    const told = [`z = ${number(slider())}`, `G(z) = ${number(x)}`, `D(G(z)) = ${number(D(game, x))}`];
    find(".told").textContent = told.map((words) => words.replaceAll(" ", "\u00a0")).join(" \u2192\u00a0"); // breaks here alone
    find("#z").setAttribute("aria-valuetext", told.join(", "));
    find(".plot").innerHTML = drawGame(game, slider(), minimax(), width);
    find(".loss").innerHTML = drawLosses(game, minimax(), width);
    find(".count").textContent = counted(game);
    model.set("state", snapshot(game, slider(), minimax()));
    model.save_changes();
  }
  // Spoken once a press; while the game runs it would never end, so then only the pause is.
  const say = () => {
    find(".said").textContent = counted(game);
  };
  function pause() {
    clearInterval(timer);
    timer = null;
    find("[data-do=run]").textContent = "Run slowly";
  }
  function run() {
    find("[data-do=run]").textContent = "Pause";
    timer = setInterval(() => {
      if (document.hidden) return;
      game = stepBoth(game, minimax());
      show();
    }, EVERY);
  }
  const actions = {
    d: () => { game = stepD(game); },
    g: () => { game = stepG(game, minimax()); },
    both: () => { game = stepBoth(game, minimax()); },
    run: () => (timer === null ? run() : pause()),
    reset: () => { pause(); game = start(seed); },
  };
  find(".controls").addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    actions[button.dataset.do]();
    show();
    if (timer === null) say();
  });
  find("#z").addEventListener("input", show);
  find("fieldset").addEventListener("change", show);
  const fit = () => {
    const room = Math.floor(find(".plot").clientWidth) || 640;
    if (room === width) return;
    width = room;
    show();
  };
  const sizes = new ResizeObserver(fit);
  sizes.observe(host);
  const leaveTheme = followTheme(find(".game"));
  fit();
  return () => {
    pause();
    sizes.disconnect();
    leaveTheme();
  };
}

// On a page without a kernel: play in each mount that a notebook stored, with a model that is only a map.
export function mount(root = document) {
  for (const el of root.querySelectorAll(".gancourse-playground:not([data-mounted])")) {
    const values = new Map([["seed", Number(el.dataset.seed) || 0]]);
    el.model = { get: (name) => values.get(name), set: (name, value) => values.set(name, value), save_changes: () => {} };
    el.dataset.mounted = "";
    el.replaceChildren();
    render({ model: el.model, el });
  }
}

export default { render };
