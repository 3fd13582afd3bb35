// Decodes the page's data: doubles from base64, sorted arrays with a stride.
const data = JSON.parse(document.getElementById("data").textContent);

function floats(text) {
  const binary = atob(text);
  const bytes = new Uint8Array(binary.length);
  for (let i = 0; i < binary.length; i++) bytes[i] = binary.charCodeAt(i);
  return new Float64Array(bytes.buffer);
}

// The first position (in groups of `stride`) whose value at `offset` is not below `value`.
function lowerBound(array, stride, offset, value) {
  let low = 0, high = array.length / stride;
  while (low < high) {
    const middle = Math.floor((low + high) / 2);
    if (array[middle * stride + offset] < value) low = middle + 1; else high = middle;
  }
  return low;
}

const JOB = 5, NUMBER = 0, RELEASE = 1, NOTICED = 2, COMPLETE = 3, MISSED = 4;

for (const core of data.cores) {
  core.votes = floats(core.votes);
  for (const thread of core.threads) {
    thread.core = core;
    thread.runs = floats(thread.runs);
    thread.jobs = floats(thread.jobs);
    // Sums of the runs' lengths, for the share of a pixel that a thread ran.
    const count = thread.runs.length / 2;
    thread.sums = new Float64Array(count + 1);
    for (let i = 0; i < count; i++) {
      thread.sums[i + 1] = thread.sums[i] + thread.runs[2 * i + 1] - thread.runs[2 * i];
    }
    thread.missed = [];
    for (let i = 0; i < thread.jobs.length / JOB; i++) {
      if (thread.jobs[i * JOB + MISSED] && !isNaN(thread.jobs[i * JOB + RELEASE])) thread.missed.push(i);
    }
  }
  for (const server of core.servers) {
    server.level = floats(server.level);
    server.exhausted = floats(server.exhausted);
  }
}

// How long a thread ran between two times.
function ranBetween(thread, from, to) {
  const { runs, sums } = thread;
  const upTo = (time) => {
    const i = lowerBound(runs, 2, 0, time);
    if (i === 0) return 0;
    return sums[i] - Math.max(0, runs[2 * i - 1] - time);
  };
  return to > from ? upTo(to) - upTo(from) : 0;
}

// The level of a server's budget just after a time; lines between its points are straight.
function levelAt(server, time) {
  const points = server.level, i = lowerBound(points, 2, 0, time + 0.5);
  if (i === 0) return points.length ? points[1] : NaN;
  if (2 * i >= points.length) return points[points.length - 1];
  const [t0, l0, t1, l1] = points.subarray(2 * i - 2, 2 * i + 2);
  return t1 > t0 ? l0 + (l1 - l0) * (time - t0) / (t1 - t0) : l1;
}

// A length of time in its natural unit. Digits that are not shown are cut off, as in the
// tables of `tern summary`.
function span(nanos) {
  if (nanos === null || nanos === undefined || isNaN(nanos)) return "–";
  const size = Math.abs(nanos);
  for (const [unit, name] of [[1e9, "s"], [1e6, "ms"], [1e3, "us"]]) {
    if (size >= unit) return Math.trunc(nanos / (unit / 1000)) / 1000 + name;
  }
  return Math.round(nanos) + "ns";
}

// An instant, with all its digits down to the microsecond.
function instant(nanos) {
  return isNaN(nanos) ? "–" : (Math.trunc(nanos / 1000) / 1000).toFixed(3) + "ms";
}

function element(name, attributes, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes || {})) {
    if (key === "class") made.className = value; else made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}
