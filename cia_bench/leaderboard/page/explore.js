// What the charts share: SVG elements, scales, and details of the mark that is pointed at or reached by arrow keys.

const SVG = "http://www.w3.org/2000/svg";

/** The width that a figure's drawing may have: on paper that of a page, which is laid out after it is drawn. */
const roomFor = (figure, printing) => (printing ? 900 : figure.clientWidth);

/** A new SVG element; `text` is text, whatever it holds. */
function draw(parent, tag, attributes, text) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  if (text !== undefined) element.textContent = text;
  parent.append(element);
  return element;
}

const short = (name, letters) => (name.length <= letters ? name : `${name.slice(0, letters - 9)}…${name.slice(-8)}`);
const percent = ([accuracy, low, high]) =>
  low === null ? accuracy.toFixed(1) : `${accuracy.toFixed(1)} [${low.toFixed(1)}, ${high.toFixed(1)}]`;

/** About `count` round numbers from `low` to `high`. */
function ticks(low, high, count) {
  const rough = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((factor) => factor * power >= rough);
  const found = [];
  for (let at = Math.ceil(low / step); at * step <= high; at++) found.push(at * step);
  return found;
}

const tip = document.getElementById("tip"); // a live region: read aloud when it changes

function showTip(text, box) {
  tip.textContent = text;
  tip.hidden = false;
  const { offsetWidth: wide, offsetHeight: high } = tip;
  const right = box.right + 10;
  const left = right + wide < innerWidth ? right : Math.max(4, box.left - wide - 10);
  tip.style.left = `${Math.min(left, innerWidth - wide - 4)}px`;
  tip.style.top = `${Math.max(4, Math.min(box.top - 8, innerHeight - high - 4))}px`;
}

function hideTip() {
  tip.hidden = true;
  tip.textContent = "";
}

/**
 * Makes a drawing show the details of its marks.
 *
 * `at(event)` is the mark under the pointer or null; `step(mark, key)` the next one for an arrow key, Home or End, from
 * null the first; `words(mark)` its details; `light(mark)` highlights it, null none, and returns the highlighted element.
 */
function explore(target, { at, step, words, light }) {
  let current = null;
  let lit = null;
  const select = (mark) => {
    if (mark !== null && mark === current) return;
    current = mark;
    lit = light(mark);
    if (mark === null) hideTip();
    else showTip(words(mark), lit.getBoundingClientRect());
  };
  target.addEventListener("pointermove", (event) => select(at(event)));
  target.addEventListener("pointerdown", (event) => select(at(event)));
  target.addEventListener("pointerleave", (event) => event.pointerType === "mouse" && select(null));
  target.addEventListener("blur", () => select(null));
  target.addEventListener("keydown", (event) => {
    if (event.key === "Escape") return select(null);
    if (!/^(Arrow\w+|Home|End)$/.test(event.key)) return;
    const next = step(current, event.key);
    event.preventDefault(); // the page stays where it is
    if (next === null) return;
    select(next);
    lit.scrollIntoView({ block: "nearest", inline: "nearest" });
  });
  const follow = () => current !== null && showTip(words(current), lit.getBoundingClientRect());
  addEventListener("scroll", follow, { capture: true, passive: true });
  return () => select(null); // for a drawing that is drawn anew
}

/** The index after `mark` in a list of `count`: arrows to the right and down go on, the others back. */
function stepInList(mark, key, count) {
  if (!count) return null;
  if (key === "Home" || (mark === null && key !== "End")) return 0;
  if (key === "End") return count - 1;
  const next = mark + (key === "ArrowRight" || key === "ArrowDown" ? 1 : -1);
  return Math.max(0, Math.min(count - 1, next));
}
