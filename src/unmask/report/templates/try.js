// The form: asks the server for one task of one model and shows the answer.
// What bites: places in a text are counted in code points, and JavaScript counts UTF-16 units; cut() keeps them apart.
"use strict";

const byId = (id) => document.getElementById(id);
const models = JSON.parse(byId("models").textContent);
const percent = (share) => `${(100 * share).toFixed(1)} %`;

function make(tag, attributes = {}, ...inside) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...inside);
  return made;
}

const cut = (text, start, end) => Array.from(text).slice(start, end).join("");
const capital = (text) => text[0].toUpperCase() + text.slice(1);

const FORMS = {
  fill: {
    first: "Text with the mask", hint: "The mask stands for a word that is to be found.",
    example: (model) => `The ${model.mask_token} of the array is returned.`, show: showFills,
  },
  score: {
    first: "Text", hint: "How expected the text is to the model.",
    example: () => "The length of the array is returned.", show: showScore,
  },
  classify: {
    first: "Text", hint: "Which label fits, and how surely.",
    example: () => "It does just what it says.", show: (labels) => showBars(labels[0], "label"),
  },
  tag: {
    first: "Text", hint: "What is found is marked where it stands.",
    example: () => "Ada Lovelace wrote to Charles Babbage in London.", show: showTags,
  },
  answer: {
    first: "Question", second: "Context", hint: "The answer is marked in the context.",
    example: () => "Who wrote the letter?", other: "Ada Lovelace wrote a letter to Charles Babbage in 1843.",
    inputs: (first, second) => ({question: first, context: second}), show: showAnswer,
  },
  embed: {
    first: "Text", hint: "The vector of the text.",
    example: () => "The length of the array is returned.", show: showVector,
  },
  similarity: {
    first: "Text", second: "Another text", hint: "How near the two are, from -1 to 1.",
    example: () => "The length of the array is returned.", other: "Gives back how long the list is.",
    inputs: (first, second) => ({source_sentence: first, sentences: [second]}), show: showCosine,
  },
  tokenize: {
    first: "Text", hint: "The tokens that the model reads, with their ids.",
    example: () => "The length of the array is returned.", show: showTokens,
  },
};

const model = () => models[byId("model").selectedIndex];
const form = () => FORMS[byId("task").value];
let asked = null;  // what stood in the fields when the answer came

function chooseModel() {
  byId("task").replaceChildren(...model().tasks.map((name) => make("option", {value: name}, capital(name))));
  chooseTask();
}

function chooseTask() {
  const chosen = form();
  byId("first-name").textContent = chosen.first;
  byId("first").value = chosen.example(model());
  byId("hint").textContent = chosen.hint;
  byId("second-field").hidden = !chosen.second;
  byId("second-name").textContent = chosen.second || "";
  byId("second").value = chosen.other || "";
  byId("put-mask").hidden = byId("task").value !== "fill";
  byId("put-mask").textContent = `Put in ${model().mask_token}`;
  clear();
}

function clear() {
  byId("answer").replaceChildren();
  byId("said").textContent = byId("wrong").textContent = "";
  asked = null;
}

function putMask() {
  const field = byId("first");
  field.setRangeText(model().mask_token, field.selectionStart, field.selectionEnd, "end");
  field.focus();
  outdate();
}

function outdate() {
  byId("answer").classList.toggle("old", asked !== null);
  for (const button of byId("answer").querySelectorAll("button")) button.disabled = true;
}

async function ask(event) {
  event.preventDefault();
  const task = byId("task").value, chosen = form();
  const first = byId("first").value, second = byId("second").value, key = byId("key").value;
  const headers = {"content-type": "application/json", ...(key ? {authorization: `Bearer ${key}`} : {})};
  const body = {model: model().name, inputs: chosen.inputs ? chosen.inputs(first, second) : first};
  clear();
  byId("answer").classList.remove("old");
  const mine = asked = {first, second}, start = performance.now();
  try {
    const answer = await fetch(`/${task}`, {method: "POST", headers, body: JSON.stringify(body)});
    const said = await answer.json();
    if (mine !== asked) return;  // something else was asked meanwhile
    if (!answer.ok) return refuse(answer.status, said.error);
    const summary = chosen.show(said, mine, byId("answer"));
    byId("said").textContent = `${summary} ${time(answer, start)}${cutOff(answer)}`;
  } catch (error) {
    if (mine !== asked) return;
    byId("wrong").textContent = `The server can not be reached (${error.message}).`;
  }
}

function time(answer, start) {
  const inside = /total;dur=([\d.]+)/.exec(answer.headers.get("server-timing") || "");
  const whole = `${(performance.now() - start).toFixed(0)} ms`;
  return inside ? `Answered in ${whole}, ${Number(inside[1]).toFixed(0)} ms of it in the server.` : `Answered in ${whole}.`;
}

function cutOff(answer) {
  const number = answer.headers.get("x-truncated-tokens");
  return number ? ` The text was too long: ${number} tokens were left out.` : "";
}

function refuse(status, error) {
  const wait = error.retry_after ? ` Try again in ${Math.ceil(error.retry_after)} s.` : "";
  byId("wrong").textContent = `${capital(error.message)}.${wait} (${status} ${error.type})`;
  if (status !== 401) return;
  byId("key-field").hidden = false;
  byId("key").focus();
}

function bar(share) {
  const inner = make("span");
  inner.style.width = `${Math.max(0.5, 100 * share)}%`;
  return make("span", {class: "bar", "aria-hidden": "true"}, inner);
}

function row(word, share, tag = "div", attributes = {}) {
  const name = make("span", {class: "word"}, word), score = make("span", {class: "score"}, percent(share));
  return make(tag, attributes, name, bar(share), score);
}

function showBars(found, key) {
  byId("answer").append(make("ol", {class: "bars"}, ...found.map((one) => make("li", {}, row(one[key], one.score)))));
  return `${capital(found[0][key])}, ${percent(found[0].score)}.`;
}

function showFills(found, {first}) {
  const masks = Array.isArray(found[0]) ? found : [found], chosen = masks.map(() => null);
  masks.forEach((fills, place) => {
    if (masks.length > 1) byId("answer").append(make("h3", {}, `Mask ${place + 1} of ${masks.length}`));
    const buttons = fills.map((one) => {
      const word = one.token_str.trim().replace(/^##/, "") || one.token_str;
      const button = row(word, one.score, "button", {type: "button", "aria-pressed": "false"});
      button.addEventListener("click", () => {
        chosen[place] = chosen[place] === word ? null : word;
        for (const other of buttons) other.setAttribute("aria-pressed", String(other === button && chosen[place] !== null));
        const parts = first.split(model().mask_token);
        byId("first").value = parts.reduce((text, part, at) => text + (chosen[at - 1] ?? model().mask_token) + part);
        byId("said").textContent = `The text is now: ${byId("first").value}`;
      });
      return button;
    });
    byId("answer").append(make("ol", {class: "bars"}, ...buttons.map((button) => make("li", {}, button))));
  });
  const best = masks.map(([one]) => `${one.token_str.trim()}, ${percent(one.score)}`).join("; ");
  return `Likeliest: ${best}. Press a word to put it in the text.`;
}

function marked(text, spans) {
  const parts = [];
  let done = 0;
  for (const {start, end, label} of spans) {
    parts.push(cut(text, done, start), make("mark", {}, cut(text, start, end), make("sup", {}, ` ${label}`)));
    done = end;
  }
  return make("p", {class: "marked"}, ...parts, cut(text, done));
}

function showTags(found, {first}) {
  const spans = found.map((one) => ({...one, label: `${one.entity_group} ${percent(one.score)}`}));
  byId("answer").append(marked(first, spans.sort((one, other) => one.start - other.start)));
  const named = found.map((one) => `${cut(first, one.start, one.end)} (${one.entity_group})`).join(", ");
  return found.length ? `${found.length} found: ${named}.` : "Nothing was found.";
}

function showAnswer(found, {second}) {
  const isFound = found.end > found.start;
  byId("answer").append(marked(second, isFound ? [{...found, label: percent(found.score)}] : []));
  return isFound ? `${capital(found.answer)}, ${percent(found.score)}.` : `The context has no answer, ${percent(found.score)}.`;
}

function showVector(found) {
  const vector = Array.isArray(found[0]) ? found[0] : found, length = Math.hypot(...vector);
  const some = vector.slice(0, 8).map((number) => number.toFixed(4)).join(", ");
  byId("answer").append(make("p", {}, `${some}${vector.length > 8 ? ", ..." : ""}`));
  return `${vector.length} numbers of length ${length.toFixed(3)}.`;
}

function showCosine([cosine]) {
  byId("answer").append(make("p", {class: "value"}, cosine.toFixed(3)), bar((1 + cosine) / 2));
  return `Cosine ${cosine.toFixed(3)}.`;
}

function showTokens({tokens, ids, offsets}, {first}) {
  const chips = ids.map((id, at) => make("li", {title: tokens[at]}, cut(first, ...offsets[at]) || tokens[at], make("small", {}, String(id))));
  byId("answer").append(make("ol", {class: "chips"}, ...chips));
  return `${ids.length} tokens.`;
}

function showScore({score, tokens, bits_per_character: bits}) {
  const surprise = tokens ? `, ${(-score / tokens).toFixed(2)} nats a token` : "";
  byId("answer").append(make("p", {}, `${score.toFixed(2)} nats over ${tokens} tokens${surprise}`));
  return `${bits.toFixed(2)} bits per character.`;
}

byId("model").addEventListener("change", chooseModel);
byId("task").addEventListener("change", chooseTask);
byId("put-mask").addEventListener("click", putMask);
byId("ask").addEventListener("submit", ask);
for (const id of ["first", "second"]) {
  byId(id).addEventListener("input", outdate);
  byId(id).addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) byId("ask").requestSubmit();
  });
}
chooseModel();
