// Ties chart, tables and search together.
const canvas = document.getElementById("chart"), tip = document.getElementById("tip");
const chart = new Chart(canvas);

function select(thread, i, zoom = true) {
  const [from, to] = story(thread, i);
  chart.selected = { row: chart.rows.find((row) => row.thread === thread), from, to };
  if (zoom) { const margin = Math.max(to - from, 1000) * 1.5; chart.show(from - margin, to + margin); }
  else chart.redraw();
}

// Misses and marks of all cores, in the order of time.
const events = data.cores.flatMap((core) => [
  ...core.marks.map((mark) => ({ at: mark.at, text: core.name + " " + mark.kind + " " + mark.text })),
  ...core.threads.flatMap((thread) => thread.missed.map((i) => ({
    at: thread.jobs[i * JOB + RELEASE], text: core.name + " " + thread.name + " missed", thread, i,
  }))),
]).sort((a, b) => a.at - b.at);

let current = null;
function go(list, step) {
  if (!list.length) return;
  const whole = chart.from <= chart.first && chart.to >= chart.last;
  const edge = step > 0 ? chart.from - 1 : chart.to + 1;
  const middle = current !== null ? current : whole ? edge : (chart.from + chart.to) / 2;
  const later = list.findIndex((event) => event.at > middle + 0.5);
  let position = step > 0 ? (later < 0 ? 0 : later) : (later < 0 ? list.length : later) - 1;
  while (step < 0 && position >= 0 && list[position].at >= middle - 0.5) position--;
  const event = list[(position + list.length) % list.length];
  current = event.at;
  const half = Math.min((chart.to - chart.from) / 2, (chart.last - chart.first) / 20);
  chart.show(event.at - half, event.at + half);
  if (event.thread) select(event.thread, event.i, false);
  document.getElementById("found").textContent = instant(event.at) + " " + event.text;
}

// "beta attitude 41" is a job; other words are looked for in marks and thread names.
function search(step) {
  const text = document.getElementById("search").value.trim().toLowerCase();
  if (!text) return;
  const words = text.split(/\s+/), found = document.getElementById("found");
  const number = /^\d+$/.test(words[words.length - 1]) ? Number(words.pop()) : null;
  const threads = data.cores.flatMap((core) => core.threads)
    .filter((thread) => words.length && words.every((word) => word === "job" || (thread.core.name + " " + thread.name).toLowerCase().includes(word)));
  if (number !== null) {
    for (const thread of threads) {
      const i = lowerBound(thread.jobs, JOB, NUMBER, number);
      if (thread.jobs[i * JOB + NUMBER] === number) { select(thread, i); found.textContent = ""; return; }
    }
  }
  const marks = events.filter((event) => text.split(/\s+/).every((word) => event.text.toLowerCase().includes(word)));
  if (marks.length) { go(marks, step); found.textContent += " (" + marks.length + " in all)"; return; }
  if (threads.length && threads[0].jobs.length) {
    const i = chart.jobAt(threads[0], (chart.from + chart.to) / 2) || 0;
    select(threads[0], i);
    found.textContent = threads.length + " threads fit; add a job number";
    return;
  }
  found.textContent = "nothing found";
}

const actions = {
  "+": () => chart.zoom(0.5), "=": () => chart.zoom(0.5), "-": () => chart.zoom(2),
  ArrowLeft: () => chart.pan(-0.2), ArrowRight: () => chart.pan(0.2),
  0: () => chart.fit(), Home: () => chart.fit(), n: () => go(events, 1), p: () => go(events, -1),
  "/": () => document.getElementById("search").focus(),
  Escape: () => { chart.selected = null; document.getElementById("story").hidden = true; chart.redraw(); },
};
document.addEventListener("keydown", (event) => {
  if (event.target.id === "search") {
    if (event.key === "Enter") { search(event.shiftKey ? -1 : 1); event.preventDefault(); }
    if (event.key === "Escape") event.target.blur();
    return;
  }
  if (event.ctrlKey || event.metaKey || event.altKey || !actions[event.key]) return;
  if (event.key !== "n" && event.key !== "p") current = null;
  actions[event.key]();
  event.preventDefault();
});
for (const [id, key] of [["in", "+"], ["out", "-"], ["fit", "0"], ["next", "n"], ["previous", "p"]]) {
  document.getElementById(id).addEventListener("click", () => actions[key]());
}

let drag = null;
canvas.addEventListener("pointerdown", (event) => {
  drag = { x: event.offsetX, from: chart.from, to: chart.to, moved: false };
  canvas.setPointerCapture(event.pointerId);
});
canvas.addEventListener("pointermove", (event) => {
  if (drag) {
    const by = (drag.x - event.offsetX) / (chart.width - LABELS) * (drag.to - drag.from);
    drag.moved ||= Math.abs(drag.x - event.offsetX) > 3;
    if (drag.moved) { current = null; chart.show(drag.from + by, drag.to + by); tip.hidden = true; }
    return;
  }
  const text = chart.describe(event.offsetX, event.offsetY);
  tip.hidden = !text;
  if (!text) return;
  tip.textContent = text;
  const right = event.offsetX > chart.width - 300;
  tip.style.left = right ? "" : event.offsetX + 14 + "px";
  tip.style.right = right ? chart.width - event.offsetX + 14 + "px" : "";
  tip.style.top = event.offsetY + 14 + "px";
});
canvas.addEventListener("pointerup", (event) => {
  const moved = drag && drag.moved;
  drag = null;
  if (moved || event.offsetX < LABELS) return;
  const row = chart.rowAt(event.offsetY);
  if (!row || row.type !== "thread") return;
  const i = chart.jobAt(row.thread, chart.time(event.offsetX));
  if (i !== null) select(row.thread, i, false);
});
canvas.addEventListener("pointerleave", () => { tip.hidden = true; });
canvas.addEventListener("dblclick", (event) => chart.zoom(0.4, chart.time(event.offsetX)));
canvas.addEventListener("wheel", (event) => {
  if (event.ctrlKey || event.metaKey) chart.zoom(Math.exp(event.deltaY * 0.004), chart.time(Math.max(LABELS, event.offsetX)));
  else if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) chart.pan((event.deltaX || event.deltaY) / 1000);
  else return;
  current = null;
  event.preventDefault();
}, { passive: false });
window.addEventListener("resize", () => chart.redraw());
window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => chart.redraw());

verdict();
tables(select);
chart.redraw();
