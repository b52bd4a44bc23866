// The pictures: photo, target, prediction or errors of each, drawn from a photo and two maps of
// class ids. A view is previewed while its button is pointed at, and chosen by a click or a key.
const VIEWS = ["photo", "target", "prediction", "errors"];
const VOID = 255;
const STRIPE = [154, 154, 154], BETWEEN = [216, 216, 216]; // of pixels that are not labeled
const MISSED = [255, 214, 64], ERROR = [240, 70, 50];
const palette = report.colors.map(color => [1, 3, 5].map(at => parseInt(color.slice(at, at + 2), 16)));
const cards = [...document.querySelectorAll(".picture")].map(figure => new Card(figure));

function Card(figure) {
  const canvas = figure.querySelector("canvas"), reading = figure.querySelector(".reading");
  const buttons = [...figure.querySelectorAll(".views button")];
  const photo = figure.querySelector("img.photo");
  let chosen = "prediction", shown = chosen, pixels = null, maps = null;

  const load = async () => {
    const images = VIEWS.slice(0, 3).map(view => figure.querySelector(`img.${view}`));
    await Promise.all(images.map(image => image.decode()));
    canvas.width = photo.naturalWidth;
    canvas.height = photo.naturalHeight;
    const pen = canvas.getContext("2d", {willReadFrequently: true});
    const [colors, target, prediction] = images.map(image => {
      pen.drawImage(image, 0, 0);
      return pen.getImageData(0, 0, canvas.width, canvas.height).data;
    });
    const ids = data => Uint8Array.from({length: data.length / 4}, (_, at) => data[4 * at]);
    pixels = colors;
    maps = {target: ids(target), prediction: ids(prediction)};
    photo.hidden = true;
    canvas.hidden = false;
    draw();
  };

  const draw = () => {
    if (!maps) return;
    const {target, prediction} = maps;
    const image = new ImageData(canvas.width, canvas.height), data = image.data;
    const ids = shown === "target" ? target : prediction;
    for (let at = 0, to = 0; at < target.length; at++, to += 4) {
      let color = null, dark = 1, pale = 0; // a color, or the photo made darker or gray
      if (shown === "errors") {
        color = wrong(at, target[at], prediction[at]);
        [dark, pale] = [0.55, 20];
      } else if (shown !== "photo") {
        const id = ids[at];
        if (highlighted === null || id === highlighted) color = id === VOID ? hatch(at) : palette[id];
        else [dark, pale] = [0.5, 40];
      } else if (highlighted !== null && target[at] !== highlighted) {
        dark = 0.35;
      }
      if (color && shown === "errors" && target[at] !== VOID) {
        const gray = 0.3 * pixels[to] + 0.59 * pixels[to + 1] + 0.11 * pixels[to + 2];
        data[to] = 0.75 * color[0] + 0.25 * gray;
        data[to + 1] = 0.75 * color[1] + 0.25 * gray;
        data[to + 2] = 0.75 * color[2] + 0.25 * gray;
      } else if (color) {
        data[to] = color[0];
        data[to + 1] = color[1];
        data[to + 2] = color[2];
      } else if (pale) {
        const gray = 0.3 * pixels[to] + 0.59 * pixels[to + 1] + 0.11 * pixels[to + 2];
        data[to] = data[to + 1] = data[to + 2] = pale + dark * gray;
      } else {
        data[to] = dark * pixels[to];
        data[to + 1] = dark * pixels[to + 1];
        data[to + 2] = dark * pixels[to + 2];
      }
      data[to + 3] = 255;
    }
    canvas.getContext("2d").putImageData(image, 0, 0);
  };

  const hatch = at => {
    const place = at % canvas.width + Math.floor(at / canvas.width);
    return place % 8 < 3 ? STRIPE : BETWEEN;
  };
  // Of a wrong pixel: yellow where the highlighted class is missed, red all other errors.
  const wrong = (at, t, p) => {
    if (t === VOID) return hatch(at);
    if (t === p || (highlighted !== null && t !== highlighted && p !== highlighted)) return null;
    return t === highlighted ? MISSED : ERROR;
  };

  const show = view => {
    shown = view;
    canvas.dataset.view = view;
    draw();
  };
  const choose = view => {
    chosen = view;
    for (const button of buttons) button.setAttribute("aria-pressed", button.dataset.view === view);
    show(view);
  };

  for (const button of buttons) {
    button.addEventListener("click", () => choose(button.dataset.view));
    button.addEventListener("pointerenter", event => {
      if (event.pointerType === "mouse") show(button.dataset.view);
    });
    button.addEventListener("pointerleave", () => show(chosen));
  }
  canvas.addEventListener("click", () => {
    choose(VIEWS[(VIEWS.indexOf(chosen) + 1) % VIEWS.length]);
  });
  canvas.addEventListener("pointermove", event => {
    const box = canvas.getBoundingClientRect();
    const x = Math.floor((event.clientX - box.left) * canvas.width / box.width);
    const y = Math.floor((event.clientY - box.top) * canvas.height / box.height);
    const at = y * canvas.width + x;
    if (!maps || x < 0 || y < 0 || x >= canvas.width || y >= canvas.height) return;
    const name = id => id === VOID ? "not labeled" : report.names[id];
    const [t, p] = [maps.target[at], maps.prediction[at]];
    reading.textContent = t === p ? `${name(t)}, as predicted` : `${name(t)}, predicted ${name(p)}`;
  });
  canvas.addEventListener("pointerleave", () => {
    reading.textContent = "";
  });
  canvas.dataset.view = chosen;
  highlighters.push(draw);
  load();
  return {figure, choose};
}

const all = [...document.querySelectorAll(".all")];
function chooseAll(view) {
  for (const card of cards) card.choose(view);
  for (const button of all) button.setAttribute("aria-pressed", button.dataset.view === view);
}
for (const button of all) button.addEventListener("click", () => chooseAll(button.dataset.view));
document.addEventListener("keydown", event => {
  const view = VIEWS[Number(event.key) - 1];
  if (!view || event.ctrlKey || event.metaKey || event.altKey || !cards.length) return;
  const card = cards.find(each => each.figure.contains(document.activeElement));
  if (card) card.choose(view);
  else chooseAll(view);
});

const chips = [...document.querySelectorAll("button.chip")];
for (const chip of chips) {
  chip.addEventListener("click", () => {
    const on = chip.getAttribute("aria-pressed") !== "true";
    for (const each of chips) each.setAttribute("aria-pressed", on && each === chip);
    highlight(on ? Number(chip.dataset.class) : null);
  });
}
