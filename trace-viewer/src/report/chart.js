// The Gantt chart: a row for each thread and each server's budget, one core below the other.
const LABELS = 190, AXIS = 26;

class Chart {
  constructor(canvas) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
    this.rows = Chart.rows();
    this.height = AXIS + this.rows.reduce((sum, row) => sum + row.height, 0) + 4;
    this.first = data.summary.from_ns;
    this.last = Math.max(data.summary.to_ns, this.first + 1);
    this.selected = null;
    this.fit();
  }

  static rows() {
    const rows = [];
    for (const core of data.cores) {
      rows.push({ type: "core", core, height: 24 });
      core.servers.forEach((server, number) => {
        for (const thread of core.threads.filter((thread) => thread.server === number)) {
          rows.push({ type: "thread", core, thread, color: "run" + number % 6, height: 26 });
        }
        rows.push({ type: "budget", core, server, color: "run" + number % 6, height: 24 });
      });
      for (const thread of core.threads.filter((thread) => thread.server === null)) {
        rows.push({ type: "thread", core, thread, color: "run0", height: 26 });
      }
    }
    let y = AXIS;
    for (const row of rows) { row.y = y; y += row.height; }
    return rows;
  }

  fit() {
    const margin = (this.last - this.first) * 0.01;
    this.show(this.first - margin, this.last + margin);
  }

  // Shows a stretch of time, at least 10 ns, at most twice the run, around the run.
  show(from, to) {
    const whole = this.last - this.first;
    const length = Math.min(Math.max(to - from, 10), whole * 2);
    const middle = Math.min(Math.max((from + to) / 2, this.first), this.last);
    this.from = middle - length / 2;
    this.to = middle + length / 2;
    this.redraw();
  }

  zoom(factor, around = (this.from + this.to) / 2) {
    this.show(around - (around - this.from) * factor, around + (this.to - around) * factor);
  }

  pan(share) {
    const by = (this.to - this.from) * share;
    this.show(this.from + by, this.to + by);
  }

  redraw() {
    if (this.pending) return;
    this.pending = requestAnimationFrame(() => { this.pending = null; this.draw(); });
  }

  x(time) { return LABELS + (time - this.from) / (this.to - this.from) * (this.width - LABELS); }
  time(x) { return this.from + (x - LABELS) / (this.width - LABELS) * (this.to - this.from); }

  draw() {
    const scale = window.devicePixelRatio || 1;
    this.width = this.canvas.clientWidth;
    this.canvas.width = Math.round(this.width * scale);
    this.canvas.height = Math.round(this.height * scale);
    this.canvas.style.height = this.height + "px";
    const style = getComputedStyle(document.documentElement);
    this.color = (name) => style.getPropertyValue("--" + name).trim();
    const context = this.context;
    context.setTransform(scale, 0, 0, scale, 0, 0);
    context.font = "12px system-ui, sans-serif";
    context.textBaseline = "middle";
    context.fillStyle = this.color("ground");
    context.fillRect(0, 0, this.width, this.height);
    this.axis();
    context.save();
    context.beginPath();
    context.rect(LABELS, 0, this.width - LABELS, this.height);
    context.clip();
    for (const row of this.rows) this[row.type](row);
    for (const core of data.cores) this.lost(core);
    this.selection();
    context.restore();
    this.labels();
  }

  axis() {
    const context = this.context, length = this.to - this.from;
    const rough = length / Math.max(1, (this.width - LABELS) / 110);
    const power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].map((n) => n * power).find((n) => n >= rough);
    const [unit, name] = length >= 5e9 ? [1e9, "s"] : length >= 2e5 ? [1e6, "ms"] : [1e3, "us"];
    const digits = Math.max(0, Math.ceil(-Math.log10(step / unit) - 1e-9));
    for (let n = Math.ceil(this.from / step); n * step <= this.to; n++) {
      const x = Math.round(this.x(n * step)) + 0.5;
      if (x < LABELS) continue;
      context.strokeStyle = this.color("line");
      context.globalAlpha = 0.6;
      context.beginPath(); context.moveTo(x, AXIS); context.lineTo(x, this.height); context.stroke();
      context.globalAlpha = 1;
      context.fillStyle = this.color("quiet");
      context.textAlign = "center";
      const text = (n * step / unit).toFixed(digits) + " " + name;
      const last = this.width - context.measureText(text).width / 2 - 2;
      context.fillText(text, Math.min(x, last), AXIS / 2);
    }
  }

  labels() {
    const context = this.context;
    context.textAlign = "left";
    for (const row of this.rows) {
      const y = row.y + row.height / 2;
      const [text, indent, color] =
        row.type === "core" ? [row.core.name, 8, "text"]
        : row.type === "thread" ? [row.thread.name, 20, "text"]
        : ["budget " + row.server.name, 20, "quiet"];
      context.font = (row.type === "core" ? "600 " : "") + "12px system-ui, sans-serif";
      context.fillStyle = this.color(color);
      context.fillText(text, indent, y, LABELS - indent - 6);
    }
  }

  // The core's own row: votes and marks.
  core(row) {
    const context = this.context, middle = row.y + row.height / 2;
    context.fillStyle = this.color("panel");
    context.fillRect(LABELS, row.y, this.width - LABELS, row.height);
    context.fillStyle = this.color("good");
    this.eachPixel(row.core.votes, 1, 0, (i) => {
      context.fillRect(Math.floor(this.x(row.core.votes[i])), middle - 3, 1, 6);
    });
    for (const mark of row.core.marks) {
      if (mark.at < this.from || mark.at > this.to) continue;
      const x = this.x(mark.at);
      const bad = /fault|stop|minority|timeout|majority|note/.test(mark.kind);
      context.fillStyle = this.color(bad ? "bad" : mark.kind === "stale input" ? "warn" : "mark");
      context.beginPath();
      context.moveTo(x, middle - 6); context.lineTo(x + 5, middle); context.lineTo(x, middle + 6); context.lineTo(x - 5, middle);
      context.fill();
    }
  }

  // Calls `visit` with one group in each pixel that any falls in, so that thousands of
  // events cost no more than the chart is wide, and none vanishes.
  eachPixel(array, stride, offset, visit) {
    let i = lowerBound(array, stride, offset, this.from);
    const count = array.length / stride;
    while (i < count && array[i * stride + offset] <= this.to) {
      visit(i);
      const next = this.time(Math.floor(this.x(array[i * stride + offset])) + 1);
      i = Math.max(i + 1, lowerBound(array, stride, offset, next));
    }
  }

  thread(row) {
    const { thread } = row, context = this.context, top = row.y + 6, height = row.height - 10;
    const jobs = thread.jobs;
    const inView = lowerBound(jobs, JOB, RELEASE, this.to) - lowerBound(jobs, JOB, RELEASE, this.from);
    const room = (this.width - LABELS) / Math.max(1, inView);
    if (room > 6) this.responses(row, top, height);
    context.fillStyle = this.color(row.color);
    const { runs, sums } = thread;
    let i = Math.max(0, lowerBound(runs, 2, 0, this.from) - 1);
    const perPixel = (this.to - this.from) / (this.width - LABELS);
    while (2 * i < runs.length && runs[2 * i] <= this.to) {
      const from = this.x(runs[2 * i]), to = this.x(runs[2 * i + 1]);
      if (to - from >= 1) {
        const left = Math.max(from, LABELS - 1);
        context.fillRect(left, top, Math.min(to, this.width + 1) - left, height);
        i++;
      } else {
        // All that begins within this pixel, as dense as it is; never less than visible.
        const column = Math.floor(from);
        const next = Math.max(i + 1, lowerBound(runs, 2, 0, this.time(column + 1)));
        context.globalAlpha = 0.35 + 0.65 * Math.min(1, (sums[next] - sums[i]) / perPixel);
        context.fillRect(column, top, 1, height);
        context.globalAlpha = 1;
        i = next;
      }
    }
    context.fillStyle = this.color("quiet");
    this.eachPixel(jobs, JOB, RELEASE, (i) => {
      context.fillRect(Math.floor(this.x(jobs[i * JOB + RELEASE])), row.y + 1, 1, 5);
    });
    if (room > 12) this.ends(row, top, height);
    context.fillStyle = this.color("bad");
    for (const i of thread.missed) {
      const release = jobs[i * JOB + RELEASE], at = thread.deadline === null ? release : release + thread.deadline;
      if (at < this.from || release > this.to) continue;
      const x = this.x(at);
      context.fillRect(x - 1.5, row.y, 3, row.height);
    }
  }

  // From release to completion, behind the runs; to the end of the run if there is none,
  // once for all jobs that wait for it.
  responses(row, top, height) {
    const { jobs } = row.thread, context = this.context;
    context.fillStyle = this.color(row.color);
    context.globalAlpha = 0.18;
    let waited = false;
    let i = Math.max(0, lowerBound(jobs, JOB, RELEASE, this.from) - 1);
    for (; i * JOB < jobs.length && !(jobs[i * JOB + RELEASE] > this.to); i++) {
      const complete = jobs[i * JOB + COMPLETE], waits = isNaN(complete);
      const from = this.x(jobs[i * JOB + RELEASE]), to = this.x(waits ? data.summary.to_ns : complete);
      if (to > from && !(waits && waited)) context.fillRect(from, top, to - from, height);
      waited ||= waits;
    }
    context.globalAlpha = 1;
  }

  // Completions (dots) and deadlines (ticks from below).
  ends(row, top, height) {
    const { thread } = row, jobs = thread.jobs, context = this.context;
    let i = Math.max(0, lowerBound(jobs, JOB, RELEASE, this.from) - 1);
    for (; i * JOB < jobs.length && !(jobs[i * JOB + RELEASE] > this.to); i++) {
      const complete = this.x(jobs[i * JOB + COMPLETE]);
      context.fillStyle = this.color("good");
      if (!isNaN(complete)) { context.beginPath(); context.arc(complete, row.y + 3.5, 2.5, 0, 7); context.fill(); }
      if (thread.deadline !== null) {
        context.fillStyle = this.color("text");
        context.fillRect(Math.floor(this.x(jobs[i * JOB + RELEASE] + thread.deadline)), top + height - 3, 1, 6);
      }
    }
  }

  budget(row) {
    const { server } = row, points = server.level, context = this.context;
    const bottom = row.y + row.height - 3, full = row.height - 7;
    const y = (level) => bottom - level / Math.max(1, server.budget) * full;
    let i = Math.max(0, lowerBound(points, 2, 0, this.from) - 1);
    const path = new Path2D();
    let column = null, start = null, low, high, last;
    const close = () => { path.lineTo(column, low); path.lineTo(column, high); path.lineTo(column, last); };
    for (; 2 * i < points.length; i++) {
      const x = this.x(points[2 * i]), level = y(points[2 * i + 1]);
      if (Math.floor(x) !== column) {
        // Many points in one pixel: from the lowest to the highest of them.
        if (column === null) path.moveTo(start = x, level); else close();
        column = Math.floor(x); low = high = level;
        path.lineTo(x, level);
      }
      low = Math.min(low, level); high = Math.max(high, level); last = level;
      if (points[2 * i] > this.to) break;
    }
    if (column !== null) {
      close();
      context.strokeStyle = context.fillStyle = this.color(row.color);
      context.stroke(path);
      path.lineTo(column, bottom); path.lineTo(start, bottom);
      context.globalAlpha = 0.15;
      context.fill(path);
      context.globalAlpha = 1;
    }
    context.fillStyle = this.color("warn");
    this.eachPixel(server.exhausted, 1, 0, (i) => {
      context.fillRect(Math.floor(this.x(server.exhausted[i])) - 1, bottom - 2, 3, 4);
    });
  }

  // Where records are missing nothing is known: shaded over all rows of the core.
  lost(core) {
    const rows = this.rows.filter((row) => row.core === core);
    const top = rows[0].y, last = rows[rows.length - 1], context = this.context;
    context.fillStyle = this.color("lost");
    for (const [from, to] of core.lost) {
      const left = this.x(from);
      context.fillRect(left, top, Math.max(2, this.x(to) - left), last.y + last.height - top);
    }
  }

  selection() {
    if (!this.selected) return;
    const { row, from, to } = this.selected, rows = this.rows.filter((r) => r.core === row.core);
    const bottom = rows[rows.length - 1];
    this.context.strokeStyle = this.color("text");
    this.context.setLineDash([4, 3]);
    const left = this.x(from);
    this.context.strokeRect(left, rows[0].y + 0.5, Math.max(1, this.x(to) - left), bottom.y + bottom.height - rows[0].y - 1);
    this.context.setLineDash([]);
  }

  rowAt(y) { return this.rows.find((row) => y >= row.y && y < row.y + row.height); }

  // The job of a thread that a time belongs to: the last one released by then.
  jobAt(thread, time) {
    const i = lowerBound(thread.jobs, JOB, RELEASE, time) - 1;
    return i >= 0 ? i : null;
  }

  // What is at a point, in words.
  describe(x, y) {
    const row = this.rowAt(y);
    if (!row || x < LABELS) return null;
    const time = this.time(x), near = 6 / (this.width - LABELS) * (this.to - this.from);
    const lines = [instant(time)];
    if (row.core.lost.some(([from, to]) => time >= from && time <= to)) lines.push("records are missing here");
    if (row.type === "core") {
      for (const mark of row.core.marks.filter((mark) => Math.abs(mark.at - time) <= near).slice(0, 8)) {
        lines.push(mark.kind + ": " + mark.text);
      }
    } else if (row.type === "budget") {
      lines.push(row.server.name + ": " + span(levelAt(row.server, time)) + " of " + span(row.server.budget) + " each " + span(row.server.period));
    } else {
      const { runs, jobs } = row.thread, i = lowerBound(runs, 2, 0, time + 1) - 1;
      if (i >= 0 && runs[2 * i + 1] >= time) lines.push(row.thread.name + " runs " + instant(runs[2 * i]) + " for " + span(runs[2 * i + 1] - runs[2 * i]));
      const job = this.jobAt(row.thread, time);
      if (job !== null) {
        const at = job * JOB;
        lines.push("job " + jobs[at + NUMBER] + " released " + instant(jobs[at + RELEASE]) + (isNaN(jobs[at + COMPLETE]) ? ", not complete" : ", response " + span(jobs[at + COMPLETE] - jobs[at + RELEASE])) + (jobs[at + MISSED] ? ", MISSED" : ""));
      }
    }
    return lines.join("\n");
  }
}
