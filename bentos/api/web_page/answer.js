/** What the model answered: the label or value, probabilities as bars, warnings, whose answer it is, and feedback. */
import {el, figure, title, titles} from "./dom.js";
import {feedbackForm} from "./feedback.js";

const MOST_BARS = 10;

export function answerView(schema, answer, milliseconds, api) {
  const [prediction] = answer.predictions;
  return el(
    "div",
    {class: "answer"},
    verdict(schema, prediction),
    schema.task === "binary" ? decision(schema, prediction) : null,
    prediction.probabilities ? bars(schema, prediction) : null,
    warnings(schema, answer.warnings || []),
    feedbackForm(schema, prediction, api),
    origin(answer, prediction, milliseconds),
  );
}

export function problemView(problem) {
  return el(
    "div",
    {class: "answer refused", role: "alert"},
    el("h3", {}, problem.title || "Error"),
    el("p", {}, problem.message),
    problem.trace ? el("p", {class: "hint"}, "Trace ", el("code", {}, problem.trace)) : null,
  );
}

function verdict(schema, prediction) {
  const text = prediction.label ?? `${figure(prediction.value)}${schema.unit ? ` ${schema.unit}` : ""}`;
  return el("p", {class: "verdict"}, el("span", {class: "hint"}, title(schema.target)), el("strong", {}, text));
}

/** The score on its scale, with the threshold at which the decision turns. */
function decision(schema, prediction) {
  const reached = prediction.score >= schema.threshold;
  const fill = el("span", {class: "fill"});
  const mark = el("span", {class: "threshold", title: `Threshold ${figure(schema.threshold)}`});
  fill.style.width = `${100 * prediction.score}%`;
  mark.style.left = `${100 * schema.threshold}%`;
  return el(
    "div",
    {class: "decision"},
    el("div", {class: "track", "aria-hidden": "true"}, fill, mark),
    el(
      "p",
      {class: "hint"},
      `P(${schema.positive}) = ${figure(prediction.score)}, ${reached ? "at or above" : "below"} `,
      `the threshold ${figure(schema.threshold)}: `,
      el("b", {}, prediction.label),
    ),
  );
}

function bars(schema, prediction) {
  const entries = Object.entries(named(schema, prediction.probabilities)).sort(([, a], [, b]) => b - a);
  const rest = entries.length - MOST_BARS;
  return el(
    "div",
    {},
    el(
      "ol",
      {class: "bars", "aria-label": "Probabilities"},
      ...entries.slice(0, MOST_BARS).map(([label, share]) => bar(label, share, label === prediction.label)),
    ),
    rest > 0 ? el("p", {class: "hint"}, `and ${rest} less probable`) : null,
  );
}

function named(schema, probabilities) {
  if (!Array.isArray(probabilities)) return probabilities;
  return Object.fromEntries(schema.classes.map((label, index) => [label, probabilities[index]]));
}

function bar(label, share, chosen) {
  const fill = el("span", {class: "fill"});
  fill.style.width = `${100 * share}%`;
  return el(
    "li",
    {class: chosen ? "chosen" : null},
    el("span", {class: "name"}, label),
    el("span", {class: "track", "aria-hidden": "true"}, fill),
    el("span", {class: "share"}, `${(100 * share).toFixed(1)} %`),
  );
}

const REASONS = {
  missing: "is empty: the model works with what is typical",
  unknown_category: "has a value the model never saw",
  out_of_range: "is outside the range the model learned from",
};

function warnings(schema, list) {
  if (!list.length) return null;
  const shown = titles(schema);
  const lines = list.map((warning) => el("li", {}, el("b", {}, shown.get(warning.feature) ?? warning.feature), ` ${REASONS[warning.reason] || warning.reason}`));
  return el("ul", {class: "warnings", "aria-label": "Warnings"}, ...lines);
}

function origin(answer, prediction, milliseconds) {
  const row = (term, value) => [el("dt", {}, term), el("dd", {}, value)];
  return el(
    "dl",
    {class: "origin"},
    ...row("Model", `${answer.model.name}, version ${answer.model.version}`),
    ...row("Answered in", `${figure(milliseconds, 3)} ms`),
    ...row("Request", el("code", {}, answer.request_id)),
    ...row("Prediction", el("code", {}, prediction.id)),
  );
}
