// The picture with the classes of the levels that are on. A map for each set of levels is there
// already: bit i of its place says whether level i is on.
const byId = id => document.getElementById(id);
const every = data.maps.length - 1;
const palette = data.colors.map(color => [1, 3, 5].map(at => parseInt(color.slice(at, at + 2), 16)));
const canvas = byId("picture"), photo = byId("photo");
const levels = [...document.querySelectorAll(".level")], views = [...document.querySelectorAll(".view")];
const percent = share => `${share > 0 && share < 0.001 ? "<0.1" : (100 * share).toFixed(1)}%`;
let on = every, view = "classes", pixels = null;
const maps = new Array(data.maps.length).fill(null);

// The pixels of an image of the page, (4 * width * height) bytes.
async function read(image) {
  await image.decode();
  const sheet = document.createElement("canvas");
  sheet.width = image.naturalWidth;
  sheet.height = image.naturalHeight;
  const pen = sheet.getContext("2d", {willReadFrequently: true});
  pen.drawImage(image, 0, 0);
  return pen.getImageData(0, 0, sheet.width, sheet.height).data;
}

async function map(place) {
  if (!maps[place]) {
    const image = new Image();
    image.src = data.maps[place];
    const bytes = await read(image);
    maps[place] = Uint8Array.from({length: bytes.length / 4}, (_, at) => bytes[4 * at]);
  }
  return maps[place];
}

function draw(now, whole) {
  const image = new ImageData(canvas.width, canvas.height), to = image.data;
  const strength = byId("strength").value / 100;
  for (let at = 0, from = 0; at < now.length; at++, from += 4) {
    const color = palette[now[at]];
    const gray = 0.3 * pixels[from] + 0.59 * pixels[from + 1] + 0.11 * pixels[from + 2];
    const same = view === "changes" && now[at] === whole[at];
    for (let channel = 0; channel < 3; channel++) {
      const own = pixels[from + channel];
      to[from + channel] = view === "photo" ? own
        : same ? 30 + 0.45 * gray : (1 - strength) * own + strength * color[channel];
    }
    to[from + 3] = 255;
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
}

function shares(labels) {
  const counts = new Array(data.classes.length).fill(0);
  for (const id of labels) counts[id]++;
  return counts.map(count => count / labels.length);
}

function tabulate(now, whole) {
  const [current, all] = [shares(now), shares(whole)];
  const present = data.classes.map((_, id) => id).filter(id => current[id] || all[id]);
  present.sort((a, b) => Math.max(current[b], all[b]) - Math.max(current[a], all[a]) || a - b);
  byId("shares").replaceChildren(...present.map(id => {
    const row = document.createElement("tr"), name = document.createElement("th");
    const color = document.createElement("span"), text = document.createElement("span");
    name.scope = "row";
    color.className = "color";
    color.style.setProperty("--color", data.colors[id]);
    text.className = "name";
    text.textContent = data.classes[id];
    name.append(color, text);
    row.append(name, ...[current[id], all[id]].map(share => {
      const cell = document.createElement("td");
      cell.className = "number";
      cell.textContent = percent(share);
      return cell;
    }));
    return row;
  }));
}

function summarize(now, whole) {
  let changed = 0;
  for (let at = 0; at < now.length; at++) changed += now[at] !== whole[at];
  byId("summary").textContent = on === every ? "All levels are on: this is what psp predict writes."
    : `${percent(changed / now.length)} of the picture is another class than with all levels.`;
}

async function show() {
  const wanted = on;
  const [now, whole] = [await map(wanted), await map(every)];
  if (wanted !== on || !pixels) return; // switched again in the meantime
  draw(now, whole);
  tabulate(now, whole);
  summarize(now, whole);
  canvas.dataset.on = on;
}

function choose(next) {
  on = next;
  for (const level of levels) {
    const bit = 1 << level.dataset.bit;
    level.setAttribute("aria-pressed", Boolean(on & bit));
    level.querySelector(".state").textContent = on & bit ? "on" : "off";
  }
  show();
}

for (const level of levels) level.addEventListener("click", () => choose(on ^ (1 << level.dataset.bit)));
byId("every").addEventListener("click", () => choose(every));
byId("none").addEventListener("click", () => choose(0));
for (const button of views) {
  button.addEventListener("click", () => {
    view = button.dataset.view;
    for (const each of views) each.setAttribute("aria-pressed", each === button);
    show();
  });
}
byId("strength").addEventListener("input", show);
document.addEventListener("keydown", event => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const level = levels[Number(event.key) - 1];
  if (level) level.click();
});
canvas.addEventListener("pointermove", event => {
  const box = canvas.getBoundingClientRect();
  const x = Math.floor((event.clientX - box.left) * canvas.width / box.width);
  const y = Math.floor((event.clientY - box.top) * canvas.height / box.height);
  const [now, whole] = [maps[on], maps[every]];
  if (!now || !whole || x < 0 || y < 0 || x >= canvas.width || y >= canvas.height) return;
  const at = y * canvas.width + x, [a, b] = [now[at], whole[at]].map(id => data.classes[id]);
  byId("reading").textContent = a === b ? a : `${a}; with all levels ${b}`;
});
canvas.addEventListener("pointerleave", () => {
  byId("reading").textContent = "";
});

read(photo).then(bytes => {
  canvas.width = photo.naturalWidth;
  canvas.height = photo.naturalHeight;
  canvas.style.setProperty("--width", canvas.width);
  canvas.style.setProperty("--height", canvas.height);
  pixels = bytes;
  show();
});
