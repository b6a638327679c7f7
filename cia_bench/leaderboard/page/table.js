// The tables: sort by a column, filter the rows. `DATA` has one entry a ranking; what else follows the order of the
// rows is told by `ranking.changed()`.

const number = (text) => (text === "" ? null : Number(text));

/** Order of two sort values, missing ones last in either direction. */
function compare(a, b, sign) {
  if (a === "" || b === "") return (a === "") - (b === "");
  const [x, y] = [Number(a), Number(b)];
  return sign * (Number.isNaN(x) || Number.isNaN(y) ? a.localeCompare(b) : x - y);
}

function sortBy(table, column, direction) {
  const sign = direction === "ascending" ? 1 : -1;
  for (const body of table.tBodies) { // what stands apart stays apart
    const rows = [...body.rows].map((row) => [row.cells[column].dataset.value, row]);
    rows.sort(([a], [b]) => compare(a, b, sign)); // stable: rows that tie keep their order
    body.append(...rows.map(([, row]) => row));
  }
  for (const header of table.tHead.rows[0].cells) {
    header.setAttribute("aria-sort", header.cellIndex === column ? direction : "none");
  }
}

/** Whether a model of DATA is among those that the filters ask for. */
function passes(model, { name, parameters, dim, reported }) {
  const within = (value, limit) => limit === null || (value !== null && value <= limit);
  return (
    name.every((word) => model.find.includes(word)) &&
    within(model.parameters, parameters) &&
    within(model.dim, dim) &&
    (reported || !model.reported)
  );
}

function readFilters(form) {
  const field = (name) => form.elements[name];
  const millions = number(field("parameters").value);
  return {
    name: field("name").value.toLowerCase().split(/\s+/).filter(Boolean),
    parameters: millions === null ? null : millions * 1e6,
    dim: number(field("dim").value),
    reported: field("reported")?.checked ?? true,
  };
}

/** Makes a ranking's table answer to its headers and filters; returns the shown models in the table's order. */
function makeTable(section, ranking, changed) {
  const table = section.querySelector("table");
  const form = section.querySelector("form");
  const modelRows = () => [...table.querySelectorAll("tr[data-model]")];
  const rows = modelRows();

  for (const header of table.tHead.rows[0].cells) {
    header.querySelector("button").addEventListener("click", () => {
      const first = header.dataset.first;
      const other = first === "ascending" ? "descending" : "ascending";
      sortBy(table, header.cellIndex, header.getAttribute("aria-sort") === first ? other : first);
      changed();
    });
  }

  const filter = () => {
    const filters = readFilters(form);
    let shown = 0;
    for (const row of rows) {
      row.hidden = !passes(ranking.models[row.dataset.model], filters);
      shown += !row.hidden;
    }
    form.elements.shown.value = `${shown} of ${rows.length} rows`;
    changed();
  };
  form.addEventListener("input", filter);
  form.addEventListener("reset", () => setTimeout(filter)); // after the fields are empty
  form.hidden = false;
  filter();

  return () => modelRows().filter((row) => !row.hidden).map((row) => ranking.models[row.dataset.model]);
}
