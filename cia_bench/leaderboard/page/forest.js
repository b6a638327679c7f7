// Accuracies with their intervals, a row a model, in the table's order.

const ROW = 22; // pixels

function makeForest(figure, ranking) {
  const svg = figure.querySelector("svg");
  let marks = [];

  const drawRow = (model, score, row, { x, left, right, printed }) => {
    const y = 30 + ROW * row + ROW / 2;
    const [accuracy, low, high] = model.scores[score] ?? [];
    const group = draw(svg, "g", { class: `row kind-${model.kind}` });
    draw(group, "rect", { x: 0, y: y - ROW / 2, width: right + printed, height: ROW, class: "under" });
    draw(group, "text", { x: left - 10, y: y + 4, "text-anchor": "end" }, short(model.name, Math.floor(left / 7)));
    if (accuracy === undefined) return group;
    if (low !== null) draw(group, "line", { x1: x(low), x2: x(high), y1: y, y2: y, class: "interval" });
    if (model.reported) draw(group, "path", { d: `M${x(accuracy)} ${y - 6}l6 6l-6 6l-6 -6z`, class: "dot" });
    else draw(group, "circle", { cx: x(accuracy), cy: y, r: 4.5, class: "dot" });
    if (printed) draw(group, "text", { x: right + 10, y: y + 4, class: "tick" }, percent(model.scores[score]));
    return group;
  };

  const redraw = (models, score, printing = false) => {
    forget();
    svg.replaceChildren();
    const width = roomFor(figure, printing) - 12; // a scroll bar
    const high = 30 + ROW * models.length + 30;
    svg.setAttribute("viewBox", `0 0 ${width} ${high}`);
    svg.setAttribute("width", width);
    svg.setAttribute("height", high);
    const constant = ranking.constant.scores[score];
    const scored = models.map((model) => model.scores[score]).filter(Boolean);
    const ends = [...scored, ...(constant ? [constant] : [])].flat().filter((end) => end !== null);
    marks = [];
    if (!ends.length) return;
    const longest = Math.max(...models.map((model) => model.name.length), 6);
    const left = Math.min(longest * 7 + 16, width * 0.36);
    const printed = width > 560 ? 118 : 0;
    const right = width - printed - 8;
    const [lowest, highest] = [Math.floor(Math.min(...ends) - 1), Math.ceil(Math.max(...ends) + 1)];
    const x = (at) => left + ((at - lowest) / (highest - lowest)) * (right - left);
    const bottom = 30 + ROW * models.length;
    for (const at of ticks(lowest, highest, width > 560 ? 8 : 5)) {
      draw(svg, "line", { x1: x(at), x2: x(at), y1: 24, y2: bottom + 4, class: "grid" });
      for (const y of [18, bottom + 20]) draw(svg, "text", { x: x(at), y, "text-anchor": "middle", class: "tick" }, `${at}`);
    }
    if (constant) {
      const [accuracy, low, upper] = constant;
      if (low !== null) {
        draw(svg, "rect", { x: x(low), y: 24, width: x(upper) - x(low), height: bottom - 20, class: "band" });
      }
      draw(svg, "line", { x1: x(accuracy), x2: x(accuracy), y1: 24, y2: bottom + 4, class: "constant" });
    }
    const place = { x, left, right, printed };
    marks = models.map((model, row) => ({ model, element: drawRow(model, score, row, place) }));
  };

  const forget = explore(svg, {
    at: ({ target }) => {
      const index = marks.findIndex(({ element }) => element.contains(target));
      return index < 0 ? null : index;
    },
    step: (mark, key) => stepInList(mark, key, marks.length),
    words: (mark) => marks[mark].model.words,
    light: (lit) => {
      marks.forEach(({ element }, index) => element.classList.toggle("lit", index === lit));
      return lit === null ? null : marks[lit].element.querySelector(".dot") ?? marks[lit].element;
    },
  });
  return redraw;
}
