// Draws a figure with plotly and, called again with other data, changes it in place.

const EXPAND = {
  width: 448,
  height: 512,
  path: "M32 32C14 32 0 46 0 64v96c0 18 14 32 32 32s32-14 32-32V96h64c18 0 32-14 32-32s-14-32-32-32H32zM64 352c0-18-14-32-32-32s-32 14-32 32v96c0 18 14 32 32 32h96c18 0 32-14 32-32s-14-32-32-32H64v-64zM320 32c-18 0-32 14-32 32s14 32 32 32h64v64c0 18 14 32 32 32s32-14 32-32V64c0-18-14-32-32-32h-96zm128 320c0-18-14-32-32-32s-32 14-32 32v64h-64c-18 0-32 14-32 32s14 32 32 32h96c18 0 32-14 32-32v-96z",
}

const FULLSCREEN = {
  name: "Fullscreen",
  title: "Fullscreen",
  icon: EXPAND,
  click: (box) => (document.fullscreenElement ? document.exitFullscreen() : box.requestFullscreen()),
}
// One object for all calls: with another one, or another function in it, plotly draws anew and forgets the zoom.
const CONFIG = {
  displaylogo: false,
  modeBarButtonsToRemove: ["lasso2d", "select2d", "autoScale2d"],
  modeBarButtonsToAdd: [FULLSCREEN],
}

// The page's own address may lie below the server's: /monitor, or behind a proxy /cfa/monitor.
async function library(path) {
  if (!globalThis.Plotly) {
    const base = new URL(document.querySelector('script[type="module"][src*="static/"]').src)
    await import(new URL(`../../${path}`, base).href)
  }
  return globalThis.Plotly
}

function themed(layout, box) {
  const style = getComputedStyle(box)
  const value = (name) => style.getPropertyValue(`--st-${name}`).trim()
  const [text, ground, line] = [value("text-color"), value("background-color"), value("border-color")]
  const axis = { color: text, linecolor: line, zerolinecolor: line, tickfont: { size: 12 }, title: { font: { size: 14 } } }
  return {
    ...layout,
    template: {
      layout: {
        font: { color: text, family: value("font"), size: 12 },
        hoverlabel: { bgcolor: ground, bordercolor: line, font: { color: text, family: value("font") } },
        modebar: { bgcolor: "rgba(0,0,0,0)", color: text, activecolor: value("primary-color") },
        xaxis: axis,
        yaxis: axis,
      },
    },
  }
}

export default function ({ data, parentElement }) {
  const box = parentElement.querySelector(".cfa-live-chart")
  const figure = JSON.parse(data.figure)
  box.style.height = `${figure.layout.height}px` // the page does not jump while plotly is on its way
  box.setAttribute("role", "figure")
  box.setAttribute("aria-label", data.says)
  library(data.library).then((Plotly) => {
    if (!box.isConnected) return
    const layout = themed({ ...figure.layout, uirevision: data.view, autosize: true }, box)
    delete layout.height
    Plotly.react(box, figure.data, layout, CONFIG)
    if (!box.cfaWatch) {
      box.cfaWatch = new ResizeObserver(() => box.clientWidth && Plotly.Plots.resize(box))
      box.cfaWatch.observe(box)
    }
  })
  return () => {
    box.cfaWatch?.disconnect()
    globalThis.Plotly?.purge(box)
  }
}
