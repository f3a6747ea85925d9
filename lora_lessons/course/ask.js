// The front end of a prediction: a question, native radio buttons or a slider, and a button.
// Nothing is chosen beforehand: the button waits until a hand has moved something.

function radios(model, name, chosen) {
  const box = document.createElement("div");
  model.get("options").forEach((text, place) => {
    const label = document.createElement("label");
    const input = Object.assign(document.createElement("input"), { type: "radio", name, value: place });
    input.addEventListener("change", () => chosen(place));
    label.append(input, ` ${text}`);
    box.append(label);
  });
  return { box, show: (place) => { box.querySelectorAll("input")[place].checked = true; } };
}

function slider(model, name, chosen) {
  const box = document.createElement("div");
  const input = Object.assign(document.createElement("input"), {
    type: "range", id: name, min: model.get("low"), max: model.get("high"), step: model.get("step"),
  });
  input.value = (model.get("low") + model.get("high")) / 2;
  const label = Object.assign(document.createElement("label"), { htmlFor: name });
  label.textContent = "Your prediction";
  const shown = document.createElement("output");
  shown.setAttribute("for", name);
  const tell = () => { shown.textContent = input.value; };
  input.addEventListener("input", () => { tell(); chosen(Number(input.value)); });
  tell();
  box.append(label, input, shown);
  return { box, show: (value) => { input.value = value; tell(); } };
}

function render({ model, el }) {
  const name = `ll-${Math.random().toString(36).slice(2)}`;
  const form = Object.assign(document.createElement("fieldset"), { className: "ll-ask" });
  const legend = document.createElement("legend");
  legend.textContent = `Predict. ${model.get("question")}`;
  const button = Object.assign(document.createElement("button"), { type: "button", disabled: true });
  button.textContent = "Commit";
  const status = document.createElement("p");
  status.setAttribute("role", "status");

  let place = null;
  const chosen = (value) => { place = value; button.disabled = false; };
  const make = model.get("options").length ? radios : slider;
  const { box, show } = make(model, name, chosen);
  button.addEventListener("click", () => { model.set("place", place); model.save_changes(); });

  const settle = () => {
    status.textContent = model.get("status");
    if (!model.get("locked")) return;
    show(model.get("place"));
    for (const input of form.querySelectorAll("input, button")) input.disabled = true;
  };
  model.on("change:status change:locked", settle);
  form.append(legend, box, button, status);
  for (const input of form.querySelectorAll("input, button")) {
    input.setAttribute("data-lm-suppress-shortcuts", "true"); // else JupyterLab takes the arrow keys
  }
  el.append(form);
  settle();
}

export default { render };
