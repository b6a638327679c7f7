// Accuracy against parameters, the area of a bubble as the embedding's size: the published figure's chart.

/** Boxes that are taken, so that labels don't lie on one another. */
class Taken {
  constructor() {
    this.boxes = [];
  }
  free([left, top, right, bottom]) {
    return this.boxes.every((box) => right < box[0] || left > box[2] || bottom < box[1] || top > box[3]);
  }
  take(box) {
    this.boxes.push(box);
  }
}

const LETTER = 6.3; // pixels that a letter of a label is wide, about

/** Where the label of a bubble can stand without covering anything: {x, y, anchor, box}, or null. */
function placeLabel({ x, y, r }, letters, taken, frame) {
  const wide = letters * LETTER;
  const places = [
    [x + r + 4, y + 4, "start"],
    [x - r - 4, y + 4, "end"],
    [x, y - r - 6, "middle"],
    [x, y + r + 14, "middle"],
  ];
  for (const [at, base, anchor] of places) {
    const left = anchor === "start" ? at : anchor === "end" ? at - wide : at - wide / 2;
    const box = [left, base - 11, left + wide, base + 3];
    const inside = box[0] >= frame.left && box[2] <= frame.right && box[1] >= frame.top && box[3] <= frame.bottom;
    if (inside && taken.free(box)) return { x: at, y: base, anchor, box };
  }
  return null;
}

/** Ticks of a logarithmic axis, about six: 1, 2 and 5 of each power of ten, or fewer. */
function logTicks(low, high) {
  const found = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power++) {
    for (const factor of [1, 2, 5]) found.push(factor * 10 ** power);
  }
  const inside = found.filter((at) => at >= low && at <= high);
  return inside.length <= 7 ? inside : inside.filter((at) => Number.isInteger(Math.log10(at)));
}

function inUnits(count) {
  const [size, unit] = count >= 1e9 ? [1e9, "B"] : count >= 1e6 ? [1e6, "M"] : count >= 1e3 ? [1e3, "K"] : [1, ""];
  return `${Number((count / size).toPrecision(3))}${unit}`;
}

function drawAxes(svg, frame, { x, y, xTicks, yTicks, xName, yName }) {
  for (const at of yTicks) {
    draw(svg, "line", { x1: frame.left, x2: frame.right, y1: y(at), y2: y(at), class: "grid" });
    draw(svg, "text", { x: frame.left - 8, y: y(at) + 4, "text-anchor": "end", class: "tick" }, `${at}`);
  }
  for (const at of xTicks) {
    draw(svg, "line", { x1: x(at), x2: x(at), y1: frame.top, y2: frame.bottom, class: "grid" });
    draw(svg, "text", { x: x(at), y: frame.bottom + 18, "text-anchor": "middle", class: "tick" }, inUnits(at));
  }
  const middle = (frame.left + frame.right) / 2;
  draw(svg, "text", { x: middle, y: frame.bottom + 38, "text-anchor": "middle", class: "axis" }, xName);
  draw(svg, "text", { x: 0, y: 12, class: "axis" }, yName);
}

function makeBubbles(figure, ranking) {
  const svg = figure.querySelector("svg");
  const note = figure.querySelector(".note");
  let marks = [];

  const redraw = (models, score, printing = false) => {
    forget();
    svg.replaceChildren();
    const shown = models.filter((model) => model.parameters > 0 && model.scores[score]);
    const lost = models.length - shown.length;
    note.textContent = lost ? `Not shown: ${lost} of ${models.length} without parameters, or without this score.` : "";
    const width = roomFor(figure, printing);
    const height = shown.length ? Math.round(Math.max(320, Math.min(540, width * 0.6))) : 40;
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    svg.setAttribute("height", height);
    marks = [];
    if (!shown.length) return draw(svg, "text", { x: 0, y: 24 }, "No model to draw: none has parameters that are known.");
    const frame = { left: 40, right: width - 12, top: 26, bottom: height - 46 };
    const constant = ranking.constant.scores[score];
    const sizes = shown.map((model) => model.parameters);
    const lowest = Math.min(...sizes) / 1.8;
    const highest = Math.max(...sizes) * 1.8;
    const values = [...shown.map((model) => model.scores[score][0]), ...(constant ? [constant[0]] : [])];
    const [bottom, top] = [Math.max(0, Math.min(...values) - 4), Math.min(104, Math.max(...values) + 6)];
    const scale = (low, high, from, to) => (at) => from + ((at - low) / (high - low)) * (to - from);
    const logarithmic = scale(Math.log(lowest), Math.log(highest), frame.left, frame.right);
    const x = (parameters) => logarithmic(Math.log(parameters));
    const y = scale(bottom, top, frame.bottom, frame.top);
    drawAxes(svg, frame, {
      x,
      y,
      xTicks: logTicks(lowest, highest),
      yTicks: ticks(bottom, Math.min(100, top), 6),
      xName: "parameters (logarithmic)",
      yName: `accuracy, ${ranking.scored[score]} (%)`,
    });
    const taken = new Taken();
    if (constant) {
      const at = y(constant[0]);
      const words = `constant answer ${constant[0].toFixed(1)}`;
      draw(svg, "line", { x1: frame.left, x2: frame.right, y1: at, y2: at, class: "constant" });
      draw(svg, "text", { x: frame.right, y: at + 14, "text-anchor": "end", class: "tick" }, words);
      taken.take([frame.left, at - 1, frame.right, at + 1]);
      taken.take([frame.right - words.length * LETTER, at, frame.right, at + 17]);
    }
    const largest = Math.max(...shown.map((model) => model.dim ?? 0), 1);
    const widest = Math.max(14, Math.min(34, width / 24));
    const places = shown.map((model) => ({
      model,
      x: x(model.parameters),
      y: y(model.scores[score][0]),
      r: model.dim ? Math.max(2.5, widest * Math.sqrt(model.dim / largest)) : 4,
    }));
    for (const place of [...places].sort((a, b) => b.r - a.r)) {
      const kind = `bubble kind-${place.model.kind}${place.model.dim ? "" : " sizeless"}`;
      place.element = draw(svg, "circle", { cx: place.x, cy: place.y, r: place.r, class: kind });
      const half = place.r * 0.8;
      taken.take([place.x - half, place.y - half, place.x + half, place.y + half]);
    }
    for (const place of [...places].sort((a, b) => b.model.scores[score][0] - a.model.scores[score][0])) {
      const name = short(place.model.name, 34);
      const free = placeLabel(place, name.length, taken, frame);
      if (!free) continue; // its details still show it
      taken.take(free.box);
      draw(svg, "text", { x: free.x, y: free.y, "text-anchor": free.anchor, class: "label" }, name);
    }
    marks = places.sort((a, b) => a.x - b.x || a.y - b.y);
  };

  const forget = explore(svg, {
    at: ({ target }) => {
      const index = marks.findIndex((mark) => mark.element === target);
      return index < 0 ? null : index;
    },
    step: (mark, key) => stepInList(mark, key, marks.length),
    words: (mark) => marks[mark].model.words,
    light: (lit) => {
      marks.forEach(({ element }, index) => element.classList.toggle("lit", index === lit));
      return lit === null ? null : marks[lit].element;
    },
  });
  return redraw;
}
