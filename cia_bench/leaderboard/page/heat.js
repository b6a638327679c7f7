// Accuracy of each model (columns, in the table's order) on each chiral group (rows), as colours on a canvas.

const PIXELS = 16e6; // of a canvas, at most: what phones allow

/** The colour at `percent` of a scale of [percent, [r, g, b]] stops. */
function colourAt(stops, percent) {
  const after = Math.max(1, stops.findIndex(([at]) => at >= percent));
  const [[low, from], [high, to]] = [stops[after - 1], stops[after]];
  const share = (percent - low) / (high - low);
  return from.map((channel, index) => Math.round(channel + share * (to[index] - channel)));
}

const isDark = ([r, g, b]) => 0.299 * r + 0.587 * g + 0.114 * b < 140;

function labels(parent, names, size) {
  parent.replaceChildren(
    ...names.map((name) => {
      const label = document.createElement("span");
      label.textContent = name;
      label.style[size.property] = `${size.pixels}px`;
      return label;
    }),
  );
}

function makeHeat(figure, ranking) {
  const part = (name) => figure.querySelector(`.${name}`);
  const canvas = figure.querySelector("canvas");
  const cursor = part("cursor");
  const colours = Array.from({ length: 101 }, (_, percent) => colourAt(DATA.heat, percent));
  const palette = colours.map((colour) => ({ fill: `rgb(${colour})`, ink: isDark(colour) ? "#fff" : "#111" }));
  let columns = [];
  let wide = 0;
  let high = 0;

  const paint = () => {
    const scale = Math.min(devicePixelRatio, Math.sqrt(PIXELS / (canvas.clientWidth * canvas.clientHeight || 1)));
    const [cellWide, cellHigh] = [wide * scale, high * scale];
    canvas.width = Math.round(cellWide * columns.length);
    canvas.height = Math.round(cellHigh * ranking.groups.length);
    const context = canvas.getContext("2d");
    const gap = wide >= 10 ? 1 : 0;
    context.font = `${Math.round(11 * scale)}px system-ui, sans-serif`;
    context.textAlign = "center";
    context.textBaseline = "middle";
    columns.forEach((model, column) => {
      model.cells.forEach((cell, row) => {
        if (!cell) return;
        const { fill, ink } = palette[Math.round(cell[0])];
        const [left, top] = [Math.round(column * cellWide), Math.round(row * cellHigh)];
        context.fillStyle = fill;
        const right = Math.round((column + 1) * cellWide) - gap;
        context.fillRect(left, top, right - left, Math.round((row + 1) * cellHigh) - gap - top);
        if (wide < 26) return;
        context.fillStyle = ink;
        context.fillText(cell[0].toFixed(0), left + cellWide / 2, top + cellHigh / 2);
      });
    });
  };

  const redraw = (models, score, printing = false) => {
    forget();
    columns = models.filter((model) => model.cells);
    figure.hidden = !columns.length;
    if (!columns.length) return;
    const room = roomFor(figure, printing);
    const longest = Math.max(...ranking.groups.map((group) => group.name.length));
    const left = Math.round(Math.min(longest * 6.4 + 14, 260, room * 0.36));
    const fair = (room - left - 16) / columns.length;
    wide = printing ? Math.max(1.5, Math.min(40, fair)) : Math.max(12, Math.min(40, Math.floor(fair)));
    high = wide >= 26 && !printing ? 20 : 15;
    const grid = part("cells-grid");
    grid.style.gridTemplateColumns = `${left}px ${wide * columns.length}px`;
    labels(part("tops"), wide < 10 ? [] : columns.map((model) => model.name), { property: "width", pixels: wide });
    labels(part("lefts"), ranking.groups.map((group) => group.name), { property: "height", pixels: high });
    canvas.style.width = `${wide * columns.length}px`;
    canvas.style.height = `${high * ranking.groups.length}px`;
    paint();
  };

  const forget = explore(canvas, {
    at: ({ offsetX, offsetY }) => {
      const [column, row] = [Math.floor(offsetX / wide), Math.floor(offsetY / high)];
      const inside = column >= 0 && column < columns.length && row >= 0 && row < ranking.groups.length;
      return inside ? row * columns.length + column : null;
    },
    step: (mark, key) => {
      if (mark === null) return 0;
      const [column, row] = [mark % columns.length, Math.floor(mark / columns.length)];
      if (key === "Home") return row * columns.length;
      if (key === "End") return (row + 1) * columns.length - 1;
      if (key === "ArrowLeft") return column > 0 ? mark - 1 : mark;
      if (key === "ArrowRight") return column < columns.length - 1 ? mark + 1 : mark;
      if (key === "ArrowUp") return row > 0 ? mark - columns.length : mark;
      return row < ranking.groups.length - 1 ? mark + columns.length : mark;
    },
    words: (mark) => {
      const [model, row] = [columns[mark % columns.length], Math.floor(mark / columns.length)];
      const group = ranking.groups[row];
      const cell = model.cells[row];
      return `${group.name}\n${model.name}\n${cell ? `${percent(cell)}%, ${group.clips} ${ranking.unit}` : "not scored"}`;
    },
    light: (mark) => {
      cursor.hidden = mark === null;
      if (mark === null) return null;
      cursor.style.width = `${wide}px`;
      cursor.style.height = `${high}px`;
      cursor.style.left = `${(mark % columns.length) * wide}px`;
      cursor.style.top = `${Math.floor(mark / columns.length) * high}px`;
      return cursor;
    },
  });
  return redraw;
}
