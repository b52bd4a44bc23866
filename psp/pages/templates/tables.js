// Tables: a click on a heading sorts, a second one turns the order. A row without a value stays
// last. `highlight` marks a class in everything that shows classes.
const highlighters = [];
let highlighted = null;
function highlight(index) {
  highlighted = index;
  for (const each of highlighters) each(index);
}

for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  const buttons = [...table.querySelectorAll(".sort")];
  for (const button of buttons) {
    button.addEventListener("click", () => {
      const head = button.closest("th");
      const {key, kind} = button.dataset;
      const first = kind === "text" || key === "id" ? "ascending" : "descending";
      const other = first === "ascending" ? "descending" : "ascending";
      const order = head.getAttribute("aria-sort") === first ? other : first;
      for (const each of buttons) each.closest("th").setAttribute("aria-sort", "none");
      head.setAttribute("aria-sort", order);
      const sign = order === "ascending" ? 1 : -1;
      const compare = (a, b) => {
        const [x, y] = [a.dataset[key], b.dataset[key]];
        if (kind === "text") return sign * x.localeCompare(y);
        if (x === "" || y === "") return (x === "") - (y === "");
        return sign * (x - y) || a.dataset.id - b.dataset.id;
      };
      body.append(...[...body.rows].sort(compare));
    });
  }
  highlighters.push(index => {
    for (const row of body.rows) row.classList.toggle("marked", Number(row.dataset.class) === index);
  });
}

const defaults = document.getElementById("defaults");
if (defaults) {
  defaults.addEventListener("click", () => {
    const shown = defaults.getAttribute("aria-pressed") !== "true";
    defaults.setAttribute("aria-pressed", shown);
    for (const row of document.querySelectorAll(".settings .default")) row.hidden = !shown;
  });
}
