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

// One chart a frame: the first can be read while the others are being drawn.
let turn = Promise.resolve()

// The charts of this page, and the class that is alone in all of them, if one is.
const boxes = new Set()
let alone = null

// Classes are the lines of some charts and the rows of others, which say so (over_epochs.py).
const classOf = (trace, row) => (trace.type === "heatmap" ? trace.customdata[row]?.[0] : trace.meta)

function withOneAlone({ data, layout }) {
  if (!layout.meta?.classes || alone === null) return
  const [first] = data
  if (first?.type === "heatmap") {
    const row = first.customdata.findIndex(([name]) => name === alone)
    if (row >= 0) layout.yaxis = { ...layout.yaxis, autorange: false, range: [row + 0.5, row - 0.5] }
  } else if (data.some((trace) => trace.meta === alone)) {
    for (const trace of data) if (trace.meta !== alone) trace.visible = "legendonly"
  }
}

function leaveAlone(name) {
  alone = alone === name ? null : name
  for (const box of boxes) {
    box.cfa.drawn = null // drawn anew when it is next near, with the same data
    if (box.cfa.near) draw(box)
  }
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

function draw(box) {
  turn = turn
    .then(() => library(box.cfa.library))
    .then(async (Plotly) => {
      await new Promise(requestAnimationFrame)
      const { figure, drawn, view } = box.cfa // the newest, which may have come after this turn was asked for
      if (!box.isConnected || drawn === figure) return
      box.cfa.drawn = figure
      const { data, layout } = JSON.parse(figure)
      delete layout.height // the box has it
      withOneAlone({ data, layout })
      const zoom = layout.meta?.classes ? `${view} ${alone ?? ""}` : view // a row that is alone fills its chart
      await Plotly.react(box, data, themed({ ...layout, uirevision: zoom, autosize: true }, box), CONFIG)
      tellClicks(box)
    })
    .catch((error) => console.error(error)) // the next chart has its turn all the same
}

// Once for a chart: plotly keeps what listens while it takes new data.
function tellClicks(box) {
  if (box.cfa.tellsClicks) return
  box.cfa.tellsClicks = true
  const drawsClasses = () => box.layout.meta?.classes
  box.on("plotly_click", ({ points: [{ x, y, data, pointNumber }] }) => {
    const name = drawsClasses() && classOf(data, pointNumber?.[0])
    if (name) leaveAlone(name)
    else box.cfa.tell("clicked", { x, y })
  })
  box.on("plotly_legendclick", ({ curveNumber, data }) => {
    const name = drawsClasses() && data[curveNumber].meta
    if (name) leaveAlone(name)
    return !name // else plotly hides one line, here alone
  })
  box.on("plotly_legenddoubleclick", () => !drawsClasses())
}

// A chart that is out of sight is drawn when it comes near: eight of them, every two seconds, keep a laptop busy.
function watch(box) {
  const near = new IntersectionObserver(
    (entries) => {
      box.cfa.near = entries.at(-1).isIntersecting
      if (box.cfa.near) draw(box)
    },
    { rootMargin: "300px" },
  )
  const isDrawn = () => box.classList.contains("js-plotly-plot")
  const size = new ResizeObserver(() => isDrawn() && box.clientWidth && Plotly.Plots.resize(box))
  near.observe(box)
  size.observe(box)
  boxes.add(box)
  return () => {
    boxes.delete(box)
    if (boxes.size === 0) alone = null
    near.disconnect()
    size.disconnect()
    if (isDrawn()) Plotly.purge(box)
  }
}

export default function ({ data, parentElement, setTriggerValue }) {
  const box = parentElement.querySelector(".cfa-live-chart")
  box.style.height = `${data.height}px`
  box.setAttribute("role", "figure")
  box.setAttribute("aria-label", data.says)
  const theme = getComputedStyle(box).getPropertyValue("--st-background-color")
  box.style.backgroundColor = theme // in full screen there is nothing behind it
  const first = !box.cfa
  box.cfa = { ...box.cfa, ...data, theme, tell: setTriggerValue, drawn: box.cfa?.theme === theme ? box.cfa.drawn : null }
  if (first) box.cfa.stop = watch(box)
  else if (box.cfa.near) draw(box)
  return () => box.cfa.stop()
}
