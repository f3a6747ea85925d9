// Filters of the claims page: a button for each verdict. Without scripts all claims are shown.
document.addEventListener("DOMContentLoaded", () => {
  const buttons = document.querySelectorAll(".claims-filter button");
  const status = document.querySelector("#claims-shown");
  const show = (verdict) => {
    let shown = 0;
    document.querySelectorAll(".claim").forEach((claim) => {
      claim.hidden = verdict !== "all" && claim.dataset.verdict !== verdict;
      shown += !claim.hidden;
    });
    buttons.forEach((b) => b.setAttribute("aria-pressed", String(b.dataset.verdict === verdict)));
    if (status) status.textContent = `${shown} claims are shown`;
  };
  buttons.forEach((b) => b.addEventListener("click", () => show(b.dataset.verdict)));
});
