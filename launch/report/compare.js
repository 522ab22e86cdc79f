// Real or generated? One image at a time, then what the answers say.
const page = document.getElementById("page");
const images = data.images;
const answers = [];  // {is_real: the person's answer, seconds}
let since = 0;

// Whether image i is real: the parity of its tag's bits.
function truth(i) {
  let bits = parseInt(images[i].tag, 16), odd = false;
  for (; bits; bits &= bits - 1) odd = !odd;
  return odd;
}

// Small images grow by a whole factor, so that each of their pixels stays a square.
function enlarge(image) {
  const room = Math.min(512, window.innerWidth - 40);
  const factor = Math.max(1, Math.floor(room / Math.max(data.width, data.height)));
  image.style.width = `${Math.min(data.width * factor, room)}px`;
}

function clear() {
  page.replaceChildren();
  return add(page, "div", {class: "trial"});
}

function welcome() {
  const box = clear();
  add(box, "h1", {}, "Real or generated?");
  add(box, "p", {}, `You will see ${whole(images.length)} images, one by one, in random order. Half come from the data,
    half were drawn by a network. Say of each which you think it is. There is no time limit, and you are not told whether
    you were right until the end.`);
  const enlarged = Math.max(data.width, data.height) <= 256 ? ", enlarged" : "";
  add(box, "p", {class: "soft"}, `Images of ${data.width} × ${data.height} pixels${enlarged}.`);
  add(add(box, "div", {class: "row middle"}), "button", {type: "button", class: "main", onclick: ask}, "Begin").focus();
}

function ask() {
  const i = answers.length, box = clear();
  add(box, "h1", {}, "Real or generated?");
  add(box, "progress", {max: images.length, value: i, "aria-label": `${i} of ${images.length} answered`});
  add(box, "p", {class: "soft", "aria-live": "polite"}, `Image ${whole(i + 1)} of ${whole(images.length)}`);
  const stage = add(box, "div", {class: "stage"});
  enlarge(add(stage, "img", {src: picture(images[i].png), alt: `Image ${i + 1}: real or generated?`}));
  const buttons = add(box, "div", {class: "answers"});
  for (const [text, key, isReal] of [["Real", "R", true], ["Generated", "G", false]]) {
    const button = add(buttons, "button", {type: "button", onclick: () => answer(isReal)}, `${text} `);
    add(button, "kbd", {}, key);
  }
  const more = add(box, "div", {class: "row middle"});
  const back = add(more, "button", {type: "button", onclick: undo}, "Back ");
  add(back, "kbd", {}, "B");
  back.disabled = i === 0;
  const end = add(more, "button", {type: "button", onclick: result}, "End here");
  end.disabled = i === 0;
  since = performance.now();
}

function answer(isReal) {
  answers.push({is_real: isReal, seconds: Math.round(performance.now() - since) / 1000});
  if (answers.length < images.length) ask(); else result();
}

function undo() {
  answers.pop();
  ask();
}

document.addEventListener("keydown", event => {
  if (!page.querySelector(".answers") || event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  const key = event.key.toLowerCase();
  if (key === "r" || key === "arrowleft") answer(true);
  else if (key === "g" || key === "arrowright") answer(false);
  else if (key === "b" && answers.length) undo();
});

// Wilson's score interval of k successes in n trials, at 95 % (Wilson 1927).
function wilson(k, n) {
  const z = 1.959963984540054, share = k / n;
  const middle = (share + z * z / (2 * n)) / (1 + z * z / n);
  const half = z / (1 + z * z / n) * Math.sqrt(share * (1 - share) / n + z * z / (4 * n * n));
  return [Math.max(0, middle - half), Math.min(1, middle + half)];
}

const kind = isReal => isReal ? "real" : "generated";

function outcome() {
  const count = (real, said) => answers.filter((a, i) => truth(i) === real && a.is_real === said).length;
  const confusion = {
    real_taken_for_real: count(true, true), real_taken_for_generated: count(true, false),
    generated_taken_for_real: count(false, true), generated_taken_for_generated: count(false, false),
  };
  const right = confusion.real_taken_for_real + confusion.generated_taken_for_generated;
  return {
    test: "real or generated, one image at a time (Salimans et al. 2016, section 4)",
    source: data.source, reference: data.reference, seed: data.seed, images: images.length, answered: answers.length,
    confusion, right, accuracy: right / answers.length, accuracy_95_percent_wilson: wilson(right, answers.length),
    answers: answers.map((a, i) => ({image: i, truth: kind(truth(i)), answer: kind(a.is_real), seconds: a.seconds})),
  };
}

const hundredths = share => (100 * share).toFixed(1);

function verdict(found) {
  const [low, high] = found.accuracy_95_percent_wilson;
  if (low > 0.5) return "Better than chance: you can tell the two apart.";
  if (high < 0.5) return "Worse than chance: you tell the two apart, and take the one for the other.";
  return "Chance, 50 %, lies within the interval: these answers do not show that you can tell the two apart.";
}

function result() {
  const found = outcome(), box = clear(), confusion = found.confusion, fooled = confusion.generated_taken_for_real;
  box.className = "";
  add(box, "h1", {}, "Your answers");
  const tiles = add(box, "div", {class: "tiles"});
  for (const [name, value, more] of [
    ["Right", `${hundredths(found.accuracy)} %`, `${found.right} of ${found.answered}`],
    ["95 % interval of that", `${found.accuracy_95_percent_wilson.map(hundredths).join("–")} %`, "Wilson's"],
    ["Generated taken for real", whole(fooled), `of ${fooled + confusion.generated_taken_for_generated}`]]) {
    const tile = add(tiles, "div", {class: "tile"});
    add(tile, "div", {class: "name"}, name);
    add(tile, "div", {class: "value"}, value);
    add(tile, "div", {class: "more"}, more);
  }
  add(box, "p", {class: "verdict"}, verdict(found));
  const table = add(add(box, "div", {class: "card scroll"}), "table", {class: "confusion"});
  const top = add(table, "tr");
  for (const text of ["", "you said real", "you said generated"]) add(top, "th", {scope: "col"}, text);
  for (const kind of ["real", "generated"]) {
    const row = add(table, "tr");
    add(row, "th", {scope: "row"}, `was ${kind}`);
    for (const said of ["real", "generated"])
      add(row, "td", {class: kind === said ? "right" : "wrong"}, confusion[`${kind}_taken_for_${said}`]);
  }
  mistakes(box, true, "Generated, and you said real");
  mistakes(box, false, "Real, and you said generated");
  add(box, "h2", {}, "The answers as JSON");
  const text = JSON.stringify(found, null, 1);
  const field = add(box, "textarea", {readonly: "", "aria-label": "the answers as JSON", id: "result"}, text);
  const row = add(box, "div", {class: "row"});
  const said = add(null, "span", {class: "soft", role: "status"});
  add(row, "button", {type: "button", class: "main", onclick: () => {
    const file = new Blob([text], {type: "application/json"});
    add(null, "a", {href: URL.createObjectURL(file), download: "real-or-generated.json"}).click();
  }}, "Download");
  add(row, "button", {type: "button", onclick: () => {
    field.select();
    said.textContent = document.execCommand("copy") ? "Copied." : "Select the text and copy it.";
  }}, "Copy");
  add(row, "button", {type: "button", onclick: () => { answers.length = 0; welcome(); }}, "Once more");
  row.append(said);
  add(box, "p", {class: "soft"}, `Generated: ${data.source}. Real: ${data.reference}. Seed ${data.seed}.`);
}

function mistakes(box, saidReal, title) {
  const wrong = answers.map((a, i) => i).filter(i => answers[i].is_real === saidReal && truth(i) !== saidReal);
  if (!wrong.length) return;
  add(box, "h2", {}, `${title}: ${wrong.length}`);
  const shelf = add(box, "div", {class: "fooled"});
  for (const i of wrong.slice(0, 60)) {
    const figure = add(shelf, "figure");
    add(figure, "img", {src: picture(images[i].png), alt: `Image ${i + 1}`});
    add(figure, "figcaption", {}, `image ${i + 1}`);
  }
}

welcome();
