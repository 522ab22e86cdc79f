// The page of a run: what `ganymede report RUN` found in its folder.
const page = document.getElementById("page");
const log = data.log;
const starts = data.starts.filter(start => start.step > 0).map(start => start.step);
const settings = {smoothing: log.reports_each === 1 && log.steps.length > 100 ? 0.6 : 0, logarithmic: false};
const redraws = [];

function whereInRun(step) {
  if (!log.steps.length) return `step ${whole(step)}`;
  const k = nearest(log.steps, step);
  const parts = [`step ${whole(step)}`];
  if (log.images.length) parts.push(`${whole(log.images[k])} images`);
  if (log.seconds.length) parts.push(duration(log.seconds[k]));
  return parts.join(" · ");
}

function tile(parent, name, value, more) {
  const box = add(parent, "div", {class: "tile"});
  add(box, "div", {class: "name"}, name);
  add(box, "div", {class: "value"}, value);
  if (more) add(box, "div", {class: "more"}, more);
}

function last(values) { return values.length ? values[values.length - 1] : null; }

function head() {
  const header = add(page, "header");
  add(header, "h1", {}, data.name);
  add(header, "p", {class: "soft"}, `${data.path} · seen ${data.time.replace("T", " ").replace("Z", " UTC")}`);
  const step = data.step, total = data.total_steps;
  if (total > 0)
    add(header, "progress", {max: total, value: Math.min(step, total), "aria-label": `step ${step} of ${total}`});
  const tiles = add(header, "div", {class: "tiles"});
  tile(tiles, "Steps", whole(step), total > 0 ? `of ${whole(total)}` : null);
  if (log.images.length) tile(tiles, "Images seen", whole(last(log.images)));
  const resumed = starts.length === 1 ? "resumed once" : starts.length ? `resumed ${starts.length} times` : null;
  if (log.seconds.length) tile(tiles, "Training time", duration(last(log.seconds)), resumed);
  const speed = log.values.images_per_second;
  if (speed) tile(tiles, "Speed", short(last(speed.mean)), "images/s");
  for (const [name, score] of Object.entries(data.scores).slice(0, 3)) {
    const error = last(score.errors);
    const about = [error ? `± ${short(error)}` : "", `step ${whole(last(score.steps))}`, features(score) || ""];
    tile(tiles, metricName(name), short(last(score.values)), about.filter(part => part).join(", "));
  }
  const now = last(data.starts);
  if (now && now.device === "cuda") tile(tiles, "GPUs", whole(now.ranks), "one a rank");
  else if (now) tile(tiles, "Ranks", whole(now.ranks), `${whole(now.threads)} thread${now.threads === 1 ? "" : "s"} each, CPU`);
}

const metricNames = {
  fid: "FID", sfid: "Spatial FID", "fd-dinov2": "FD-DINOv2", "fid-infinity": "FID at infinity",
  "intra-fid": "Intra-class FID", kid: "KID", is: "Inception score", "ms-ssim": "MS-SSIM", ppl: "PPL", lpips: "LPIPS",
  swd: "Sliced Wasserstein distance",
};
function metricName(name) { return metricNames[name] || name.charAt(0).toUpperCase() + name.slice(1); }

// Scores of a network with random weights compare with nothing else: the name says so wherever it stands.
function features(score) { return score.features ? `${score.features} features` : null; }

function controls(parent) {
  const tools = add(parent, "div", {class: "tools"});
  const smoothing = add(tools, "label", {}, "Smoothing");
  const slider = add(smoothing, "input", {type: "range", min: 0, max: 0.99, step: 0.01, value: settings.smoothing});
  const shown = add(smoothing, "output", {}, settings.smoothing);
  slider.addEventListener("input", () => {
    settings.smoothing = Number(slider.value);
    shown.textContent = slider.value;
    redraws.forEach(draw => draw());
  });
  const scale = add(tools, "label");
  const box = add(scale, "input", {type: "checkbox"});
  scale.append("Logarithmic where all values are above 0");
  box.addEventListener("change", () => {
    settings.logarithmic = box.checked;
    redraws.forEach(draw => draw());
  });
  add(tools, "span", {class: "soft"}, `Smoothed values stand in brackets.${starts.length ? " Dotted lines are restarts." : ""}`);
}

// Names that belong together share a chart.
const groups = [
  {title: "Losses", has: name => /(^|_)loss(_|$)/.test(name), wide: true},
  {title: "Logits", has: name => /_logit$/.test(name)},
  {title: "Gradient norms", has: name => /_gradient_norm$/.test(name), short: name => name.replace("_gradient_norm", "")},
  {title: "Learning rates", exact: true, has: name => /_lr$/.test(name), short: name => name.replace("_lr", "")},
  {title: "Speed", unit: "images/s", has: name => name === "images_per_second"},
  {title: "Gradient sums of the last update", unit: "s", late: true, has: name => /^reduce_(exposed|hidden)_seconds$/.test(name),
   short: name => name.includes("exposed") ? "waited for" : "hidden behind backward",
   worth: values => Math.max(...values) > 1e-3},
  {title: "Checkpoints", unit: "s", late: true, exact: true, has: name => /^save_(copy|write)_seconds$/.test(name),
   short: name => name.includes("copy") ? "waited for" : "written beside training"},
  {title: "GPU memory, most so far", unit: "GiB", has: name => name === "gpu_memory_bytes", factor: 1 / 2 ** 30},
];

function lineOf(name, group) {
  const factor = group.factor || 1;
  const scaled = values => values.map(value => value === null ? null : value * factor);
  const column = log.values[name];
  const line = {name: group.short ? group.short(name) : name, steps: log.steps, values: scaled(column.mean)};
  if (column.low) { line.low = scaled(column.low); line.high = scaled(column.high); }
  return line;
}

function curves() {
  const names = Object.keys(log.values).filter(name => !/^(reduce_(bytes|collectives|seconds)|save_(bytes|step))$/.test(name));
  if (!names.length) return;
  add(page, "h2", {}, "Training");
  controls(page);
  const grid = add(page, "div", {class: "grid"});
  const rest = names.filter(name => !groups.some(group => group.has(name)));
  const own = rest.map(name => ({title: name, has: other => other === name}));
  const charts = [...groups.filter(group => !group.late), ...own, ...groups.filter(group => group.late)];
  for (const group of charts) {
    const lines = names.filter(group.has).map(name => lineOf(name, group));
    if (lines.length === 1) lines[0].name = "";
    if (!lines.length || (group.worth && !lines.some(line => group.worth(line.values)))) continue;
    const style = Object.create(settings);
    Object.assign(style, {marks: starts, unit: group.unit, height: group.wide ? 300 : 220});
    if (group.exact) style.smoothing = 0;
    redraws.push(chart(grid, group.title, lines, style, whereInRun));
    if (group.wide) grid.lastChild.classList.add("wide");
  }
  if (log.reports_each > 1)
    add(page, "p", {class: "soft"}, `Each point is the mean of ${whole(log.reports_each)} reports, the band their least and greatest.`);
}

function scores() {
  const names = Object.keys(data.scores);
  if (!names.length) return;
  add(page, "h2", {}, "Scores");
  const grid = add(page, "div", {class: "grid"});
  for (const name of names) {
    const score = data.scores[name];
    const line = {name: "", steps: score.steps, values: score.values, errors: score.errors};
    const style = {smoothing: 0, marks: starts, unit: features(score)};
    redraws.push(chart(grid, metricName(name), [line], style, whereInRun));
  }
  const warnings = Array.isArray(data.protocol.warnings) ? data.protocol.warnings : [];
  for (const warning of warnings) add(page, "p", {class: "soft"}, textOf(warning));
  if (data.protocol && Object.keys(data.protocol).length) {
    const details = add(page, "details", {style: "margin-top: 16px"});
    add(details, "summary", {}, "Protocol of the last score");
    rows(add(details, "div", {class: "scroll"}), flat(data.protocol));
  }
}

function samples() {
  const grids = data.samples.grids;
  if (!grids.length) return;
  add(page, "h2", {}, "Samples");
  const card = add(page, "div", {class: "card samples"});
  const strip = add(card, "div", {class: "strip"});
  const label = add(strip, "b", {"aria-live": "polite"});
  const back = add(strip, "button", {type: "button", "aria-label": "earlier samples"}, "‹");
  const slider = add(strip, "input", {type: "range", min: 0, max: grids.length - 1, step: 1, "aria-label": "which samples, by step"});
  const forth = add(strip, "button", {type: "button", "aria-label": "later samples"}, "›");
  const image = add(card, "img");
  function show(index) {
    const {step, png} = grids[index];
    slider.value = index;
    slider.setAttribute("aria-valuetext", `step ${whole(step)}`);
    label.textContent = `step ${whole(step)}`;
    image.alt = `Grid of generated images at step ${whole(step)}`;
    image.src = picture(png);
    back.disabled = index === 0;
    forth.disabled = index === grids.length - 1;
  }
  slider.addEventListener("input", () => show(Number(slider.value)));
  back.addEventListener("click", () => show(Number(slider.value) - 1));
  forth.addEventListener("click", () => show(Number(slider.value) + 1));
  show(grids.length - 1);
  const all = data.samples.count;
  const some = all > grids.length ? `${grids.length} of ${whole(all)} grids, at even distance. ` : "";
  add(page, "p", {class: "soft"}, `${some}Every grid is drawn from the same noise and classes.`);
}

function textOf(value) {
  if (Array.isArray(value)) return value.map(textOf).join(", ");
  if (value !== null && typeof value === "object") return JSON.stringify(value);
  return String(value);
}

// {a: {b: 1}} as [["a.b", 1]].
function flat(object, before = "") {
  return Object.entries(object).flatMap(([name, value]) =>
    value !== null && typeof value === "object" && !Array.isArray(value) ? flat(value, `${before}${name}.`) : [[before + name, value]]);
}

function rows(parent, entries) {
  const table = add(parent, "table");
  for (const [name, value] of entries) {
    const row = add(table, "tr");
    add(row, "th", {scope: "row"}, name);
    add(row, "td", {}, textOf(value));
  }
}

function options() {
  if (data.options.length) {
    add(page, "h2", {}, "Options");
    const details = add(page, "details", window.innerWidth > 800 ? {open: ""} : {});
    add(details, "summary", {}, "config.cfg");
    const columns = add(details, "div", {class: "columns"});
    for (const [section, entries] of data.options) {
      const part = add(columns, "section");
      add(part, "h3", {}, section || "(no section)");
      rows(part, entries);
    }
  }
  if (!data.starts.length) return;
  add(page, "h2", {}, "Environment");
  const card = add(page, "div", {class: "card scroll"});
  const table = add(card, "table", {class: "many"});
  const known = ["step", "time", "ranks", "threads", "device", "precision", "hosts", "processor", "ganymede", "torch"];
  const columns = known.filter(name => data.starts.some(start => name in start));
  const names = {step: "from step", time: "started", threads: "threads a rank", torch: "libtorch", ganymede: "Ganymede"};
  const top = add(table, "tr");
  for (const name of columns) add(top, "th", {scope: "col"}, names[name] || name);
  for (const start of data.starts) {
    const row = add(table, "tr");
    for (const name of columns)
      add(row, "td", {class: "number"}, !(name in start) ? "–" : name === "step" ? whole(start.step) : textOf(start[name]));
  }
}

head();
scores();
samples();
curves();
options();
if (!log.steps.length) add(page, "p", {}, "The run has reported nothing yet.");
if (data.passed_over > 0)
  add(page, "p", {class: "soft"}, `${whole(data.passed_over)} lines of its files could not be read and are left out.`);
