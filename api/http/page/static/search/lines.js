// Lines between the two places of a passage: from its card in recall's order to its card in the final order.

const SVG = "http://www.w3.org/2000/svg";

/** Draw the lines into `columns`, and again whenever its size changes. */
export function drawLines(columns) {
  const picture = document.createElementNS(SVG, "svg");
  picture.setAttribute("class", "w-lines");
  picture.setAttribute("aria-hidden", "true");
  columns.append(picture);
  new ResizeObserver(() => draw(columns, picture)).observe(columns);
}

function draw(columns, picture) {
  const [left, right] = columns.querySelectorAll("section");
  const frame = columns.getBoundingClientRect();
  picture.replaceChildren();
  picture.setAttribute("width", frame.width);
  picture.setAttribute("height", frame.height);
  if (left.getBoundingClientRect().right > right.getBoundingClientRect().left) return; // one above the other
  const final = new Map([...right.querySelectorAll(".w-card")].map((card) => [card.dataset.hit, card]));
  for (const card of left.querySelectorAll(".w-card")) {
    const other = final.get(card.dataset.hit);
    if (other) picture.append(line(card.getBoundingClientRect(), other.getBoundingClientRect(), frame, other.dataset));
  }
}

function line(from, to, frame, { moved, hit }) {
  const [x, y] = [from.right - frame.left, from.top + from.height / 2 - frame.top];
  const [endX, endY] = [to.left - frame.left, to.top + to.height / 2 - frame.top];
  const bend = (x + endX) / 2;
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", `M${x} ${y} C${bend} ${y} ${bend} ${endY} ${endX} ${endY}`);
  path.setAttribute("class", moved > 0 ? "w-up" : moved < 0 ? "w-down" : "w-same");
  path.dataset.hit = hit;
  return path;
}
