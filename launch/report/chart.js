// A line chart. lines: [{name, steps, values, low, high, errors}], all but name and values optional; where: step -> text.
// settings: {smoothing, logarithmic, marks: [step], unit}, read again at each draw.
function chart(parent, title, lines, settings, where) {
  const card = add(parent, "div", {class: "card chart"});
  add(card, "h3", {}, settings.unit ? `${title} (${settings.unit})` : title);
  const legend = add(card, "div", {class: "legend"});
  const svg = add(card, "svg", {role: "img", tabindex: 0, "aria-label": summary(title, lines)});
  const note = add(card, "div", {class: "where", "aria-live": "polite"});
  const values = lines.map((line, i) => {
    const entry = add(legend, "span");
    add(entry, "i", {class: `c${i % 6}`});
    if (line.name) entry.append(line.name);
    return add(entry, "b");
  });
  const every = [...new Set(lines.flatMap(line => line.steps))].sort((a, b) => a - b);
  let at = null;  // index into every of the step pointed at
  let frame = null;

  function draw() {
    svg.replaceChildren();
    const width = Math.max(svg.clientWidth, 200), height = settings.height || 240;
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    svg.setAttribute("height", height);
    const shown = lines.map(line => smooth(line.values, settings.smoothing));
    const range = rangeOf(lines, shown, settings);
    const ticks = range.log ? decades(range) : evenly(range, 5);
    const left = 10 + 7.2 * Math.max(...ticks.map(tick => tickText(tick).length));
    const box = {left, right: width - 10, top: 8, bottom: height - 26};
    const first = every[0] < 0.2 * every[every.length - 1] ? 0 : every[0];
    const x = scale(first, every[every.length - 1], box.left, box.right, false);
    const y = scale(range.low, range.high, box.bottom, box.top, range.log);
    frame = {x, y, box, shown, range};
    axes(svg, box, x, y, ticks, first, every[every.length - 1]);
    for (const step of settings.marks || [])
      if (step >= every[0] && step <= every[every.length - 1])
        add(add(svg, "line", {class: "start", x1: x(step), x2: x(step), y1: box.top, y2: box.bottom}),
          "title", {}, `resumed at step ${whole(step)}`);
    lines.forEach((line, i) => drawLine(svg, line, shown[i], i, x, y, range, settings));
    point();
  }

  function point() {
    svg.querySelectorAll(".here").forEach(old => old.remove());
    const step = at === null ? null : every[at];
    lines.forEach((line, i) => {
      const index = step === null ? line.values.length - 1 : nearest(line.steps, step);
      const error = line.errors && line.errors[index];
      const logged = line.values[index], value = frame.shown[i][index];
      values[i].textContent = short(logged) + (error ? ` ± ${short(error)}` : "") +
        (settings.smoothing ? ` (${short(value)})` : "");
      if (step === null || value === null || (frame.range.log && value <= 0)) return;
      add(svg, "circle", {class: `here c${i % 6}`, r: 4, cx: frame.x(line.steps[index]), cy: frame.y(value)});
    });
    note.textContent = step === null ? "step" : where(step);
    if (step === null) return;
    const {x, box} = frame;
    add(svg, "line", {class: "cursor here", x1: x(step), x2: x(step), y1: box.top, y2: box.bottom});
  }

  function move(index) {
    at = index === null ? null : Math.min(Math.max(index, 0), every.length - 1);
    point();
  }
  function follow(event) {
    const box = svg.getBoundingClientRect();
    move(nearest(every, frame.x.back(event.clientX - box.left)));
  }
  svg.addEventListener("pointermove", follow);
  svg.addEventListener("pointerdown", follow);
  svg.addEventListener("pointerleave", () => move(null));
  svg.addEventListener("blur", () => move(null));
  svg.addEventListener("keydown", event => {
    const jump = {ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10, Home: -Infinity, End: Infinity}[event.key];
    if (jump === undefined) return;
    event.preventDefault();
    move((at === null ? every.length - 1 : at) + jump);
  });
  let width = 0;
  new ResizeObserver(() => {
    if (svg.clientWidth !== width) { width = svg.clientWidth; draw(); }
  }).observe(card);
  return draw;
}

function summary(title, lines) {
  const ends = values => `from ${short(values[0])} to ${short(values[values.length - 1])}`;
  return `${title}: ${lines.map(line => `${line.name} ${ends(line.values)}`.trim()).join(", ")}. The arrow keys read single steps.`;
}

function nearest(sorted, wanted) {
  let low = 0, high = sorted.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sorted[middle] < wanted) low = middle + 1; else high = middle;
  }
  return low > 0 && wanted - sorted[low - 1] < sorted[low] - wanted ? low - 1 : low;
}

// The exponential average of weight w, freed of its bias towards 0.
function smooth(values, weight) {
  if (!weight) return values;
  let sum = 0, count = 0;
  return values.map(value => {
    if (value === null) return null;
    sum = weight * sum + (1 - weight) * value;
    count = weight * count + (1 - weight);
    return sum / count;
  });
}

function rangeOf(lines, shown, settings) {
  const all = [];
  lines.forEach((line, i) => {
    all.push(shown[i], line.values);
    if (line.low && !settings.smoothing) all.push(line.low, line.high);
    if (line.errors) line.errors.forEach((error, k) => all.push([line.values[k] - error, line.values[k] + error]));
  });
  const numbers = all.flat().filter(value => value !== null);
  if (!numbers.length) return {low: 0, high: 1, log: false};
  let low = numbers.reduce((a, b) => Math.min(a, b)), high = numbers.reduce((a, b) => Math.max(a, b));
  const log = Boolean(settings.logarithmic) && low > 0;
  // Rounding alone makes no range.
  if (!(high - low > 1e-9 * Math.max(Math.abs(low), Math.abs(high)))) {
    const room = Math.abs(low) / 10 || 1;
    low -= log ? 0.5 * low : room;
    high += room;
  } else if (log) {
    const room = Math.pow(high / low, 0.04);
    low /= room;
    high *= room;
  } else {
    const room = 0.05 * (high - low);
    if (low >= 0 && low < 0.4 * high) low = 0; else low -= room;
    high += room;
  }
  return {low, high, log};
}

function scale(low, high, from, to, log) {
  if (low === high) { low -= 1; high += 1; }
  const f = log ? Math.log : value => value, inverse = log ? Math.exp : value => value;
  const factor = (to - from) / (f(high) - f(low));
  const map = value => Math.round((from + (f(value) - f(low)) * factor) * 100) / 100;
  map.back = pixel => inverse(f(low) + (pixel - from) / factor);
  return map;
}

function evenly({low, high}, count) {
  const rough = (high - low) / count, power = Math.pow(10, Math.floor(Math.log10(rough)));
  const step = [1, 2, 2.5, 5, 10].map(m => m * power).find(s => s >= rough * 0.999);
  const ticks = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + 1e-9 * step && ticks.length < 20; ++k)
    ticks.push(Number((k * step).toPrecision(10)));
  return ticks;
}

function decades(range) {
  const from = Math.floor(Math.log10(range.low)), to = Math.ceil(Math.log10(range.high));
  const each = to - from > 6 ? [1] : to - from > 2 ? [1, 3] : [1, 2, 5];
  const ticks = [];
  const stride = Math.max(1, Math.ceil((to - from) / 6));
  for (let power = from; power <= to; power += stride)
    for (const m of each) ticks.push(Number(`${m}e${power}`));
  const inside = ticks.filter(tick => tick >= range.low && tick <= range.high);
  return inside.length > 1 ? inside : evenly(range, 4);
}

function axes(svg, box, x, y, ticks, first, last) {
  for (const tick of ticks) {
    add(svg, "line", {class: "rule", x1: box.left, x2: box.right, y1: y(tick), y2: y(tick)});
    add(svg, "text", {x: box.left - 6, y: y(tick) + 4, "text-anchor": "end"}, tickText(tick));
  }
  const count = Math.max(2, Math.floor((box.right - box.left) / 90));
  const labels = first === last ? [first] : evenly({low: first, high: last}, count).filter(tick => Number.isInteger(tick));
  for (const tick of labels) {
    const at = x(tick);
    const anchor = at > box.right - 24 ? "end" : at < box.left + 12 ? "start" : "middle";
    add(svg, "line", {class: "rule", x1: at, x2: at, y1: box.bottom, y2: box.bottom + 4});
    add(svg, "text", {x: at, y: box.bottom + 18, "text-anchor": anchor}, whole(tick));
  }
}

function drawLine(svg, line, shown, i, x, y, range, settings) {
  const drawable = value => value !== null && !(range.log && value <= 0);
  const trace = values => {
    let text = "", pen = false;
    values.forEach((value, k) => {
      if (!drawable(value)) { pen = false; return; }
      text += `${pen ? "L" : "M"}${x(line.steps[k])} ${y(value)}`;
      pen = true;
    });
    return text;
  };
  if (line.low && !settings.smoothing) {
    const usable = line.steps.map((_, k) => k).filter(k => drawable(line.low[k]) && drawable(line.high[k]));
    const up = usable.map(k => `${x(line.steps[k])} ${y(line.high[k])}`);
    const down = usable.map(k => `${x(line.steps[k])} ${y(line.low[k])}`).reverse();
    if (up.length > 1) add(svg, "path", {class: `band c${i % 6}`, d: `M${up.concat(down).join("L")}Z`});
  }
  if (settings.smoothing) add(svg, "path", {class: `faint c${i % 6}`, d: trace(line.values)});
  add(svg, "path", {class: `c${i % 6}`, d: trace(shown)});
  const dots = line.errors !== undefined || line.steps.length < 3;
  line.steps.forEach((step, k) => {
    if (!dots || !drawable(shown[k])) return;
    add(svg, "circle", {class: `c${i % 6}`, r: 3, cx: x(step), cy: y(shown[k])});
    const error = line.errors && line.errors[k], value = line.values[k];
    if (error && drawable(value - error))
      add(svg, "line", {class: `error c${i % 6}`, x1: x(step), x2: x(step), y1: y(value - error), y2: y(value + error)});
  });
}
