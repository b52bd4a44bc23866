// Sorting, filters and pages of the gallery, and one picture at a large size. A picture is packed:
// name, address, photo's address, 2 * browsers show the photo + has a thumbnail, height, width,
// [class, share, ...], uncertainty or null, [output, ...]
const PER_PAGE = 60;
const byId = id => document.getElementById(id);
const pictures = data.pictures.map(
  ([name, address, photo, flags, height, width, packed, uncertainty, outputs]) => {
    const shares = [];
    for (let at = 0; at < packed.length; at += 2) shares.push([packed[at], packed[at + 1]]);
    return {name, address, photo, shown: flags > 1, thumbnail: flags % 2 === 1, height, width,
      shares, uncertainty, outputs};
  });
let listed = pictures, page = 0, large = -1;

const make = (tag, className = "", text = "") => {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text) element.textContent = text;
  return element;
};
const percent = share => `${share > 0 && share < 0.001 ? "<0.1" : (100 * share).toFixed(1)}%`;
const shareOf = (picture, wanted) => (picture.shares.find(([index]) => index === wanted) || [0, 0])[1];
const chosenClass = () => (byId("class").value === "" ? null : Number(byId("class").value));

function image(source, className) {
  const element = make("img", className);
  element.alt = "";
  element.loading = "lazy";
  element.decoding = "async";
  element.draggable = false;
  element.src = source;
  return element;
}

// The photo, over it the classes' colors: hue alone, and plain, as much as the strength asks for.
function frame(picture, full = false) {
  const element = make("span", "frame");
  element.style.setProperty("--width", picture.width);
  element.style.setProperty("--height", picture.height);
  const labels = picture.outputs.map(index => data.outputs[index]).find(([title]) => title === "labels");
  const small = `gallery/${picture.address}.jpg`;
  if (full && picture.shown && labels) {
    const photo = image(picture.photo, "whole");
    // A photo that was moved since: the thumbnail has it too.
    photo.addEventListener("error", () => picture.thumbnail && element.replaceWith(frame(picture)), {once: true});
    const colors = `labels/${picture.address}.png`;
    element.append(photo, ...["hue", "plain"].map(kind => {
      const layer = make("span", `layer ${kind}`);
      layer.append(image(colors, "whole pixels"));
      return layer;
    }));
  } else if (picture.thumbnail) {
    element.append(image(small, "photo"), ...["hue", "plain"].map(kind => {
      const layer = make("span", `layer ${kind}`);
      layer.append(image(small, "half"));
      return layer;
    }));
  } else {
    element.classList.add("empty");
    element.append(make("span", "", "no preview"));
    return element;
  }
  element.append(make("span", "edge"));
  return element;
}

function links(picture) {
  const found = picture.outputs.map(index => {
    const [title, folder, suffix] = data.outputs[index];
    return [title, `${folder}/${picture.address}${suffix}`];
  });
  return [["photo", picture.photo], ...found].map(([title, address]) => {
    const link = make("a", "", title);
    link.href = address;
    return link;
  });
}

function tile(picture, index) {
  const figure = make("figure", "tile panel"), open = make("button", "open");
  open.setAttribute("aria-label", `show ${picture.name} large`);
  open.append(frame(picture));
  open.addEventListener("click", () => showLarge(index));
  const caption = make("figcaption", "caption");
  caption.append(make("span", "name", picture.name));
  if (picture.uncertainty !== null) {
    const uncertainty = make("span", "soft", `${percent(picture.uncertainty)} uncertain`);
    uncertainty.title = "1 minus the probability of the class, on average over the pixels";
    caption.append(uncertainty);
  }
  const bar = make("div", "bar"), top = make("ul", "top"), wanted = chosenClass();
  for (const [index, share] of picture.shares) {
    const part = make("span");
    part.style.setProperty("--color", data.colors[index]);
    part.style.setProperty("--share", share);
    part.title = `${data.classes[index]} ${percent(share)}`;
    bar.append(part);
  }
  const first = picture.shares.filter(([index]) => index === wanted);
  for (const [index, share] of [...first, ...picture.shares.filter(([index]) => index !== wanted)].slice(0, 3)) {
    const item = make("li"), color = make("span", "color");
    color.style.setProperty("--color", data.colors[index]);
    item.append(color, make("span", "name", `${data.classes[index]} ${percent(share)}`));
    top.append(item);
  }
  const row = make("div", "links");
  row.append(...links(picture));
  figure.append(open, caption, bar, top, row);
  return figure;
}

function show() {
  const pages = Math.max(1, Math.ceil(listed.length / PER_PAGE));
  page = Math.min(Math.max(page, 0), pages - 1);
  const start = page * PER_PAGE;
  byId("pictures").replaceChildren(
    ...listed.slice(start, start + PER_PAGE).map((picture, index) => tile(picture, start + index)));
  byId("count").textContent = listed.length === pictures.length
    ? `${pictures.length} picture${pictures.length === 1 ? "" : "s"}`
    : `${listed.length} of ${pictures.length} pictures`;
  for (const element of document.querySelectorAll(".where")) element.textContent = `page ${page + 1} of ${pages}`;
  for (const element of document.querySelectorAll(".turn")) element.hidden = pages === 1;
  for (const button of document.querySelectorAll("[data-turn]")) {
    const to = page + Number(button.dataset.turn);
    button.disabled = to < 0 || to >= pages;
  }
}

function choose() {
  const wanted = chosenClass(), text = byId("name").value.toLowerCase();
  const share = byId("sort").querySelector("[value=share]");
  share.disabled = wanted === null;
  if (wanted === null && byId("sort").value === "share") byId("sort").value = "name";
  const sort = byId("sort").value;
  listed = pictures.filter(picture =>
    (wanted === null || shareOf(picture, wanted) > 0) && picture.name.toLowerCase().includes(text));
  if (sort === "share") listed.sort((a, b) => shareOf(b, wanted) - shareOf(a, wanted));
  if (sort === "uncertainty") listed.sort((a, b) => (b.uncertainty ?? -1) - (a.uncertainty ?? -1));
  for (const chip of document.querySelectorAll(".chip[data-class]")) {
    chip.setAttribute("aria-pressed", Number(chip.dataset.class) === wanted);
  }
  page = 0;
  show();
}

function setLook(name, value) {
  byId(name).value = byId(`large-${name}`).value = value;
  document.documentElement.style.setProperty(`--${name}`, value / 100);
  if (name === "split") {
    document.documentElement.style.setProperty("--edge", value > 0 && value < 100 ? "visible" : "hidden");
  }
}

function showLarge(index) {
  large = Math.min(Math.max(index, 0), listed.length - 1);
  const picture = listed[large];
  byId("large-name").textContent = picture.name;
  byId("large-frame").replaceChildren(frame(picture, true));
  byId("large-links").replaceChildren(...links(picture));
  byId("large-shares").replaceChildren(...picture.shares.map(([index, share]) => {
    const row = make("tr"), name = make("td"), color = make("span", "color");
    color.style.setProperty("--color", data.colors[index]);
    name.append(color, " ", make("span", "name", data.classes[index]));
    row.append(name, make("td", "number", percent(share)));
    return row;
  }));
  byId("previous").disabled = large === 0;
  byId("next").disabled = large === listed.length - 1;
  if (!byId("large").open) byId("large").showModal();
}

function drag(event) {
  const box = byId("large-frame").querySelector(".frame").getBoundingClientRect();
  setLook("split", Math.round(Math.min(100, Math.max(0, (100 * (event.clientX - box.left)) / box.width))));
}

// The same results give the same page wherever they are, so it asks where it is.
const folder = decodeURIComponent(location.pathname).split("/").at(-2);
if (folder) {
  byId("folder").textContent = folder;
  document.title = `${folder} · ${document.title}`;
}
if (pictures.length) {
  for (const name of ["split", "strength"]) {
    for (const id of [name, `large-${name}`]) byId(id).addEventListener("input", event => setLook(name, Number(event.target.value)));
    setLook(name, Number(byId(name).defaultValue));
  }
  for (const id of ["sort", "class", "name"]) {
    byId(id).value = id === "sort" ? "name" : ""; // browsers keep what was chosen over a reload
    byId(id).addEventListener("input", choose);
  }
  for (const chip of document.querySelectorAll(".chip[data-class]")) {
    chip.addEventListener("click", () => {
      byId("class").value = byId("class").value === chip.dataset.class ? "" : chip.dataset.class;
      choose();
    });
  }
  for (const button of document.querySelectorAll("[data-turn]")) {
    button.addEventListener("click", () => {
      page += Number(button.dataset.turn);
      show();
      byId("count").scrollIntoView({block: "nearest"});
    });
  }
  byId("close").addEventListener("click", () => byId("large").close());
  byId("previous").addEventListener("click", () => showLarge(large - 1));
  byId("next").addEventListener("click", () => showLarge(large + 1));
  byId("large").addEventListener("keydown", event => {
    if (event.target.type === "range") return; // it moves by the arrows itself
    if (event.key === "ArrowLeft") showLarge(large - 1);
    if (event.key === "ArrowRight") showLarge(large + 1);
  });
  byId("large").addEventListener("click", event => event.target === byId("large") && byId("large").close());
  byId("large-frame").addEventListener("pointerdown", event => {
    byId("large-frame").setPointerCapture(event.pointerId);
    drag(event);
  });
  byId("large-frame").addEventListener("pointermove", event => event.buttons && drag(event));
  choose();
}
