// An element in which one zooms through a stack of pictures: wheel, pinch, drag, double click, keys, and level marks.

import { RAMP, borders, layers, limited, zoomedAt } from './between_levels.mjs'

const WHEEL = 500 // pixels of wheel that enlarge e times
const KEY_STEP = 0.25 // levels per + or -
const PAN_STEP = 0.1 // sides of the frame per arrow key
const MOVE_MS = 450
const REST_MS = 500 // after this time without a movement, the picture is at rest
const MIDDLE = { x: 0.5, y: 0.5 }
const HELP =
  'Wheel, pinch or + and - zoom; drag or arrow keys move; double click zooms in; Home and End go to the ends.'

const STYLE = `
.zoom-explorer { position: relative; overflow: hidden; min-height: 0; height: 100%; background: #111;
  border-radius: 4px; color: #eee; font: 12px sans-serif; outline: none; touch-action: none; user-select: none }
.zoom-explorer:focus-within::after { content: ''; position: absolute; inset: 0; border-radius: inherit;
  pointer-events: none; box-shadow: inset 0 0 0 2px #6cf, inset 0 0 0 3px #000a }
.zoom-explorer canvas { position: absolute; inset: 0; width: 100%; height: 100%; cursor: grab }
.zoom-explorer canvas:active { cursor: grabbing }
.zoom-explorer p { position: absolute; left: 0; right: 0; bottom: 0; margin: 0; padding: 3px 8px; pointer-events: none;
  background: #0009; white-space: nowrap; overflow: hidden; text-overflow: ellipsis }
.zoom-explorer nav { position: absolute; right: 0; top: 6px; bottom: 26px; display: flex; flex-direction: column;
  justify-content: space-around }
.zoom-explorer nav button { width: 32px; height: 32px; min-height: 3px; flex-shrink: 1; padding: 0 4px 0 0; border: 0;
  background: none; display: flex; align-items: center; justify-content: end; cursor: pointer; outline: none }
.zoom-explorer nav button::after { content: ''; width: 12px; height: min(12px, 100%); box-sizing: border-box;
  border-radius: 6px; border: 1px solid #000a; background: #fff8 }
.zoom-explorer nav button[aria-current="true"]::after { background: #6cf }
.zoom-explorer [role="status"] { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%) }
`

/**
 * Make an explorer; `onMove` hears of every position that the person chooses, `onRest` when it has stayed for a while.
 * Ask it to `show` levels, and to `stop`.
 */
export function zoomExplorer(onMove, onRest) {
  const make = (tag, parent, more = {}) => parent.appendChild(Object.assign(document.createElement(tag), more))
  const box = Object.assign(document.createElement('div'), { className: 'zoom-explorer', tabIndex: 0 })
  box.setAttribute('role', 'application')
  box.setAttribute('aria-label', `Zoom explorer. ${HELP}`)
  box.dataset.captureWheel = 'true' // Nodes 2.0 leaves us the wheel, once we have the focus
  make('style', box, { textContent: STYLE })
  const canvas = make('canvas', box)
  const marks = make('nav', box)
  const caption = make('p', box)
  caption.setAttribute('aria-hidden', 'true') // it changes at every movement; the status speaks once all is at rest
  const status = make('div', box)
  status.setAttribute('role', 'status')
  const layer = document.createElement('canvas')

  let stack = null // {count, zoom_factor, centre, captions, pictures}
  let position = { zoom: 0, x: 0, y: 0 }
  let frame = { left: 0, top: 0, width: 1, height: 1 } // of the levels on the canvas, in its pixels
  let pending = 0
  let moving = 0
  let goal = null // where the movement that is on its way will end
  let resting = 0
  const pointers = new Map()

  /** Say something where the caption is. */
  const say = (words) => (caption.textContent = status.textContent = words)
  say('Run the workflow to look into the zoom.')

  const redraw = () => {
    pending ||= requestAnimationFrame(() => {
      pending = 0
      draw()
    })
  }
  const watcher = new ResizeObserver(redraw)
  watcher.observe(box)

  function look(next) {
    position = limited(stack, next)
    onMove(position)
    redraw()
    clearTimeout(resting)
    resting = setTimeout(() => {
      tellStatus()
      onRest()
    }, REST_MS)
  }

  function halt() {
    cancelAnimationFrame(moving)
    goal = null
  }

  function moveTo(next) {
    halt()
    const from = position
    const to = limited(stack, next)
    if (matchMedia('(prefers-reduced-motion: reduce)').matches) return look(to)
    goal = to
    const begin = performance.now()
    const step = (now) => {
      const t = Math.min(Math.max((now - begin) / MOVE_MS, 0), 1)
      const eased = t * t * (3 - 2 * t)
      const between = (axis) => from[axis] + (to[axis] - from[axis]) * eased
      look(t < 1 ? { zoom: between('zoom'), x: between('x'), y: between('y') } : to)
      if (t < 1) moving = requestAnimationFrame(step)
      else goal = null
    }
    moving = requestAnimationFrame(step)
  }

  function draw() {
    const ratio = devicePixelRatio || 1
    const [width, height] = [Math.round(box.clientWidth * ratio), Math.round(box.clientHeight * ratio)]
    if (!stack || !width || !height) return
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height })
    const { naturalWidth, naturalHeight } = stack.pictures[0]
    const scale = Math.min(width / naturalWidth, height / naturalHeight)
    frame.width = Math.max(Math.round(naturalWidth * scale), 1)
    frame.height = Math.max(Math.round(naturalHeight * scale), 1)
    frame.left = Math.floor((width - frame.width) / 2)
    frame.top = Math.floor((height - frame.height) / 2)
    const context = canvas.getContext('2d')
    context.clearRect(0, 0, width, height)
    context.save()
    context.translate(frame.left, frame.top)
    context.beginPath()
    context.rect(0, 0, frame.width, frame.height)
    context.clip()
    for (const one of layers(stack, position)) drawLayer(context, one)
    context.restore()
    tell()
  }

  function drawLayer(context, { level, x, y, opacity }) {
    const soft = [...borders(x), ...borders(y)].some((width) => width > 0)
    let target = context
    if (soft) {
      Object.assign(layer, { width: frame.width, height: frame.height }) // which clears it
      target = layer.getContext('2d')
    }
    target.imageSmoothingQuality = 'high'
    target.globalAlpha = soft ? 1 : opacity
    const { width, height } = frame
    target.drawImage(stack.pictures[level], x.start * width, y.start * height, x.length * width, y.length * height)
    if (soft) {
      target.globalCompositeOperation = 'destination-in'
      fade(target, x, (place) => [place * width, 0])
      fade(target, y, (place) => [0, place * height])
      context.globalAlpha = opacity
      context.drawImage(layer, 0, 0)
    }
    context.globalAlpha = 1
  }

  /** Multiply what is drawn by the soft borders along one axis. */
  function fade(target, span, point) {
    const [before, after] = borders(span)
    const gradient = target.createLinearGradient(...point(span.start), ...point(span.start + span.length))
    const stop = (place, alpha) => gradient.addColorStop(Math.min(Math.max(place, 0), 1), `rgba(0,0,0,${alpha})`)
    if (before > 0) for (const [place, alpha] of RAMP) stop((place * before) / span.length, alpha)
    else stop(0, 1)
    if (after > 0) for (const [place, alpha] of RAMP.toReversed()) stop(1 - (place * after) / span.length, alpha)
    else stop(1, 1)
    target.fillStyle = gradient
    target.fillRect(0, 0, frame.width, frame.height)
  }

  /** The zoom and the prompt of the nearest level. */
  function placeInWords() {
    const place = `${position.zoom.toFixed(1)} of ${stack.count - 1}`
    const prompt = stack.captions[Math.round(position.zoom)]
    return prompt ? `${place}: ${prompt}` : place
  }

  function tell() {
    const near = Math.round(position.zoom)
    const words = placeInWords()
    if (caption.textContent !== words) caption.textContent = caption.title = words
    ;[...marks.children].forEach((mark, level) => mark.setAttribute('aria-current', String(level === near)))
  }

  /** What a person hears who does not see the picture: also where that is, as arrow keys would else be silent. */
  function tellStatus() {
    const aside = (moved, positive, negative) =>
      Math.round(Math.abs(moved) * 100) ? [`${Math.round(Math.abs(moved) * 100)}% ${moved > 0 ? positive : negative}`] : []
    // The picture moves to the right when the person looks to the left.
    const places = [...aside(position.x, 'left', 'right'), ...aside(position.y, 'up', 'down')]
    status.textContent = `Zoom ${placeInWords()}. ${places.length ? `Moved ${places.join(', ')}` : 'In the middle'}.`
  }

  /** Where a pointer is on the frame, in its sides; the graph may have scaled the element. */
  function placeOf({ clientX, clientY }) {
    const seen = canvas.getBoundingClientRect()
    return {
      x: (((clientX - seen.left) / seen.width) * canvas.width - frame.left) / frame.width,
      y: (((clientY - seen.top) / seen.height) * canvas.height - frame.top) / frame.height,
    }
  }

  const listen = (target, name, act) =>
    target.addEventListener(name, (event) => {
      if (!stack) return
      if (act(event) === false) return
      event.preventDefault()
      event.stopPropagation()
    }, { passive: false })

  listen(box, 'wheel', (event) => {
    halt()
    const pixels = event.deltaY * [1, 16, 400][event.deltaMode] * (event.ctrlKey ? 5 : 1) // ctrl: a pinch on a touchpad
    look(zoomedAt(stack, position, -pixels / WHEEL / Math.log(stack.zoom_factor), placeOf(event)))
  })
  listen(canvas, 'pointerdown', (event) => {
    if (event.button) return false
    halt()
    box.focus({ preventScroll: true })
    canvas.setPointerCapture(event.pointerId)
    pointers.set(event.pointerId, placeOf(event))
  })
  listen(canvas, 'pointermove', (event) => {
    if (!pointers.has(event.pointerId)) return false
    const before = grip()
    pointers.set(event.pointerId, placeOf(event))
    const now = grip()
    const moved = { zoom: position.zoom, x: position.x + now.x - before.x, y: position.y + now.y - before.y }
    const wider = before.spread ? Math.log(now.spread / before.spread) / Math.log(stack.zoom_factor) : 0
    look(zoomedAt(stack, moved, Number.isFinite(wider) ? wider : 0, now))
  })
  for (const name of ['pointerup', 'pointercancel'])
    listen(canvas, name, (event) => void pointers.delete(event.pointerId))
  listen(canvas, 'dblclick', (event) => moveTo(zoomedAt(stack, position, event.shiftKey ? -1 : 1, placeOf(event))))

  /** The middle of the pointers that hold the picture, and how far two of them are apart. */
  function grip() {
    const [one, other = one] = pointers.values()
    const spread = Math.hypot((one.x - other.x) * frame.width, (one.y - other.y) * frame.height)
    return { x: (one.x + other.x) / 2, y: (one.y + other.y) / 2, spread }
  }

  // From where the picture is going, not from where it is: keys that are pressed one after the other add up.
  const zoomBy = (levels) => moveTo(zoomedAt(stack, goal ?? position, levels, MIDDLE))
  const by = (x, y) => {
    const from = goal ?? position
    moveTo({ ...from, x: from.x + x * PAN_STEP, y: from.y + y * PAN_STEP })
  }
  const KEYS = {
    '+': () => zoomBy(KEY_STEP),
    '-': () => zoomBy(-KEY_STEP),
    PageUp: () => zoomBy(1),
    PageDown: () => zoomBy(-1),
    ArrowLeft: () => by(1, 0),
    ArrowRight: () => by(-1, 0),
    ArrowUp: () => by(0, 1),
    ArrowDown: () => by(0, -1),
    Home: () => moveTo({ zoom: 0, x: 0, y: 0 }),
    End: () => moveTo({ zoom: stack.count - 1, x: 0, y: 0 }),
  }
  listen(box, 'keydown', ({ key, ctrlKey, metaKey, altKey, repeat }) => {
    const act = KEYS[key === '=' ? '+' : key]
    if (!act || ctrlKey || metaKey || altKey) return false
    if (!repeat || !goal) act() // a key that is held begins the next movement when the last one has ended
  })

  return {
    element: box,
    /** Show a stack {zoom_factor, centre, captions, pictures} from a position on, or as near to it as it has one. */
    show(next, from = position) {
      halt()
      stack = { ...next, count: next.pictures.length }
      marks.replaceChildren()
      stack.pictures.forEach((_, level) => {
        const title = stack.captions[level] ?? `level ${level}`
        const mark = make('button', marks, { type: 'button', title, tabIndex: -1 })
        mark.setAttribute('aria-label', `Go to level ${level}: ${title}`)
        mark.onclick = () => moveTo({ zoom: level, x: 0, y: 0 })
      })
      position = limited(stack, from)
      redraw()
      tellStatus()
    },
    say,
    stop() {
      watcher.disconnect()
      clearTimeout(resting)
      halt()
      cancelAnimationFrame(pending)
    },
  }
}
