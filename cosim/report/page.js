"use strict";
const narrow = window.matchMedia("(max-width: 600px)").matches;
const config = { responsive: true, displaylogo: false, modeBarButtons: [["toImage", "resetScale2d"]] };
if (narrow) config.displayModeBar = false;
// A finger on a figure scrolls the page; only a mouse drags to enlarge.
const touch = window.matchMedia("(pointer: coarse)").matches;
for (const place of document.querySelectorAll("[data-figure]")) {
  const figure = JSON.parse(document.getElementById(place.dataset.figure).textContent);
  if (narrow) {
    figure.layout.font.size = 11;
    figure.layout.margin = { l: 44, r: 6, t: 8, b: 40 };
  }
  if (touch) figure.layout.dragmode = false;
  Plotly.newPlot(place, figure.data, figure.layout, config).then(() => {
    if (!figure.frames.length) return;
    Plotly.addFrames(place, figure.frames);
    const note = place.parentElement.querySelector(".note");
    if (note) place.on("plotly_animatingframe", (shown) => { note.textContent = figure.notes[shown.name] || ""; });
  });
}
