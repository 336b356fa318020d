/** The way back: what the row really was, sent for one prediction. */
import {el, title} from "./dom.js";

export function feedbackForm(schema, prediction, api) {
  const id = "truth";
  const control = schema.task === "regression"
    ? el("input", {id, type: "number", step: "any", required: true})
    : el("select", {id}, ...schema.classes.map((label) => el("option", {selected: label === prediction.label}, label)));
  const state = el("span", {role: "status"});
  const button = el("button", {class: "plain"}, "Send");

  const send = async (event) => {
    event.preventDefault();
    const truth = schema.task === "regression" ? {value: Number(control.value)} : {label: control.value};
    button.disabled = true;
    try {
      await api.feedback({id: prediction.id, ...truth});
      state.textContent = "Recorded, thank you.";
    } catch (problem) {
      button.disabled = false;
      state.textContent = problem.message;
    }
  };
  const label = el("label", {for: id}, `${title(schema.target)}, as it really was`);
  return el("form", {class: "feedback", onsubmit: send}, label, el("div", {}, control, button, state));
}
