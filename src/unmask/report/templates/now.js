// What the server is doing: reads /metrics every second while somebody looks.
// What bites: counters only grow, so a rate is the difference to an earlier look; a server that was started again counts
// from nothing, and what was seen before is forgotten.

const SECOND = 1000, KEPT = 120;
let looks = [];  // the last two minutes, the newest at the end

function read(text) {
  const samples = [];
  for (const line of text.split("\n")) {
    const found = /^(\w+)(?:\{(.*)\})? (\S+)$/.exec(line);
    if (!found) continue;
    const labels = {};
    for (const [, name, value] of (found[2] || "").matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)) labels[name] = value;
    samples.push({name: found[1], labels, value: Number(found[3].replace("+Inf", "Infinity"))});
  }
  return samples;
}

function total(samples, name, fits = () => true) {
  return samples.reduce((sum, one) => (one.name === name && fits(one.labels) ? sum + one.value : sum), 0);
}

// The look that was `seconds` ago, or the oldest there is.
function before(seconds) {
  const last = looks.at(-1);
  return looks.find((one) => last.at - one.at <= seconds * SECOND + 500) || last;
}

function since(seconds, name, fits) {
  return total(looks.at(-1).samples, name, fits) - total(before(seconds).samples, name, fits);
}

function rate(seconds) {
  const passed = (looks.at(-1).at - before(seconds).at) / SECOND;
  return passed > 0 ? since(seconds, "unmask_requests_total") / passed : 0;
}

// A quantile of the last minute, from the buckets, with straight lines in between.
function within(share) {
  const bounds = new Map();
  for (const sign of [1, -1]) {
    for (const one of (sign > 0 ? looks.at(-1) : before(60)).samples) {
      if (one.name !== "unmask_request_duration_seconds_bucket") continue;
      const bound = Number(one.labels.le.replace("+Inf", "Infinity"));
      bounds.set(bound, (bounds.get(bound) || 0) + sign * one.value);
    }
  }
  const sorted = [...bounds].sort(([one], [other]) => one - other), count = sorted.length ? sorted.at(-1)[1] : 0;
  let lower = 0, below = 0;
  for (const [bound, reached] of sorted) {
    if (count && reached >= share * count) {
      return bound === Infinity ? lower : lower + (bound - lower) * (share * count - below) / Math.max(1, reached - below);
    }
    [lower, below] = [bound, reached];
  }
  return null;
}

function put(id, text, hint) {
  byId(id).textContent = text;
  if (hint !== undefined) byId(`${id}-hint`).textContent = hint;
}

function show() {
  const {samples} = looks.at(-1), whole = (number) => Math.round(number).toLocaleString("en");
  const milliseconds = (seconds) => (seconds === null ? "–" : (1000 * seconds).toFixed(seconds < 0.01 ? 1 : 0));
  const codes = [...new Set(samples.map((one) => one.labels.code).filter((code) => code >= "400"))].sort();
  const refused = codes.map((code) => [code, since(60, "unmask_requests_total", (labels) => labels.code === code)]).filter(([, number]) => number);
  put("rate", rate(10).toFixed(1));
  put("median", milliseconds(within(0.5)));
  put("slow", milliseconds(within(0.95)));
  put("waiting", whole(total(samples, "unmask_queue_tokens")));
  put("workers", whole(total(samples, "unmask_ready_workers")));
  put("refused", whole(refused.reduce((sum, [, number]) => sum + number, 0)),
    refused.map(([code, number]) => `${code}: ${whole(number)}`).join(", ") || "in the last minute");
  put("truncated", whole(total(samples, "unmask_truncated_tokens_total")));
  put("restarts", whole(total(samples, "unmask_worker_restarts_total")));
  drawLine();
  showBeside(samples);
  showFigures(samples);
}

function drawLine() {
  const rates = looks.slice(1).map((one, place) => {
    const earlier = looks[place];
    const grown = total(one.samples, "unmask_requests_total") - total(earlier.samples, "unmask_requests_total");
    return Math.max(0, grown / ((one.at - earlier.at) / SECOND));
  });
  const most = Math.max(1, ...rates), left = KEPT - rates.length;
  const points = rates.map((value, place) => `${left + place} ${(39 - 38 * value / most).toFixed(2)}`);
  byId("line").firstElementChild.setAttribute("d", points.length ? `M${points.join("L")}` : "M0 40");
  byId("line").setAttribute("aria-label", `At most ${most.toFixed(1)}, now ${(rates.at(-1) || 0).toFixed(1)} requests a second`);
}

function showBeside(samples) {
  const pairs = samples.filter((one) => one.name === "unmask_shadow_requests_total").map((one) => one.labels);
  const names = [...new Set(pairs.map(({model, role}) => `${role} ${model}`))];
  byId("beside").hidden = !names.length;
  byId("beside-rows").replaceChildren(...names.map((name) => {
    const [role, model] = [name.slice(0, name.indexOf(" ")), name.slice(name.indexOf(" ") + 1)];
    const sum = (what, more = {}) => total(samples, `unmask_shadow_${what}`, (labels) =>
      Object.entries({model, role, ...more}).every(([key, value]) => labels[key] === value));
    const [same, other] = ["same", "other"].map((outcome) => sum("answers_total", {outcome}));
    const seconds = (side) => sum("inference_seconds_total", {side});
    const ratio = seconds("candidate") / seconds("served"), change = sum("confidence_change_sum") / sum("confidence_change_count");
    const outcomes = ["compared", "dropped", "failed"].map((outcome) => String(sum("requests_total", {outcome})));
    const cells = [
      outcomes[0], same + other ? percent(same / (same + other)) : "–",
      Number.isFinite(change) ? `${change < 0 ? "" : "+"}${(100 * change).toFixed(1)} points` : "–",
      Number.isFinite(ratio) ? `${ratio.toFixed(2)} times` : "–", outcomes[1], outcomes[2],
    ];
    return make("tr", {}, make("th", {scope: "row"}, model), make("td", {}, role), ...cells.map((text) => make("td", {class: "number"}, text)));
  }));
}

function showFigures(samples) {
  if (!byId("figures").closest("details").open) return;
  const plain = samples.filter((one) => !/_(bucket|created)$/.test(one.name));
  byId("figures").replaceChildren(...plain.map(({name, labels, value}) => {
    const said = Object.values(labels).filter(Boolean).join(", ");
    return make("tr", {}, make("th", {scope: "row"}, said ? `${name} (${said})` : name), make("td", {class: "number"}, String(Number(value.toPrecision(6)))));
  }));
}

async function look() {
  if (document.hidden) return;
  try {
    const samples = read(await (await fetch("/metrics")).text());
    if (looks.length && total(samples, "unmask_requests_total") < total(looks.at(-1).samples, "unmask_requests_total")) looks = [];
    looks = [...looks, {at: performance.now(), samples}].slice(-KEPT - 1);
    show();
    byId("seen").textContent = "Looks every second while this page is in sight.";
  } catch {
    byId("seen").textContent = "The server does not answer; these are the last figures.";
  }
}

async function watch() {
  await look();
  setTimeout(watch, SECOND);
}
watch();
