// Copies the page's address, and keeps the steps of the browser's "back" those that somebody took.

const COPY = "M360-240q-33 0-56.5-23.5T280-320v-480q0-33 23.5-56.5T360-880h360q33 0 56.5 23.5T800-800v480q0 33-23.5 56.5T720-240H360Zm0-80h360v-480H360v480ZM200-80q-33 0-56.5-23.5T120-160v-560h80v560h440v80H200Z"

// A page that is opened writes all that it shows into its address. That is no step of its own: else "back" would
// lead to the same page first.
function stepsAreThoseOfPeople() {
  if (history.cfaSteps) return
  history.cfaSteps = true
  const push = history.pushState
  let touched = false
  for (const kind of ["pointerdown", "keydown"]) addEventListener(kind, () => (touched = true), true)
  addEventListener("popstate", () => (touched = false))
  history.pushState = function (state, title, address) {
    const moved = new URL(address ?? "", location.href).pathname !== location.pathname
    if (touched || moved) push.call(this, state, title, address)
    else this.replaceState(state, title, address)
    if (moved) touched = false
  }
}

// Where the page comes by plain http from another machine, browsers have no clipboard for it.
async function copy(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text)
  const field = document.body.appendChild(document.createElement("textarea"))
  field.value = text
  field.select()
  document.execCommand("copy")
  field.remove()
}

export default function ({ parentElement }) {
  stepsAreThoseOfPeople()
  const button = parentElement.querySelector("button")
  if (button.onclick) return
  button.querySelector("path").setAttribute("d", COPY)
  const label = button.querySelector("span")
  button.onclick = async () => {
    try {
      await copy(location.href)
      label.textContent = "Copied"
    } catch {
      label.textContent = "Copy it from the address bar"
    }
    setTimeout(() => (label.textContent = "Copy link"), 2000)
  }
}
