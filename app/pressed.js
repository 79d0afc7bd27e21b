// A button that was pressed says so at once, and is not heard again until the page has answered.
//
// On a busy server the page changes seconds after a click. Whoever sees nothing happen presses again, and what
// the button does would be done twice, to what the first press has changed.

const BUTTONS = '[data-testid="stButton"] button, [data-testid="stFormSubmitButton"] button'
const APP = '[data-testid="stApp"]'
const PAUSE = 300 // ms: one run of the page may end, and the one that was asked for begin, within this
const LONGEST = 30000 // ms: when nothing answers at all, one may try again

const waiting = new Map() // by button: whether the page has begun to work since it was pressed
let quiet = 0

const works = () => document.querySelector(APP)?.dataset.testScriptState !== "notRunning"

function mark(button) {
  waiting.set(button, works())
  button.dataset.pressed = ""
  button.setAttribute("aria-disabled", "true") // not `disabled`, with which the keyboard would lose its place
  setTimeout(() => free(button), LONGEST)
}

function free(button) {
  waiting.delete(button)
  delete button.dataset.pressed
  button.removeAttribute("aria-disabled")
}

// Before anybody else hears of the click.
function hear(event) {
  const button = event.target.closest?.(BUTTONS)
  if (!button || button.disabled) return
  if (!waiting.has(button)) return mark(button)
  event.preventDefault()
  event.stopImmediatePropagation()
}

function look() {
  clearTimeout(quiet)
  if (works()) for (const button of waiting.keys()) waiting.set(button, true)
  else quiet = setTimeout(() => [...waiting].forEach(([button, worked]) => worked && free(button)), PAUSE)
}

let listens = false

export default function () {
  if (listens) return
  listens = true
  document.addEventListener("click", hear, true)
  new MutationObserver(look).observe(document.querySelector(APP), {
    attributes: true,
    attributeFilter: ["data-test-script-state"],
  })
}
