// Everything beside the chart: verdict, tables, a job's story, histograms.
function verdict() {
  const { summary } = data, place = document.getElementById("verdict");
  place.textContent = data.verdict;
  place.className = ["", "late", "", "unsound"][data.status] || "";
  const records = summary.sandboxes.reduce((sum, sandbox) => sum + sandbox.records, 0);
  const lost = summary.sandboxes.reduce((sum, sandbox) => sum + sandbox.lost, 0);
  const violations = data.conformance.servers.reduce((sum, server) => sum + server.violations.length, 0);
  document.getElementById("about").textContent =
    "build " + summary.build + ", " + summary.sandboxes.length + (summary.sandboxes.length === 1 ? " sandbox, " : " sandboxes, ") + records + " records from " +
    instant(summary.from_ns) + " to " + instant(summary.to_ns) + ", " + lost + " lost, " +
    violations + " violations of server rules";
  const remarks = document.getElementById("remarks");
  const above = data.above.map((text) => "above its bound: " + text);
  const open = [...summary.not_judged, ...data.conformance.not_judged].map((text) => "not judged: " + text);
  for (const text of [...above, ...summary.unsound, ...summary.warnings, ...open]) remarks.append(element("li", {}, text));
}

// A table; `lines` are arrays of cells, a cell a text or [text, class].
function table(title, titles, lines, choose) {
  if (!lines.length) return;
  const isText = (cell) => !/^[-–\d]/.test(Array.isArray(cell) ? cell[0] : cell);
  const kinds = titles.map((_, i) => lines.every((line) => isText(line[i])) ? "text" : "");
  const head = element("tr", {}, ...titles.map((title, i) => element("th", { class: kinds[i], scope: "col" }, title)));
  const body = lines.map((line, number) => {
    const row = element("tr", {}, ...line.map((cell, i) => {
      const [text, kind] = Array.isArray(cell) ? cell : [cell, ""];
      return element("td", { class: kinds[i] + " " + kind }, text);
    }));
    if (choose) {
      row.className = "choice";
      row.tabIndex = 0;
      row.addEventListener("click", () => choose(number));
      row.addEventListener("keydown", (event) => { if (event.key === "Enter") choose(number); });
    }
    return row;
  });
  document.getElementById("tables").append(
    element("h2", {}, title),
    element("div", { class: "scroll" }, element("table", {}, element("thead", {}, head), element("tbody", {}, ...body))));
}

function tables(select) {
  const { summary } = data, threads = [];
  summary.sandboxes.forEach((sandbox, core) => sandbox.threads.forEach((thread) => threads.push({ core, sandbox, thread })));
  table("Jobs: response times, bounds, deadlines (choose one for its slowest job)",
    ["sandbox", "thread", "server", "jobs", "done", "min", "median", "max", "bound", "deadline", "max / deadline", "misses"],
    threads.map(({ sandbox, thread }) => {
      const times = thread.response || {};
      const share = thread.response && thread.deadline_ns ? (times.max_ns / thread.deadline_ns * 100).toFixed(1) + "%" : "–";
      return [sandbox.sandbox, thread.thread, thread.server, String(thread.released), String(thread.completed), span(times.min_ns), span(times.median_ns),
        [span(times.max_ns), thread.above_bound ? "above" : ""], span(thread.bound_ns), span(thread.deadline_ns), share, [String(thread.misses), thread.misses ? "bad" : ""]];
    }),
    (number) => {
      const { core, thread } = threads[number];
      const track = data.cores[core].threads.find((track) => track.name === thread.thread);
      const wanted = thread.missed_jobs.length ? thread.missed_jobs[0].first : thread.response && thread.response.max_job;
      const found = track && lowerBound(track.jobs, JOB, NUMBER, wanted);
      if (track && track.jobs[found * JOB + NUMBER] === wanted) select(track, found);
    });
  const checked = (core, name) => data.conformance.servers.find((server) => server.sandbox === core && server.server === name);
  table("Servers", ["sandbox", "server", "budget", "period", "runs", "busy", "of budget", "exhausted", "overruns", "longest", "replenishments", "rules"],
    summary.sandboxes.flatMap((sandbox) => sandbox.servers.map((server) => {
      const rules = checked(sandbox.sandbox, server.server);
      const word = !rules || !rules.checked ? ["not checked", ""] : rules.violations.length ? [rules.violations.length + " violations", "bad"] : ["kept", ""];
      return [sandbox.sandbox, server.server, span(server.budget_ns), span(server.period_ns), String(server.runs), span(server.busy_ns),
        (server.budget_use_per_mille / 10).toFixed(1) + "%", String(server.exhaustions), String(server.overruns), span(server.overrun_ns), String(server.posted), word];
    })));
  table("Votes", ["set", "epochs", "unanimous", "minority", "timeout", "held", "no majority", "not voted"],
    summary.votes.map((votes) => [votes.set, votes.first_epoch + " to " + votes.last_epoch,
      ...[votes.unanimous, votes.minority, votes.timeout, votes.held, votes.no_majority, votes.absent].map(String)]));
  table("Repairs", ["set", "sandbox", "detected in epoch", "from", "time", "rounds", "differing", "copied", "result", "rejoined in epoch"],
    summary.repairs.map((repair) => [repair.set, repair.sandbox, String(repair.detected_epoch ?? "–"), instant(repair.started_ns),
      span(repair.duration_ns), String(repair.rounds), String(repair.differing), String(repair.copied), repair.result, String(repair.rejoined_epoch ?? "–")]));
  table("Exits to the hypervisor", ["sandbox", "reason", "exits", "first to last epoch"],
    summary.sandboxes.filter((sandbox) => sandbox.exits.total || sandbox.exits.steady === null).flatMap((sandbox) => {
      const steady = (count) => count === null ? "not recorded" : [String(count), count ? "bad" : ""];
      return [[sandbox.sandbox, "all", String(sandbox.exits.total), steady(sandbox.exits.steady)],
        ...sandbox.exits.by_reason.map((count) => ["", count.reason, String(count.total), steady(count.steady)])];
    }));
}

// The story of a job: who had the core between its release and its end.
function story(thread, i) {
  const jobs = thread.jobs.subarray(i * JOB, (i + 1) * JOB), core = thread.core;
  const release = jobs[RELEASE], end = isNaN(jobs[COMPLETE]) ? data.summary.to_ns : jobs[COMPLETE];
  const own = ranBetween(thread, release, end);
  const others = core.threads.filter((other) => other !== thread)
    .map((other) => [other.name, ranBetween(other, release, end)]).filter(([, ran]) => ran > 0)
    .sort((a, b) => b[1] - a[1]);
  const idle = end - release - own - others.reduce((sum, [, ran]) => sum + ran, 0);
  const server = thread.server === null ? null : core.servers[thread.server];
  const deadline = thread.deadline === null ? NaN : release + thread.deadline;
  const place = document.getElementById("story");
  const lines = [
    ["released", instant(release)],
    ...(jobs[NOTICED] > release ? [["noticed", span(jobs[NOTICED] - release) + " later"]] : []),
    ["complete", isNaN(jobs[COMPLETE]) ? "never" : instant(jobs[COMPLETE]) + ", response " + span(jobs[COMPLETE] - release)],
    ...(isNaN(deadline) ? [] : [["deadline", instant(deadline) + (isNaN(jobs[COMPLETE]) ? "" :
      deadline < jobs[COMPLETE] ? ", missed by " + span(jobs[COMPLETE] - deadline) : ", " + span(deadline - jobs[COMPLETE]) + " to spare")]]),
    ["ran", span(own)],
    ...others.map(([name, ran]) => ["meanwhile " + name, span(ran)]),
    ["core idle", span(Math.max(0, idle))],
  ];
  if (server) {
    const exhausted = lowerBound(server.exhausted, 1, 0, end) - lowerBound(server.exhausted, 1, 0, release);
    lines.push(["budget at release", span(levelAt(server, release)) + " of " + span(server.budget)]);
    if (exhausted) lines.push(["budget exhausted", exhausted === 1 ? "once" : exhausted + " times"]);
  }
  const histogram = element("canvas", { class: "histogram", role: "img", "aria-label": "Histogram of response times" });
  place.replaceChildren(
    element("h2", {}, core.name + " " + thread.name + ", job " + jobs[NUMBER] + (jobs[MISSED] ? " (missed)" : "")),
    element("table", {}, ...lines.map(([name, value]) => element("tr", {}, element("td", { class: "text" }, name), element("td", { class: "text" }, value)))),
    element("p", { class: "help" }, "All responses of this thread; red the deadline, amber the bound without overheads, the dot this job."),
    histogram);
  place.hidden = false;
  drawHistogram(histogram, thread, jobs[COMPLETE] - release);
  return [release, end];
}

function drawHistogram(canvas, thread, chosen) {
  const responses = [];
  for (let at = 0; at < thread.jobs.length; at += JOB) {
    const response = thread.jobs[at + COMPLETE] - thread.jobs[at + RELEASE];
    if (!isNaN(response)) responses.push(response);
  }
  const scale = window.devicePixelRatio || 1, width = canvas.clientWidth, height = canvas.clientHeight;
  canvas.width = width * scale; canvas.height = height * scale;
  const context = canvas.getContext("2d"), style = getComputedStyle(document.documentElement);
  const color = (name) => style.getPropertyValue("--" + name).trim();
  context.scale(scale, scale);
  context.font = "12px system-ui, sans-serif";
  const longest = responses.reduce((a, b) => Math.max(a, b), 0);
  const most = Math.max(longest, thread.deadline || 0, thread.bound || 0, 1) * 1.05, count = 80, bins = new Array(count).fill(0);
  for (const response of responses) bins[Math.max(0, Math.min(count - 1, Math.floor(response / most * count)))]++;
  const tallest = Math.max(1, ...bins), floor = height - 18;
  context.fillStyle = color("run0");
  bins.forEach((n, i) => {
    // A single job among thousands still shows.
    const tall = n ? Math.max(2, n / tallest * (floor - 6)) : 0;
    context.fillRect(i * width / count, floor - tall, width / count - 1, tall);
  });
  const x = (nanos) => nanos / most * width;
  if (thread.bound) { context.fillStyle = color("warn"); context.fillRect(x(thread.bound), 0, 2, floor); }
  if (thread.deadline) { context.fillStyle = color("bad"); context.fillRect(x(thread.deadline), 0, 2, floor); }
  context.fillStyle = color("text");
  if (!isNaN(chosen)) { context.beginPath(); context.arc(x(chosen), floor, 4, 0, 7); context.fill(); }
  context.fillStyle = color("quiet");
  context.fillText("0", 0, height - 4);
  context.textAlign = "right";
  context.fillText(span(most), width, height - 4);
}
