// Bring each ranking's section to life: its charts follow the rows that its table shows.

DATA.rankings.forEach((ranking, index) => {
  const section = document.getElementById(`ranking-${index + 1}`);
  const choice = section.querySelector("select");
  const figure = (name) => section.querySelector(`figure.${name}`);
  const charts = new Map([
    [figure("bubbles"), makeBubbles(figure("bubbles"), ranking)],
    [figure("forest"), makeForest(figure("forest"), ranking)],
    [figure("heat"), makeHeat(figure("heat"), ranking)],
  ]);
  const stale = new Set(charts.keys()); // drawn anew as soon as they are in sight
  const inSight = new Set();
  let waiting = false;
  let shown = null;

  const redraw = (some, printing = false) => {
    for (const chart of some) {
      charts.get(chart)(shown(), Number(choice.value), printing);
      stale.delete(chart);
    }
  };
  const redrawSoon = () => {
    if (waiting) return;
    waiting = true; // several changes before the next frame are drawn once
    requestAnimationFrame(() => {
      waiting = false;
      redraw([...inSight].filter((chart) => stale.has(chart)));
    });
  };
  const changed = () => {
    for (const chart of charts.keys()) stale.add(chart);
    redrawSoon();
  };
  const sight = new IntersectionObserver(
    (entries) => {
      for (const { target, isIntersecting } of entries) isIntersecting ? inSight.add(target) : inSight.delete(target);
      redrawSoon();
    },
    { rootMargin: "300px" },
  );
  shown = makeTable(section, ranking, changed);
  choice.addEventListener("change", changed);
  section.querySelector(".charts").hidden = false;

  let width = 0;
  new ResizeObserver(([{ contentRect }]) => {
    if (Math.abs(contentRect.width - width) > 1) changed();
    width = contentRect.width;
  }).observe(section);
  for (const chart of charts.keys()) sight.observe(chart);
  addEventListener("beforeprint", () => redraw(charts.keys(), true));
  addEventListener("afterprint", changed);
});
