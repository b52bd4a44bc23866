// The confusion matrix as a heat map. Cells are drawn on a canvas: 150 classes have 22,500.
const heatmap = document.getElementById("heatmap");
if (heatmap) {
  const counts = report.confusion, names = report.names, size = names.length;
  const rows = counts.map(row => row.reduce((a, b) => a + b, 0));
  const columns = names.map((_, p) => counts.reduce((sum, row) => sum + row[p], 0));
  const reading = document.getElementById("cell");
  const labeled = size <= 64; // more names than that are not readable beside their cells
  let side = "target", at = null, cell = 1, left = 0, top = 0;

  const share = (t, p) => {
    const whole = side === "target" ? rows[t] : columns[p];
    return whole ? counts[t][p] / whole : 0;
  };
  const percent = value => `${(100 * value).toFixed(value > 0 && value < 0.01 ? 2 : 1)}%`;

  function draw() {
    const style = getComputedStyle(document.documentElement);
    const color = name => style.getPropertyValue(name).trim();
    const room = heatmap.parentElement.clientWidth;
    left = labeled ? Math.min(150, room * 0.28) : 4;
    top = labeled ? Math.min(110, 30 + 8 * Math.max(...names.map(name => name.length))) : 4;
    const most = size <= 4 ? 96 : size <= 12 ? 56 : 44; // pixels a cell
    const least = labeled ? 13 : 4; // of which more than a phone's width is scrolled
    const widest = Math.min(room, 960) - left - 24;
    cell = Math.max(least, Math.min(most, Math.floor(widest / size)));
    const width = left + cell * size + 24, height = top + cell * size + 4;
    const ratio = window.devicePixelRatio || 1;
    heatmap.width = Math.round(width * ratio);
    heatmap.height = Math.round(height * ratio);
    heatmap.style.width = `${width}px`;
    heatmap.style.height = `${height}px`;
    const pen = heatmap.getContext("2d");
    pen.scale(ratio, ratio);
    pen.fillStyle = color("--paper");
    pen.fillRect(0, 0, width, height);
    const heat = color("--heat");
    const gap = cell >= 10 ? 1 : 0;
    for (let t = 0; t < size; t++) {
      for (let p = 0; p < size; p++) {
        const value = share(t, p);
        if (!value) continue;
        pen.fillStyle = `rgb(${heat} / ${Math.sqrt(value)})`;
        pen.fillRect(left + p * cell, top + t * cell, cell - gap, cell - gap);
      }
    }
    pen.strokeStyle = color("--line");
    pen.strokeRect(left - 0.5, top - 0.5, cell * size + 1, cell * size + 1);
    if (labeled) texts(pen, color);
    if (cell >= 30) numbers(pen, color);
    if (highlighted !== null) {
      pen.strokeStyle = color("--ink");
      pen.strokeRect(left, top + highlighted * cell, cell * size, cell);
      pen.strokeRect(left + highlighted * cell, top, cell, cell * size);
    }
    if (at) {
      pen.strokeStyle = color("--mark");
      pen.lineWidth = 2;
      pen.strokeRect(left + at[1] * cell - 1, top + at[0] * cell - 1, cell + 1, cell + 1);
    }
  }

  function texts(pen, color) {
    pen.fillStyle = color("--ink");
    pen.font = `${Math.min(14, Math.max(10, cell - 3))}px system-ui, sans-serif`;
    pen.textBaseline = "middle";
    names.forEach((name, index) => {
      pen.textAlign = "right";
      pen.fillText(shortened(pen, name, left - 8), left - 6, top + (index + 0.5) * cell);
      pen.save();
      pen.translate(left + (index + 0.5) * cell, top - 6);
      pen.rotate(-Math.PI / 3);
      pen.textAlign = "left";
      pen.fillText(shortened(pen, name, top - 4), 0, 0);
      pen.restore();
    });
  }

  function shortened(pen, name, room) {
    if (pen.measureText(name).width <= room) return name;
    let length = name.length;
    while (length > 1 && pen.measureText(`${name.slice(0, length)}…`).width > room) length -= 1;
    return `${name.slice(0, length)}…`;
  }

  function numbers(pen, color) {
    pen.font = "12px system-ui, sans-serif";
    pen.textAlign = "center";
    pen.textBaseline = "middle";
    for (let t = 0; t < size; t++) {
      for (let p = 0; p < size; p++) {
        const value = share(t, p);
        if (value < 0.005) continue;
        pen.fillStyle = readable(color, Math.sqrt(value));
        const text = cell >= 60 ? percent(value) : Math.round(100 * value);
        pen.fillText(text, left + (p + 0.5) * cell, top + (t + 0.5) * cell);
      }
    }
  }

  // Black or white, whichever has more contrast with the cell's color; it is 4.5 at least.
  function readable(color, strength) {
    const heat = color("--heat").split(" ").map(Number);
    const paper = [1, 3, 5].map(at => parseInt(color("--paper").slice(at, at + 2), 16));
    const light = heat.map((value, at) => {
      const mixed = (strength * value + (1 - strength) * paper[at]) / 255;
      return mixed <= 0.04045 ? mixed / 12.92 : ((mixed + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * light[0] + 0.7152 * light[1] + 0.0722 * light[2] > 0.179 ? "#000" : "#fff";
  }

  function read(t, p) {
    at = [t, p];
    const value = share(t, p), pixels = `${counts[t][p].toLocaleString("en")} pixels`;
    const whole = side === "target" ? names[t] : `what is called ${names[p]}`;
    const ends = {
      target: t === p ? "is predicted as it is" : `is taken for ${names[p]}`,
      prediction: t === p ? "is that" : `is ${names[t]}`,
    };
    reading.textContent = `${percent(value)} of ${whole} ${ends[side]} (${pixels})`;
    draw();
  }

  function largest() {
    let found = [0, 0], most = -1;
    for (let t = 0; t < size; t++) {
      for (let p = 0; p < size; p++) {
        if (t !== p && share(t, p) > most) [found, most] = [[t, p], share(t, p)];
      }
    }
    return found;
  }

  const point = event => {
    const box = heatmap.getBoundingClientRect();
    const p = Math.floor((event.clientX - box.left - left) / cell);
    const t = Math.floor((event.clientY - box.top - top) / cell);
    if (t >= 0 && p >= 0 && t < size && p < size) read(t, p);
  };
  heatmap.addEventListener("pointermove", point);
  heatmap.addEventListener("pointerdown", point);
  heatmap.addEventListener("focus", () => at || read(...largest()));
  heatmap.addEventListener("keydown", event => {
    const steps = {ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1]};
    const step = steps[event.key];
    if (!step && event.key !== "Home") return;
    event.preventDefault();
    const within = value => Math.min(size - 1, Math.max(0, value));
    const [t, p] = step ? [within(at[0] + step[0]), within(at[1] + step[1])] : largest();
    read(t, p);
  });

  for (const button of document.querySelectorAll(".normalize")) {
    button.addEventListener("click", () => {
      side = button.dataset.side;
      for (const each of document.querySelectorAll(".normalize")) {
        each.setAttribute("aria-pressed", each === button);
      }
      for (const each of document.querySelectorAll(".side")) {
        each.hidden = !each.classList.contains(side);
      }
      if (at) read(...at);
      else draw();
    });
  }
  highlighters.push(draw);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  new ResizeObserver(draw).observe(heatmap.parentElement);
}
