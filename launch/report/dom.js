// Elements and texts, for both pages. Text from a run reaches the page through textContent alone.
const data = JSON.parse(document.getElementById("data").textContent);

function add(parent, tag, attributes = {}, ...children) {
  const svg = ["svg", "g", "path", "line", "text", "circle", "rect", "clipPath", "title"].includes(tag);
  const element = svg ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes))
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined) element.setAttribute(name, value);
  element.append(...children.map(String));
  if (parent) parent.append(element);
  return element;
}

const whole = number => Math.round(number).toLocaleString("en");

// About four digits: 0.0002, 12.35, 1.2e-7.
function short(number) {
  if (number === null || number === undefined) return "–";
  const size = Math.abs(number);
  if (size === 0) return "0";
  if (size >= 1e7 || size < 1e-4) return number.toExponential(2).replace("e+", "e").replace(/\.?0+e/, "e");
  return size >= 1000 ? whole(number) : String(Number(number.toPrecision(4)));
}

// A number of an axis, with all its digits.
function tickText(number) {
  const size = Math.abs(number);
  return size >= 1e7 || (size < 1e-4 && size > 0) ? short(number) : number.toLocaleString("en", {maximumFractionDigits: 8});
}

function duration(seconds) {
  if (seconds < 60) return `${short(Math.round(seconds * 10) / 10)} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} h ${minutes % 60} min` : `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

const picture = png => `data:image/png;base64,${png}`;
