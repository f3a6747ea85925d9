// The front end of an explorer: labelled native controls, and a picture in a live region.
// Python draws; the picture is marked as old from the moment a control moves until it is new again.

function range(control, labelled) {
  const input = Object.assign(document.createElement("input"), {
    type: "range", min: 0, max: control.texts.length - 1, step: 1, value: control.index,
  });
  const shown = document.createElement("output");
  shown.setAttribute("for", labelled);
  const tell = () => {
    const text = control.texts[Number(input.value)];
    input.setAttribute("aria-valuetext", text);
    shown.textContent = text;
  };
  input.addEventListener("input", tell);
  tell();
  return { input, extra: [shown], read: () => Number(input.value) };
}

function choice(control) {
  const input = document.createElement("select");
  for (const text of control.texts) input.add(new Option(text, text));
  input.selectedIndex = control.index;
  return { input, extra: [], read: () => input.selectedIndex };
}

function text(control, labelled) {
  const input = Object.assign(document.createElement("input"), { type: "text", value: control.text });
  const list = Object.assign(document.createElement("datalist"), { id: `${labelled}-list` });
  for (const known of control.texts) list.append(new Option(known, known));
  input.setAttribute("list", list.id);
  return { input, extra: [list], read: () => input.value };
}

const KINDS = { range, choice, text };

function render({ model, el }) {
  const panel = document.createElement("div");
  panel.className = "ll-panel";
  panel.setAttribute("role", "group");
  panel.setAttribute("aria-label", model.get("title"));
  const title = Object.assign(document.createElement("p"), { className: "ll-title" });
  title.textContent = model.get("title");
  panel.append(title);

  const screen = Object.assign(document.createElement("div"), { className: "ll-screen" });
  screen.setAttribute("aria-live", "polite");
  const sign = Object.assign(document.createElement("p"), { className: "ll-sign" });
  sign.textContent = "Drawing ...";

  const busy = () => model.get("done") < model.get("asked");
  const settle = () => {
    screen.setAttribute("aria-busy", busy() ? "true" : "false");
    panel.classList.toggle("ll-busy", busy());
  };

  for (const control of model.get("controls")) {
    const row = Object.assign(document.createElement("div"), { className: "ll-row" });
    const id = `ll-${control.name}-${Math.random().toString(36).slice(2)}`;
    const label = Object.assign(document.createElement("label"), { htmlFor: id });
    label.textContent = control.label;
    const { input, extra, read } = KINDS[control.kind](control, id);
    input.id = id;
    input.setAttribute("data-lm-suppress-shortcuts", "true"); // else JupyterLab takes the arrow keys
    input.addEventListener("change", () => {
      model.set("chosen", { ...model.get("chosen"), [control.name]: read() });
      model.set("asked", model.get("asked") + 1);
      model.save_changes();
      settle();
    });
    row.append(label, input, ...extra);
    panel.append(row);
  }

  const draw = () => { screen.innerHTML = model.get("picture"); };
  model.on("change:picture", draw);
  model.on("change:done", settle);
  draw();
  settle();
  panel.append(sign, screen);
  el.append(panel);
}

export default { render };
